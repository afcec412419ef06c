"""The private memory of a process, read from the kernel at most once a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from freight.memory.heap import parse_statm
from freight.observe.process import ProcessMemory, parse_rollup
from support.clocks import ManualClock

ROLLUP = b"""55d0c8a00000-7ffd4b5f2000 ---p 00000000 00:00 0                          [rollup]
Rss:               20484 kB
Pss:               16021 kB
Shared_Clean:       5120 kB
Private_Clean:       264 kB
Private_Dirty:     15000 kB
Anonymous:         15100 kB
Private_Hugetlb:       0 kB
Swap:                 40 kB
SwapPss:              40 kB
"""
STATM = b"30000 5000 1200 1 0 4000 0\n"


def test_private_memory_is_dirty_and_swapped_pages_without_mapped_programs() -> None:
    assert parse_rollup(ROLLUP) == (15_000 + 40) * 1024


def test_dirty_pages_of_a_program_that_was_just_installed_do_not_count() -> None:
    """They are dirty until they are on the disk: the figure would fall by megabytes 30 s after the start."""
    assert parse_rollup(ROLLUP.replace(b"15100", b" 9000")) == (9000 + 40) * 1024


def test_a_rollup_with_fewer_lines_is_enough() -> None:
    assert parse_rollup(b"Private_Dirty: 12 kB\n") == 12 * 1024


def test_statm_gives_resident_less_shared_pages() -> None:
    assert parse_statm(STATM, 4096) == 3800 * 4096


@pytest.mark.parametrize("text", [b"", b"Rss: 1 kB\n", b"Private_Clean: 1 kB\n"])
def test_a_rollup_without_private_memory_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="no private memory"):
        parse_rollup(text)


@pytest.mark.parametrize("text", [b"", b"1 2", b"a b c"])
def test_a_statm_without_numbers_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"statm|invalid literal"):
        parse_statm(text, 4096)


def test_it_is_measured_at_most_once_a_second(tmp_path: Path) -> None:
    clock = ManualClock(0.0)
    memory = ProcessMemory(clock, tmp_path)
    (tmp_path / "smaps_rollup").write_bytes(b"Private_Dirty: 1 kB\n")
    assert memory.private_bytes() == 1024
    (tmp_path / "smaps_rollup").write_bytes(b"Private_Dirty: 2 kB\n")
    clock.seconds = 0.9
    assert memory.private_bytes() == 1024
    clock.seconds = 1.0
    assert memory.private_bytes() == 2048


def test_without_a_rollup_statm_is_read_and_without_that_it_is_0(tmp_path: Path) -> None:
    assert ProcessMemory(ManualClock(0.0), tmp_path).private_bytes() == 0
    (tmp_path / "statm").write_bytes(b"9 5 4 0 0 0 0\n")
    assert ProcessMemory(ManualClock(0.0), tmp_path).private_bytes() > 0


def test_this_process_has_private_memory() -> None:
    assert ProcessMemory(ManualClock(0.0)).private_bytes() > 1 << 20
