"""The longest mount point that a path begins with chooses its mount, name by name."""

from __future__ import annotations

import pytest

from freight.sources.mount_table import MountTable

A, AB, ABCD, X = ("a",), ("a", "b"), ("a", "b", "c", "d"), ("x",)


@pytest.mark.parametrize(
    ("names", "point"),
    [
        ((), ()),
        (("y",), ()),
        (("ab",), ()),
        (("A",), ()),
        (A, A),
        (("a", "y"), A),
        (("a", "bc"), A),
        (AB, AB),
        (("a", "b", "c"), AB),
        (ABCD, ABCD),
        ((*ABCD, "e", "f"), ABCD),
        (X, X),
        (("x", "a", "b"), X),
        (("b", "a"), ()),
    ],
)
def test_the_longest_point_wins(names: tuple[str, ...], point: tuple[str, ...]) -> None:
    table = MountTable({each: "/".join(each) for each in ((), A, AB, ABCD, X)})
    assert table.find(names) == (point, "/".join(point))


@pytest.mark.parametrize("names", [(), ("y",), ("ab",), ("b", "a")])
def test_without_a_root_other_paths_belong_to_no_mount(names: tuple[str, ...]) -> None:
    assert MountTable({A: 1}).find(names) is None


def test_the_entries_of_a_directory_are_mounts_or_lead_to_one() -> None:
    table = MountTable({(): 0, ABCD: 1, AB: 2, X: 3})
    assert table.entries(()) == {"a": None, "x": 3}
    assert table.entries(A) == {"b": 2}
    assert table.entries(AB) == {"c": None}
    assert table.entries(("a", "b", "c")) == {"d": 1}
    assert [table.entries(names) for names in (ABCD, X, ("y",))] == [None] * 3
    assert list(table.nested()) == [(ABCD, 2)]
