"""From samples to numbers, by hand-made samples whose numbers are known."""

from __future__ import annotations

from typing import Any

import pytest

from freight.tools.lab.format import NO_BREAK_SPACE, count, figures, memory, rate, seconds
from freight.tools.lab.stats import line, percentile, speed, spread, window_rate
from freight.tools.lab.summary import ALLOWANCE_BYTES, SUMMARIES

KIB, MIB = 1 << 10, 1 << 20
Row = dict[str, Any]


def reading(phase: str, uss: float = 0, kernel: float = 0, **more: Any) -> Row:
    zero = {"seconds": 0.0, "cpu_seconds": 0.0, "taken_bytes": 0, "cached_bytes": 0, "clients": 1}
    row = {"server": "a server", "phase": phase, "process_bytes": uss, "pss_bytes": uss, "kernel_bytes": kernel}
    return row | zero | more


def flow(gigabytes: float, seconds_: float, cpu: float, **more: Any) -> list[Row]:
    """A flow that began after a gigabyte and three CPU-seconds."""
    first = reading("flow", seconds=5.0, cpu_seconds=3.0, taken_bytes=1e9, **more)
    return [first, first | {"seconds": 5 + seconds_, "cpu_seconds": 3 + cpu, "taken_bytes": (1 + gigabytes) * 1e9}]


def test_a_straight_line_is_found_again_and_a_crooked_one_says_so() -> None:
    straight = line([(0, 15), (10, 35), (100, 215)])
    assert straight == pytest.approx({"slope": 2, "intercept": 15, "r_squared": 1})
    assert line([(0, 0), (1, 10), (2, 0), (3, 10)])["r_squared"] < 0.5
    assert line([(0, 7), (1, 7)]) == {"slope": 0, "intercept": 7, "r_squared": 1}


def test_a_spread_is_the_median_and_both_ends() -> None:
    assert spread([3, 1, 2]) == {"median": 2, "least": 1, "most": 3}
    assert [percentile(range(1, 101), percent) for percent in (50, 99, 100)] == [50, 99, 100]
    assert percentile([7.0], 50) == 7.0


def test_speed_is_what_came_between_the_first_reading_and_the_last() -> None:
    assert speed(flow(6, 2, 1.5, uss=4, kernel=9)) == {
        "gb_per_second": 3,
        "gb_per_cpu_second": 4,
        "process_bytes": 4,
        "kernel_bytes": 9,
    }


@pytest.mark.parametrize(("kept", "returned"), [(0, True), (ALLOWANCE_BYTES, True), (ALLOWANCE_BYTES + 1, False)])
def test_a_process_is_back_when_it_keeps_no_more_than_is_allowed(kept: int, returned: bool) -> None:
    rows = [reading("start", 10 * MIB), reading("flight", 12 * MIB, 3 * MIB), reading("flight", 13 * MIB, MIB)]
    coming_back = [reading("after", 13 * MIB)] * 2
    summary = SUMMARIES["memory"]([*rows, *coming_back, *[reading("after", 10 * MIB + kept)] * 2])
    assert (summary["left_bytes"], summary["returned"]) == (kept, returned)
    assert summary["growth_bytes"] == 3 * MIB
    assert summary["worst"]["process_bytes"] + summary["worst"]["kernel_bytes"] == 15 * MIB


def test_a_client_of_each_strategy_costs_the_slope_of_its_line() -> None:
    rows: list[Row] = []
    for clients in (1, 10, 100):
        rows += [reading("held", 8 * MIB + clients * 5 * KIB, clients=clients), *flow(2, 1, 0.5, clients=clients)]
    summary = SUMMARIES["strategies"](rows)
    assert summary["process_bytes_per_client"] == {"a server": pytest.approx(5 * KIB)}
    assert [case["cpu_seconds_per_gb"]["median"] for case in summary["cases"]] == [0.25, 0.25, 0.25]


def test_the_knee_is_the_least_buffer_with_nine_tenths_of_the_best_speed() -> None:
    rows: list[Row] = []
    for size, fast in ((4, 1.0), (16, 3.59), (64, 3.61), (256, 4.0), (1024, 3.9)):
        for turn in (1, 2, 3):
            labels = {"size_bytes": size * KIB, "round": turn, "clients": 10}
            rows += [reading("idle", MIB, **labels), *flow(fast, 1, 1, uss=MIB + 10 * size * KIB, **labels)]
    summary = SUMMARIES["buffer"](rows)
    assert summary["knee"]["size_bytes"] == 64 * KIB
    assert summary["knee"]["process_bytes_per_client"]["median"] == 64 * KIB
    assert summary["best_gb_per_cpu_second"] == pytest.approx(4)


