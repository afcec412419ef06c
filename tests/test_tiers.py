"""The tables of slow tests and of those that run alone name what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiers

HERE = Path(__file__).parent


@pytest.mark.parametrize("beginning", [*tiers.SLOW, *tiers.ALONE])
def test_what_the_tables_name_is_there(beginning: str) -> None:
    file, _, test = beginning.partition("::")
    assert (HERE / file).exists()
    name, has_parameters, _ = test.partition("[")
    text = (HERE / file).read_text() if test else ""
    assert f"def {name}{'(' * bool(has_parameters)}" in text if test else True


@pytest.mark.parametrize(
    ("name", "slow"),
    [
        ("load/test_turns.py::test_giants_are_not_starved", True),
        ("load/test_promise.py::test_500_downloads_run_in_20_mb[loopback]", False),
        ("load/test_promise.py::test_500_downloads_run_in_20_mb[veth]", True),
        ("core/test_dates.py::test_any", False),
    ],
)
def test_the_longest_beginning_counts(name: str, slow: bool) -> None:
    assert tiers.decide(tiers.SLOW, name) is slow


@pytest.mark.parametrize(
    ("file", "has_fast", "has_slow"),
    [("load/", True, True), ("views/", False, True), ("server/test_h2spec.py", True, True), ("core/", True, False)],
)
def test_a_file_is_passed_over_only_if_it_can_have_none_that_is_wanted(
    file: str, has_fast: bool, has_slow: bool
) -> None:
    assert (tiers.may_have(tiers.SLOW, file, False), tiers.may_have(tiers.SLOW, file, True)) == (has_fast, has_slow)
