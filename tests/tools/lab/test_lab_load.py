"""The lab detects and reports other programs that disturb it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest

from freight.tools.lab.busy import disturbance, is_busy, is_starved, warning, warning_now
from freight.tools.lab.command import rough_time
from freight.tools.lab.load import LoadMonitor, cpu_use, load_average, own_cpu_seconds, use_of, waited_seconds
from support.processes import running

STAT = """\
cpu  400 8 200 9000 10 20 30 40 0 0
cpu0 100 2 50 1000 1 5 6 7 0 0
cpu1 300 6 150 8000 9 15 24 33 0 0
intr 1 2 3
"""
QUIET = {"load": 0.31, "others_share": 0.02, "steal_share": 0.0}
BUSY = {"load": 6.9, "others_share": 0.61, "steal_share": 0.0}
STOLEN = {"load": 1.0, "others_share": 0.02, "steal_share": 0.21}
UNKNOWN = {"load": None, "others_share": None, "steal_share": None}


def test_the_processors_that_count_are_those_that_we_may_use() -> None:
    both, second = use_of(STAT, {0, 1}, 5.0), use_of(STAT, {1, 7}, 5.0)
    assert both is not None and second is not None
    assert (both.seconds, both.processors, second.processors) == (5.0, 2, 1)
    ticks = os.sysconf("SC_CLK_TCK")
    assert both.busy_seconds * ticks == pytest.approx(100 + 2 + 50 + 300 + 6 + 150)
    assert second.busy_seconds * ticks == pytest.approx(300 + 6 + 150)  # neither interrupts nor idle time
    assert second.steal_seconds * ticks == pytest.approx(33)


@pytest.mark.parametrize("text", ["", "cpu  1 2 3\n", "intr 1\n"])
def test_a_kernel_that_does_not_say_is_not_a_busy_one(text: str) -> None:
    assert use_of(text, {0, 1}, 5.0) is None
    assert not is_busy(UNKNOWN)
    assert warning(2, UNKNOWN, UNKNOWN) is None
    assert warning_now(2, UNKNOWN) is None


def test_this_kernel_says_how_busy_it_is() -> None:
    before, after = cpu_use(), cpu_use()
    assert before is not None and after is not None
    assert after.busy_seconds >= before.busy_seconds > 0
    load = load_average()
    assert load is not None and load >= 0


def test_another_program_counts_until_it_turns_out_to_have_been_ours() -> None:
    """Only children that have ended are known to be ours; this one stands for another program."""
    watch, begin, own = LoadMonitor(), cpu_use(), own_cpu_seconds()
    assert begin is not None
    burn = "import time\nwhile time.process_time() < 0.4: pass\nprint(flush=True)\ninput()"
    with running([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        seen = watch.read()
        assert seen["others_share"] >= 0.3 / (time.monotonic() - begin.seconds) / begin.processors
    assert own_cpu_seconds() - own >= 0.4


def test_how_long_a_process_has_waited_for_a_processor_is_read_where_the_kernel_counts_it() -> None:
    before = waited_seconds(os.getpid())
    if before is None:
        pytest.skip("this kernel does not count it")
    assert (waited_seconds(os.getpid()) or 0.0) >= before >= 0
    assert waited_seconds(2**22 + 1) is None  # no process has this number (proc(5), pid_max)


@pytest.mark.parametrize(
    ("before", "during", "said"),
    [
        (QUIET, QUIET, None),
        ({**QUIET, "load": 6.9}, QUIET, None),  # what ran before the lab does not run any more
        (
            BUSY,
            BUSY,
            (
                "This machine was busy (load 6.9 on 2 processors; other programs took 61% of the processors): "
                "do not trust these numbers."
            ),
        ),
        (
            QUIET,
            STOLEN,
            (
                "This machine was busy (load 0.3 on 2 processors; other virtual machines took 21% of the processors): "
                "do not trust these numbers."
            ),
        ),
        (
            {**BUSY, "load": None},
            BUSY,
            "This machine was busy (other programs took 61% of the processors): do not trust these numbers.",
        ),
    ],
)
def test_a_busy_machine_is_named_as_the_reason_not_to_trust_the_numbers(
    before: Mapping[str, Any], during: Mapping[str, Any], said: str | None
) -> None:
    assert warning(2, before, during) == said


def test_it_is_said_before_and_for_each_scenario_too() -> None:
    expected = "this machine is busy now (load 6.9 on 1 processor); the numbers will not be trustworthy"
    assert warning_now(1, BUSY) == expected
    assert warning_now(1, QUIET) is None
    assert disturbance(BUSY) == "While this was measured, other programs took 61% of the processors."
    assert disturbance(QUIET) is None


@pytest.mark.parametrize(
    ("others", "waited", "expected"),
    [(0.0, 0.0, False), (0.5, 0.0, False), (0.0, 0.5, False), (0.5, 0.5, True), (None, 0.5, False), (0.5, None, False)],
)
def test_clients_are_starved_if_they_had_no_processor_while_others_had(
    others: float | None, waited: float | None, expected: bool
) -> None:
    """Clients that wait for a processor while only the server runs are no fault of the machine."""
    first = {"seconds": 10.0, "others_seconds": 3.0, "crowd_waited_seconds": 1.0}
    last = {
        "seconds": 12.0,
        "others_seconds": None if others is None else 3.0 + 2 * others,
        "crowd_waited_seconds": None if waited is None else 1.0 + 2 * waited,
    }
    assert is_starved([first, last]) is expected
    assert is_starved([{"seconds": 1.0}, {"seconds": 2.0}]) is False  # older results do not have it


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "about 5 s"), (13, "about 15 s"), (49, "about 50 s"), (57, "about 1 minute"), (333, "about 6 minutes")],
)
def test_an_expected_time_is_a_round_one(seconds: float, said: str) -> None:
    assert rough_time(seconds) == said
