"""A quick run of the whole benchmark, as a user runs it: every scenario, and what it should show."""

from __future__ import annotations

import sys
from statistics import linear_regression, median
from typing import Any

import pytest

from support.page_facts import check_derived
from support.processes import environment, run

KIB = 1 << 10


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of a quick run of all scenarios, after every number has been derived again."""
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


def test_each_further_client_costs_the_same(results: dict[str, Any]) -> None:
    rows = [*samples(results, "crowd", phase="held"), *samples(results, "crowd", phase="idle")]
    fit = linear_regression([row["clients"] for row in rows], [row["process_bytes"] for row in rows])
    stated = results["scenarios"]["crowd"]["summary"]["servers"]["freight --memory 2GiB"]
    assert stated["process_bytes_per_client"] == pytest.approx(
        fit.slope, rel=0.1
    )  # it is fitted to medians, not to readings
    assert 2 * KIB < fit.slope < 6 * KIB
    for row in rows:
        assert abs(row["process_bytes"] - fit.intercept - fit.slope * row["clients"]) < 1 << 20
    assert all(row["at"] == {"stalled": row["clients"]} for row in samples(results, "crowd", phase="held"))
    assert stated["given_back_share"] > 0.5  # the rest is allocated once, by the first clients


def test_only_a_server_that_reads_whole_files_needs_their_length_in_memory(results: dict[str, Any]) -> None:
    slopes = results["scenarios"]["strategies"]["summary"]["process_bytes_per_client"]
    file_bytes = results["scenarios"]["strategies"]["settings"]["file_bytes"]
    assert slopes["read it all"] == pytest.approx(file_bytes, rel=0.1)
    assert all(slope < file_bytes / 10 for name, slope in slopes.items() if name != "read it all")
    assert slopes["freight"] < slopes["zero-copy"] < slopes["32KiB chunks"]


def test_a_buffer_costs_every_client_its_size(results: dict[str, Any]) -> None:
    cases = results["scenarios"]["buffer"]["summary"]["cases"]
    costs = [case["process_bytes_per_client"]["median"] for case in cases]
    sizes = [case["size_bytes"] for case in cases]
    assert linear_regression(sizes, costs).slope == pytest.approx(1, abs=0.3)  # some may not be full yet


def test_four_times_as_many_clients_as_slots_are_all_served(results: dict[str, Any]) -> None:
    (sample,) = samples(results, "budget", phase="waited")
    assert sample["clients"] == 4 * sample["slots"] == sample["whole"] == len(sample["waits_seconds"])
    queue = results["scenarios"]["budget"]["summary"]["queue"]
    assert queue["lost"] == 0
    assert queue["wait_seconds"]["median"] == pytest.approx(median(sample["waits_seconds"]), rel=0.05)
    assert all(row["kernel_bytes"] <= 20_000_000 for row in samples(results, "budget", phase="queue"))


def test_a_small_budget_is_as_fast_over_a_long_path_as_a_large_one(results: dict[str, Any]) -> None:
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
