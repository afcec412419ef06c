"""Lines of a view: all that is to be seen, never wider or longer than the terminal, in ASCII where it has no more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from statuses import look, running

from freight.top.follow import View, follow
from freight.top.frame import SORTS, Style, frame

PLACE = "127.0.0.1:9080"


def seen(*rows: dict[str, Any], **given: Any) -> View:
    return follow(None, look(*rows, **given), 0.0)


def lines(view: View | None, note: str = "", **style: Any) -> list[str]:
    return [line.plain.rstrip() for line in frame(view, PLACE, note, Style(**{"width": 80} | style))]


def test_a_server_at_a_glance() -> None:
    gate = {"slots": 503, "running": 120, "express_running": 3, "waiting": 12, "oldest_wait_seconds": 4.2}
    view = seen(draining=True, gate=gate | {"refused_total": 9})
    assert lines(view) == [
        "freight 1.2.3  127.0.0.1:9080  draining",
        "memory  ━━━━━━━━━━━─────  70%  14.0MB of 20MB: process 2.00MB, kernel 12.0MB",
        "slots   ━━━─────────────  23%  120 of 503 run, 3 express; 7 connections",
        "queue   12 wait, the oldest for 4.2s; 9 refused",
        "rate    0B/s; 123MB sent, 5 downloads whole",
        "aborted 2 stalled",
        "",
        "no downloads",
    ]


def test_each_download_has_a_bar_a_rate_and_an_eta_or_what_keeps_it() -> None:
    view = seen(
        running(sent=450_000_000, of=10**9, rate=10_000_000, seconds=40),
        running(client="2001:db8:aaaa:bbbb::1", target="/a/long/way/to/the/file.csv", of=None, rate=5, seconds=30),
        running(rate=0, seconds=20),
        running(blocked_on="disk", seconds=10),
    )
    assert lines(view)[7:] == [
        "client          target                  sent          %     of     rate      eta",
        "127.0.0.1       /huge.csv               ━━━━──────  45% 1.00GB 10.0MB/s      55s",
        "2001:db8:aaaa:… …ng/way/to/the/file.csv                            5B/s        -",
        "127.0.0.1       /huge.csv               ━━━━──────  40% 1.00kB     0B/s  stalled",
        "127.0.0.1       /huge.csv               ━━━━──────  40% 1.00kB   100B/s     disk",
    ]


def test_what_is_wrong_stands_in_the_first_line_and_the_old_figures_below() -> None:
    assert lines(None, "not reachable, trying again") == ["freight 127.0.0.1:9080  not reachable, trying again"]
    assert lines(seen(), "not reachable, trying again")[0].endswith("not reachable, trying again")
    assert lines(seen(), "not reachable, trying again")[1].startswith("memory")


@pytest.mark.parametrize(
    ("key", "order"),
    [("a", "bca"), ("r", "cab"), ("p", "abc"), ("e", "acb"), ("s", "bac"), ("c", "abc"), ("t", "cba")],
)
def test_each_key_sorts_and_turned_it_is_the_other_way_round(key: str, order: str) -> None:
    view = seen(
        running(client="a", target="/3", sent=900, rate=50, seconds=1),
        running(client="b", target="/2", sent=500, rate=0, seconds=30),
        running(client="c", target="/1", sent=100, rate=60, seconds=20),
    )
    (sort,) = [sort for sort in SORTS if sort.key == key]
    straight = [line[0] for line in lines(view, sort=sort)[8:]]
    turned = [line[0] for line in lines(view, sort=sort, turned=True)[8:]]
    if key == "s":  # of two that go on neither stands still longer
        assert (straight[0], turned[-1]) == ("b", "b")
    else:
        assert ("".join(straight), "".join(turned)) == (order, order[::-1])


def test_what_there_is_no_room_for_is_counted() -> None:
    view = seen(*(running() for _ in range(100)), transfers={"running_omitted": 900})
    full = lines(view, height=24, keys=True)
    assert len(full) == 24
    assert full[-1].startswith("q quit  sort: a age+ r rate")
    shown = [line for line in full if "/huge.csv" in line]
    assert full[-2] == f"and {1000 - len(shown)} more"
    assert len(lines(view)) == 8 + 100 + 1  # a pipe has room for all that a status has


def test_all_are_shown_where_they_just_fit() -> None:
    view = seen(*(running() for _ in range(14)))
    full = lines(view, height=23, keys=True)
    assert len([line for line in full if "/huge.csv" in line]) == 14
    assert not any("more" in line for line in full)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
rows = st.builds(
    running,
    client=texts,
    target=texts,
    of=st.none() | st.integers(0, 10**18),
    sent=st.integers(0, 10**18),
    rate=st.integers(0, 10**18),
    seconds=st.floats(0, 10**9),
    blocked_on=st.sampled_from(["client", "disk"]),
)


@given(
    st.lists(rows, max_size=30),
    st.integers(1, 200),
    st.integers(1, 60) | st.none(),
    st.booleans(),
    st.booleans(),
    texts,
)
@settings(deadline=None)
def test_no_line_is_wider_and_no_frame_longer_than_the_terminal(
    downloads: list[dict[str, Any]], width: int, height: int | None, unicode: bool, keys: bool, note: str
) -> None:
    style = Style(width, height, unicode, keys=keys and height is not None)
    for view in (None, seen(*downloads)):
        made = frame(view, PLACE, "".join(filter(str.isprintable, note)), style)
        assert all(cell_len(line.plain) <= width for line in made)
        assert all(line.plain.isprintable() for line in made)
        assert height is None or len(made) <= height
        assert unicode or all(line.plain.isascii() for line in made)
