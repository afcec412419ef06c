"""The report gives a reason only if the numbers agree with it, and warns about numbers that cannot be trusted."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from freight.tools.lab.figures import DRAWINGS
from freight.tools.lab.report_text import remarks, sentences, verdict
from freight.tools.lab.scenarios import BY_NAME
from freight.tools.lab.summary import SUMMARIES
from freight.tools.lab.tables import KEYS, TABLES

RESULTS = Path(__file__).resolve().parents[3] / "docs" / "figures" / "lab" / "results.json"
Record = dict[str, Any]


@pytest.fixture(scope="module")
def measured() -> dict[str, Record]:
    """The records of a whole run on a quiet machine, whose numbers agree with every reason."""
    read: dict[str, Record] = json.loads(RESULTS.read_text(encoding="utf-8"))["scenarios"]
    return read


def spread(value: float) -> dict[str, float]:
    return {"median": value, "least": value, "most": value}


def crooked(summary: Record) -> None:
    next(iter(summary["servers"].values()))["r_squared"] = 0.71


def a_smaller_budget_is_faster(summary: Record) -> None:
    summary["cases"][0]["gb_per_cpu_second"] = spread(99)


def one_budget_between_is_slower(summary: Record) -> None:
    """As on a busy machine: the ends agree with the reason, what is between them does not."""
    summary["cases"][2]["gb_per_cpu_second"] = spread(0.5)


def the_spreads_overlap(summary: Record) -> None:
    for case in summary["cases"]:
        case["gb_per_cpu_second"] |= {"least": 0.1, "most": 99.0}


def one_speed_was_disturbed_every_time(summary: Record) -> None:
    summary["cases"][1]["rounds"] = {"all": 3, "starved": 3}


def no_copy_for_each_client(summary: Record) -> None:
    summary["process_bytes_per_client"]["read it all"] = 4096.0


def others_hold_the_file_too(summary: Record) -> None:
    summary["process_bytes_per_client"]["zero-copy"] = 2e6


def the_smallest_buffer_is_fast(summary: Record) -> None:
    summary["cases"][0]["gb_per_cpu_second"] = spread(99)


def the_budget_saves_nothing(summary: Record) -> None:
    summary["window_effect"] = 1.1


def the_process_grew_as_well(summary: Record) -> None:
    case = summary["cases"]["zero-copy"]
    case["growth_bytes"] = case["kernel_bytes"]


def it_was_not_resumed(summary: Record) -> None:
    summary["cases"]["length stated"]["answered"] = 200


def it_leaks(summary: Record) -> None:
    summary.update(returned=False, left_bytes=256_000_000)


def windows_are_of_one_size(summary: Record) -> None:
    for case in summary["cases"]:
        case["gb_per_second"] = spread(204_800 / max(case["round_trip_seconds"], 0.01) / 1e9)


def the_line_is_full_at_any_length(summary: Record) -> None:
    for case in summary["cases"]:
        case["gb_per_second"] = spread(0.024)


def it_grew(summary: Record) -> None:
    summary["growth_bytes"] = 9_000_000


@pytest.mark.parametrize(
    ("name", "change", "said", "instead"),
    [
        ("memory", it_leaks, "needs almost no memory", "this is LEAKING: at most"),
        ("memory", it_grew, "needs almost no memory", "made the process grow by at most 9.00 MB"),
        ("strategies", no_copy_for_each_client, "because each has a copy", "do not show what each client should cost"),
        ("strategies", others_hold_the_file_too, "because they never hold", "do not show what each client should cost"),
        ("buffer", the_smallest_buffer_is_fast, "because each buffer takes", "do not show that a small buffer is slow"),
        (
            *("buffer", one_speed_was_disturbed_every_time),
            *("because each buffer takes", "do not show that a small buffer is slow"),
        ),
        (
            *("budget", one_speed_was_disturbed_every_time),
            *("because smaller windows", "do not show that a smaller budget is slower"),
        ),
        ("buffer", the_spreads_overlap, "because each buffer takes", "do not show that a small buffer is slow"),
        ("stalled", the_budget_saves_nothing, "freight limits what", "do not show what a budget saves"),
        ("stalled", the_process_grew_as_well, "because the bytes are in the kernel", "The process itself grew by"),
        ("crowd", crooked, "the points lie on a straight line", "do not lie on a straight line (r² = 0.71"),
        (
            "budget",
            a_smaller_budget_is_faster,
            "because smaller windows",
            "do not show that a smaller budget is slower",
        ),
        ("budget", one_budget_between_is_slower, "because smaller windows", "do not show that a smaller budget"),
        ("budget", the_spreads_overlap, "because smaller windows", "do not show that a smaller budget is slower"),
        ("path", windows_are_of_one_size, "windows grow with the path:", "do not show that windows grow with the path"),
        ("length", it_was_not_resumed, "resumes only if its length", "do not show what a stated length saves"),
    ],
)
def test_a_reason_is_given_where_the_numbers_agree_with_it_and_not_elsewhere(
    measured: dict[str, Record], name: str, change: Callable[[Record], None], said: str, instead: str
) -> None:
    record = deepcopy(measured[name])
    before = " ".join(sentences(name, record)).replace("\N{NO-BREAK SPACE}", " ")
    assert said in before and instead not in before
    change(record["summary"])
    after = " ".join(sentences(name, record)).replace("\N{NO-BREAK SPACE}", " ")
    assert said not in after and instead in after


def test_the_hosts_send_buffer_is_the_reason_only_where_no_budget_fills_the_line(measured: dict[str, Record]) -> None:
    record = deepcopy(measured["path"])
    assert "No budget fills the line at 200" in " ".join(sentences("path", record))
    record["settings"]["largest_send_buffer_bytes"] = 10_000_000
    assert "No budget fills" not in " ".join(sentences("path", record))
    record = deepcopy(measured["path"])
    the_line_is_full_at_any_length(record["summary"])
    assert "No budget fills" not in " ".join(sentences("path", record))


def test_the_fastest_buffer_may_be_the_largest_one(measured: dict[str, Record]) -> None:
    record = deepcopy(measured["buffer"])
    knee = record["summary"]["knee"]["size_bytes"] // 1024
    assert verdict("buffer", record).startswith(f"A buffer of {knee}KiB is enough: ")
    record["summary"]["knee"] = record["summary"]["largest"]
    assert verdict("buffer", record).startswith("The largest buffer, 4MiB, is the fastest here: ")
    assert "only costs memory" not in " ".join(sentences("buffer", record))


@pytest.mark.parametrize("name", list(BY_NAME))
def test_each_section_has_one_verdict_and_a_table_of_at_most_four_columns(
    measured: dict[str, Record], name: str
) -> None:
    record = measured[name]
    said = verdict(name, record)
    assert said.endswith(".") and len(said.split()) <= 36
    assert not re.search(r"[\d.]+, [\d.]+, [\d.]+", said)  # no list of numbers without names: that is a table
    head, *rows = KEYS[name](record)
    assert 2 <= len(head) <= 4
    assert rows and all(len(row) == len(head) for row in rows)
    assert all(len(row) == len(TABLES[name](record)[0]) for row in TABLES[name](record))


def flow(rounds: list[tuple[float, bool]]) -> list[Record]:
    """Ten clients, in mid-download and in rounds of a speed, some of them disturbed by other programs."""
    row = {"server": "freight", "clients": 10, "process_bytes": 1e7, "pss_bytes": 1e7, "kernel_bytes": 0.0}
    rows = [{**row, "phase": "held"}]
    for number, (gigabytes, disturbed) in enumerate(rounds, start=1):
        first = {"seconds": 0.0, "cpu_seconds": 0.0, "taken_bytes": 0.0}
        first |= {"others_seconds": 0.0, "crowd_waited_seconds": 0.0}
        last = {"seconds": 1.0, "cpu_seconds": 1.0, "taken_bytes": gigabytes * 1e9}
        last |= {"others_seconds": 0.5 * disturbed, "crowd_waited_seconds": 0.5 * disturbed}
        rows += [{**row, "phase": "flow", "round": number, **at} for at in (first, last)]
    return rows


def strategies(rounds: list[tuple[float, bool]]) -> Record:
    samples = flow(rounds)
    return {"samples": samples, "summary": SUMMARIES["strategies"](samples)}


def test_a_measurement_whose_clients_were_starved_is_left_out() -> None:
    record = strategies([(2.0, False), (0.1, True), (4.0, False)])
    (case,) = record["summary"]["cases"]
    assert case["gb_per_second"] == {"median": 3.0, "least": 2.0, "most": 4.0}
    assert case["rounds"] == {"all": 3, "starved": 1}
    assert remarks(record) == [
        "1 of 3 measurements of speed left out, because other programs kept the clients from a processor."
    ]
    assert "*" not in TABLES["strategies"](record)[1][-1]


def test_a_case_whose_clients_were_starved_every_time_is_marked() -> None:
    record = strategies([(2.0, True), (0.1, True), (4.0, True)])
    (case,) = record["summary"]["cases"]
    assert case["gb_per_second"] == {"median": 2.0, "least": 0.1, "most": 4.0}
    assert remarks(record) == [
        (
            "3 of 3 measurements of speed marked with *, because other programs kept the clients from a processor, "
            "every time."
        )
    ]
    assert TABLES["strategies"](record)[1][-1].endswith("*")
    assert remarks(strategies([(2.0, False)])) == []


def test_memory_that_did_not_settle_is_named(measured: dict[str, Record]) -> None:
    record = deepcopy(measured["stalled"])
    assert remarks(record) == []
    record["samples"][-1]["settled"] = False
    assert remarks(record) == ["Some memory was still changing when it was read, after waiting for it for 6 s."]


def labels(picture: str, names: set[str]) -> list[tuple[float, float]]:
    """Return the positions of these labels, in points from the upper left corner."""
    found = []
    for attributes, text in re.findall(r"<text ([^>]*)>([^<]*)</text>", picture):
        if text in names:
            place = re.search(r"translate\(([\d.]+) ([\d.]+)\)", attributes) or re.search(
                r'x="([\d.]+)" y="([\d.]+)"', attributes
            )
            assert place, attributes
            found.append((float(place[1]), float(place[2])))
    return found


@pytest.mark.parametrize("apart", [1.0, 1.001, 1.02, 1.1])
def test_no_two_names_of_lines_meet(measured: dict[str, Record], apart: float) -> None:
    """However close the lines end."""
    record = deepcopy(measured["strategies"])
    lasts = {case["server"]: case for case in record["summary"]["cases"] if case["clients"] == 500}
    for number, case in enumerate(lasts.values()):
        case["process_bytes"], case["cpu_seconds_per_gb"] = spread(2e7 * apart**number), spread(0.5 * apart**number)
    places = labels(DRAWINGS["strategies"](record)["strategies"], set(lasts))
    assert len(places) == 2 * len(lasts)
    columns = sorted({round(x) for x, _ in places})
    assert len(columns) == 2
    for column in columns:
        heights = sorted(y for x, y in places if round(x) == column)
        assert min(lower - upper for upper, lower in itertools.pairwise(heights)) >= 11  # a line of 9.5 pt
