"""The tables of slow tests and of tests that run alone name existing tests, and the longest prefix decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import tiers

HERE = Path(__file__).parent


@pytest.mark.parametrize("prefix", [*tiers.SLOW, *tiers.NIGHTLY, *tiers.ALONE])
def test_every_prefix_in_the_tables_is_a_test_or_a_folder(prefix: str) -> None:
    file, _, test = prefix.partition("::")
    assert (HERE / file).exists()
    name, has_parameters, _ = test.partition("[")
    text = (HERE / file).read_text() if test else ""
    assert f"def {name}{'(' * bool(has_parameters)}" in text if test else True


@pytest.mark.parametrize(
    ("name", "slow"),
    [
        ("load/test_turns.py::test_any", True),
        ("load/test_promise.py::test_500_downloads_run_in_20_mb[loopback]", False),
        ("load/test_promise.py::test_500_downloads_run_in_20_mb[veth]", True),
        ("http/test_dates.py::test_any", False),
    ],
)
def test_the_longest_prefix_decides(name: str, slow: bool) -> None:
    assert tiers.decide(tiers.SLOW, name) is slow


@pytest.mark.parametrize(
    ("name", "needed", "tier"),
    [
        ("http/test_dates.py::test_any", set(), "fast"),
        ("clients/test_wget.py::test_any", {"wget"}, "fast"),
        ("views/test_any.py::test_any", {"chromium"}, "slow"),
        ("clients/test_any.py::test_any", {"wget", "lftp"}, "nightly"),
        ("clients/nightly/test_any.py::test_any", {"curl"}, "nightly"),
    ],
)
def test_a_test_of_a_client_that_only_the_nightly_run_installs_is_nightly(
    name: str, needed: set[str], tier: str
) -> None:
    assert tiers.tier_of(name, needed) == tier


@pytest.mark.parametrize(
    ("file", "has_fast", "has_slow"),
    [("load/", True, True), ("views/", False, True), ("server/test_h2spec.py", True, True), ("http/", True, False)],
)
def test_a_file_is_ignored_only_if_it_can_have_no_wanted_test(file: str, has_fast: bool, has_slow: bool) -> None:
    assert (tiers.may_have(tiers.SLOW, file, False), tiers.may_have(tiers.SLOW, file, True)) == (has_fast, has_slow)
