"""The matrix in the reference is the whole one."""

from __future__ import annotations

from benchmarks.embedded_matrix import END, GROUPS, OTHERS, PAGE, START, group_of
from selections import SELECTIONS

from support.app_servers import COMMANDS


def test_the_matrix_has_each_server_and_each_request() -> None:
    table = PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0].strip().splitlines()
    assert len(table) == 2 + 1 + len(COMMANDS) + len(OTHERS)
    for name in [*(f"under {name} |" for name in COMMANDS), *OTHERS]:
        assert any(name in line for line in table)
    counts = [sum(group_of(rule) == group for rule, *_ in SELECTIONS) for group in GROUPS]
    assert all(counts) and f"| {' | '.join(f'{count} of {count}' for count in counts)} |" in table[2]
    left = [rule for rule, *_ in SELECTIONS if group_of(rule) is None]
    assert left == ["14.2: of a listing, which has no length"]
