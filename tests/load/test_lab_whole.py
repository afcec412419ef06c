"""The whole lab, quickly, as a user runs it: every scenario, and what it is to show."""

from __future__ import annotations

import sys
from statistics import linear_regression, median
from typing import Any

import pytest

from derived import check_derived
from processes import environment, run

KIB = 1 << 10


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a quick run of all scenarios has written, every number of which has been derived again."""
    place = tmp_path_factory.mktemp("lab")
    done = run(sys.executable, "-m", "freight", "lab", "--quick", cwd=place, env=environment(), seconds=240)
    assert done.returncode == 0, done.stderr
    return check_derived(place / "freight-lab")


def samples(results: dict[str, Any], name: str, **labels: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = results["scenarios"][name]["samples"]
    return [row for row in rows if all(row.get(label) == value for label, value in labels.items())]


def test_all_scenarios_are_measured(results: dict[str, Any]) -> None:
    names = ["memory", "strategies", "buffer", "stalled", "crowd", "budget", "length", "path"]
    assert list(results["scenarios"]) == names
    skipped = {name: record["skipped"] for name, record in results["scenarios"].items() if "skipped" in record}
    assert not skipped or (list(skipped) == ["path"] and skipped["path"].startswith("a long line "))
    print(f"{results['seconds']} s")


def test_a_client_more_costs_the_same_however_many_there_are(results: dict[str, Any]) -> None:
    rows = [*samples(results, "crowd", phase="held"), *samples(results, "crowd", phase="idle")]
    fit = linear_regression([row["clients"] for row in rows], [row["process_bytes"] for row in rows])
    stated = results["scenarios"]["crowd"]["summary"]["servers"]["freight --memory 2GiB"]
    assert stated["process_bytes_per_client"] == pytest.approx(fit.slope, rel=0.1)  # it fits medians, not readings
    assert 2 * KIB < fit.slope < 6 * KIB
    for row in rows:
        assert abs(row["process_bytes"] - fit.intercept - fit.slope * row["clients"]) < 1 << 20
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


def test_a_small_budget_is_as_fast_over_a_long_line_as_a_large_one(results: dict[str, Any]) -> None:
    record = results["scenarios"]["path"]
    if "skipped" in record:
        pytest.skip(record["skipped"])
    cases, settings = record["summary"]["cases"], record["settings"]
    far = [case for case in cases if case["round_trip_seconds"] == cases[-1]["round_trip_seconds"]]
    allowed = settings["window_bytes"] / far[0]["round_trip_seconds"]
    assert [case["size_bytes"] for case in far] == [20_000_000, 64 << 20, 4 << 30]
    assert all(case["gb_per_second"]["median"] * 1e9 > 2 * allowed for case in far)
    assert all(case["gb_per_second"]["most"] * 1e9 < 1.1 * settings["bytes_per_second"] for case in cases)
    assert all(row["kernel_bytes"] <= row["size_bytes"] for row in samples(results, "path"))
    assert all(row["connections"] == 1 for row in samples(results, "path", phase="flow"))
