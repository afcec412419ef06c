"""How much memory the process has to itself: read from the kernel, not more often than once a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from freight.heap import parse_statm
from freight.observe.process import ProcessMemory, parse_rollup

ROLLUP = b"""55d0c8a00000-7ffd4b5f2000 ---p 00000000 00:00 0                          [rollup]
Rss:               20484 kB
Pss:               16021 kB
Shared_Clean:       5120 kB
Private_Clean:       264 kB
Private_Dirty:     15000 kB
Private_Hugetlb:       0 kB
Swap:                  0 kB
"""
STATM = b"30000 5000 1200 1 0 4000 0\n"


class Hands:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return self.at


def test_private_memory_is_clean_and_dirty_together_in_bytes() -> None:
    assert parse_rollup(ROLLUP) == (264 + 15_000) * 1024


def test_without_a_rollup_it_is_what_is_resident_and_not_shared() -> None:
    assert parse_statm(STATM, 4096) == 3800 * 4096


@pytest.mark.parametrize("text", [b"", b"Rss: 1 kB\n"])
def test_a_rollup_without_private_memory_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="no private memory"):
        parse_rollup(text)


@pytest.mark.parametrize("text", [b"", b"1 2", b"a b c"])
def test_a_statm_without_numbers_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"statm|invalid literal"):
        parse_statm(text, 4096)


def test_the_kernel_is_asked_once_a_second_at_most(tmp_path: Path) -> None:
    clock = Hands()
    memory = ProcessMemory(clock, tmp_path)
    (tmp_path / "smaps_rollup").write_bytes(b"Private_Dirty: 1 kB\n")
    assert memory.private_bytes() == 1024
    (tmp_path / "smaps_rollup").write_bytes(b"Private_Dirty: 2 kB\n")
    clock.at = 0.9
    assert memory.private_bytes() == 1024
    clock.at = 1.0
    assert memory.private_bytes() == 2048


def test_what_the_kernel_does_not_say_is_looked_for_elsewhere_and_then_0(tmp_path: Path) -> None:
    assert ProcessMemory(Hands(), tmp_path).private_bytes() == 0
    (tmp_path / "statm").write_bytes(b"9 5 4 0 0 0 0\n")
    assert ProcessMemory(Hands(), tmp_path).private_bytes() > 0


def test_this_process_has_some() -> None:
    assert ProcessMemory(Hands()).private_bytes() > 1 << 20
