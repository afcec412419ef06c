"""The whole lab, quickly, as a user runs it: every scenario, and what it is to show."""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import linear_regression, median
from typing import Any

import pytest

from derived import check_derived

KIB = 1 << 10


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a quick run of all scenarios has written, every number of which has been derived again."""
    place = tmp_path_factory.mktemp("lab")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-m", "freight", "lab", "--quick"]
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return check_derived(place / "freight-lab")


def samples(results: dict[str, Any], name: str, **labels: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = results["scenarios"][name]["samples"]
    return [row for row in rows if all(row.get(label) == value for label, value in labels.items())]


def test_all_scenarios_are_measured(results: dict[str, Any]) -> None:
    assert list(results["scenarios"]) == ["memory", "strategies", "buffer", "stalled", "crowd", "budget", "length"]
    assert not any("skipped" in record for record in results["scenarios"].values())
    print(f"{results['seconds']} s")


def test_a_client_more_costs_the_same_however_many_there_are(results: dict[str, Any]) -> None:
    rows = [*samples(results, "crowd", phase="held"), *samples(results, "crowd", phase="idle")]
    fit = linear_regression([row["clients"] for row in rows], [row["uss_bytes"] for row in rows])
    stated = results["scenarios"]["crowd"]["summary"]["servers"]["freight --memory 2GiB"]
    assert stated["process_bytes_per_client"] == pytest.approx(fit.slope, rel=0.1)  # it fits medians, not readings
    assert 2 * KIB < fit.slope < 6 * KIB
    for row in rows:
        assert abs(row["uss_bytes"] - fit.intercept - fit.slope * row["clients"]) < 1 << 20
    assert all(row["at"] == {"stalled": row["clients"]} for row in samples(results, "crowd", phase="held"))
    assert stated["given_back_share"] > 0.5  # the rest is what the first ones allocate once and for all


def test_only_who_reads_it_all_needs_the_files_length(results: dict[str, Any]) -> None:
    slopes = results["scenarios"]["strategies"]["summary"]["process_bytes_per_client"]
    file_bytes = results["scenarios"]["strategies"]["settings"]["file_bytes"]
    assert slopes["read it all"] == pytest.approx(file_bytes, rel=0.1)
    assert all(slope < file_bytes / 10 for name, slope in slopes.items() if name != "read it all")
    assert slopes["freight"] < slopes["zero-copy"] < slopes["32KiB chunks"]


def test_a_buffer_costs_every_client_its_size(results: dict[str, Any]) -> None:
    cases = results["scenarios"]["buffer"]["summary"]["cases"]
    costs = [case["process_bytes_per_client"]["median"] for case in cases]
    sizes = [case["size_bytes"] for case in cases]
    assert linear_regression(sizes, costs).slope == pytest.approx(1, abs=0.3)  # some may not have filled theirs yet


def test_a_crowd_four_times_the_slots_is_served_to_the_last(results: dict[str, Any]) -> None:
    (told,) = samples(results, "budget", phase="waited")
    assert told["clients"] == 4 * told["slots"] == told["whole"] == len(told["waits_seconds"])
    queue = results["scenarios"]["budget"]["summary"]["queue"]
    assert queue["lost"] == 0
    assert queue["wait_seconds"]["median"] == pytest.approx(median(told["waits_seconds"]), rel=0.05)
    assert all(row["kernel_bytes"] <= 20_000_000 for row in samples(results, "budget", phase="queue"))