def test_the_windows_effect_is_what_the_kernel_holds_without_it_over_what_it_holds_with_it() -> None:
    rows: list[Row] = []
    for server, kernel in (("freight --memory 20MB", 16 * MIB), ("zero-copy", 1600 * MIB)):
        labels = {"server": server, "clients": 500}
        rows += [reading("idle", 15 * MIB, **labels), reading("held", 17 * MIB, kernel, **labels)]
    summary = SUMMARIES["stalled"](rows)
    assert summary["window_effect"] == 100
    bound = summary["cases"]["freight --memory 20MB"]
    assert bound["kernel_bytes_per_client"] == 16 * MIB / 500
    assert bound["process_bytes_per_client"] == 2 * MIB / 500
    assert SUMMARIES["stalled"](rows[:2])["window_effect"] is None


def test_the_cost_of_a_client_is_a_slope_and_the_rest_a_share() -> None:
    rows = [reading("idle", 15 * MIB, clients=0)]
    rows += [
        reading("held", 15 * MIB + clients * 4 * KIB, clients * KIB, clients=clients) for clients in (1, 500, 1024)
    ]
    rows += [reading("after", 19 * MIB, clients=0), reading("after", 16 * MIB, clients=0)]
    found = SUMMARIES["crowd"](rows)["servers"]["a server"]
    assert found["process_bytes_per_client"] == pytest.approx(4 * KIB)
    assert (found["growth_bytes"], found["left_bytes"], found["given_back_share"]) == (4 * MIB, MIB, 0.75)
    assert found["kernel_bytes_per_client"] == KIB


def test_a_client_without_the_whole_file_is_lost() -> None:
    rows = flow(1, 1, 0.5, size_bytes=MIB, round=1)
    rows += [reading("queue", MIB), reading("queue", 3 * MIB, 7, seconds=4.0)]
    told = {"clients": 8, "slots": 2, "file_bytes": 5, "whole": 7, "cut": 1, "refused": 0}
    rows += [{"server": "a server", "phase": "waited", "waits_seconds": [0.1, 0.4, 0.2, 0.3]} | told]
    summary = SUMMARIES["budget"](rows)
    assert summary["queue"]["lost"] == 1
    assert summary["queue"]["wait_seconds"] == {"median": 0.2, "p99": 0.4, "most": 0.4}
    assert (summary["queue"]["seconds"], summary["queue"]["growth_bytes"]) == (4, 2 * MIB)
    assert [case["gb_per_cpu_second"]["median"] for case in summary["cases"]] == [2]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (figures(0), "0"),
        (figures(0.0312), "0.0312"),
        (figures(3.456), "3.46"),
        (figures(9.996), "10"),
        (figures(12.34), "12.3"),
        (figures(99.96), "100"),
        (figures(1234.5), "1,234"),
        (memory(0), "0~B"),
        (memory(512), "512~B"),
        (memory(97_000), "97.0~kB"),
        (memory(16_057_344), "16.1~MB"),
        (memory(1_000_000_000), "1.00~GB"),
        (memory(-2_000_000), "-2.00~MB"),
        (seconds(0.42), "420~ms"),
        (seconds(2.531), "2.53~s"),
        (count(1, "client"), "1 client"),
        (count(2012, "client"), "2,012 clients"),
    ],
)
def test_numbers_have_three_digits_and_a_unit_that_suits(said: str, expected: str) -> None:
    """A no-break space (``~``) keeps a number and its unit on one line."""
    assert said == expected.replace("~", NO_BREAK_SPACE)


def test_a_window_allows_one_window_a_round_trip_and_never_more_than_the_line() -> None:
    assert window_rate(200_000, 0.2, 25e6) == 1e6
    assert window_rate(200_000, 0.008, 25e6) == 25e6
    assert window_rate(200_000, 0.001, 25e6) == 25e6
    assert window_rate(200_000, 0, 25e6) == 25e6
    assert rate(window_rate(200_000, 0.2, 25e6)) == f"1.00{NO_BREAK_SPACE}MB/s"


def test_the_speed_of_a_path_is_that_of_its_round_trip_and_its_budget() -> None:
    samples = [
        row
        for far, gigabytes in ((0.0, 0.024), (0.2, 0.012))
        for size in (20, 64)
        for number in (1, 2, 3)
        for row in flow(number * gigabytes, 1, 1, kernel=size, round_trip_seconds=far, size_bytes=size, round=number)
    ]
    cases = SUMMARIES["path"](samples)["cases"]
    assert [(case["round_trip_seconds"], case["size_bytes"]) for case in cases] == [
        (0, 20),
        (0, 64),
        (0.2, 20),
        (0.2, 64),
    ]
    assert cases[-1]["gb_per_second"] == pytest.approx({"median": 0.024, "least": 0.012, "most": 0.036})
    assert [case["kernel_bytes"]["most"] for case in cases] == [20, 64, 20, 64]
    assert cases[0]["rounds"] == {"all": 3, "starved": 0}
