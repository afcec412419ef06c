"""The lines of a view: complete, never wider or longer than the terminal, and in ASCII if it has no more."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from statuses import parsed_status, running, waiting

from freight.model import WaitReason
from freight.tools.top.follow import View, follow
from freight.tools.top.frame import frame, visible_rows
from freight.tools.top.style import SORTS, Style

PLACE = "127.0.0.1:9080"


def seen(*rows: dict[str, Any], **given: Any) -> View:
    return follow(None, parsed_status(*rows, **given), 0.0)


def lines(view: View | None, note: str = "", **style: Any) -> list[str]:
    return [line.plain.rstrip() for line in frame(view, PLACE, note, Style(**{"width": 80} | style))]


def test_a_server_at_a_glance() -> None:
    admission = {"slots": 503, "running": 120, "express_running": 3, "waiting": 12, "oldest_wait_seconds": 4.2}
    admission |= {"refused_total": 9, "waiting_by_reason": {"max-per-client": 3, "slots": 9, "turn": 0}}
    view = seen(draining=True, admission=admission)
    assert lines(view) == [
        "freight 1.2.3  127.0.0.1:9080  draining  data · 127.0.0.1:8080 · pid 1503",
        "memory  ━━━━━━━━━━━─────  70%  14.0MB of 20MB: process 2.00MB, kernel 12.0MB",
        "slots   ━━━─────────────  23%  120 of 503 run, 3 express; 7 connections",
        "queue   12 wait, the oldest for 4.2s: 9 slots, 3 max-per-client; 9 rejected",
        "rate    0B/s; 123MB sent, 5 downloads completed",
        "aborted 2 stalled",
        "",
        "no downloads",
    ]


def test_lost_log_lines_are_shown_only_if_there_are_any() -> None:
    hangs = {"path": "/srv/m", "seconds": 16.0, "hung_calls": 2, "serves_root": False}
    assert lines(seen(unresponsive=[hangs]))[6] == "disk    /srv/m has not answered for 16s"
    assert lines(seen(log={"lost_total": 1234}))[6] == "log     1,234 lines lost"
    assert not [line for line in lines(seen(log={"lost_total": 0})) if "lost" in line]


def test_several_workers_are_shown_and_a_budget_as_it_was_set() -> None:
    view = seen(server={"workers": 2, "memory": "64MiB"}, memory={"budget_bytes": 64 << 20})
    assert lines(view)[0].endswith("pid 1503 · 2 workers")
    assert " 14.0MB of 64MiB: " in lines(view)[1]


def test_an_exceeded_budget_is_reported() -> None:
    spent = seen(server={"memory": "10MB"}, memory={"budget_bytes": 10_000_000})
    assert " 140%  over budget: 14.0MB of 10MB: process 2.00MB" in lines(spent)[1]


def test_blocked_downloads_are_shown_in_whole_numbers() -> None:
    first = follow(None, parsed_status(), 0.0)
    then = follow(first, parsed_status(time={"blocked_on_client_seconds": 47.9, "blocked_on_disk_seconds": 0.2}), 1.0)
    assert lines(then)[6] == "blocked 48 on clients, 0 on disk"


def test_each_download_has_a_bar_a_rate_an_eta_and_a_state() -> None:
    view = seen(
        running(sent=450_000_000, total_bytes=10**9, rate=10_000_000, seconds=40),
        running(
            client="2001:db8:aaaa:bbbb::1", target="/a/long/way/to/the/file.csv", total_bytes=None, rate=5, seconds=30
        ),
        running(rate=0, seconds=20),
        running(blocked_on="disk", seconds=10),
    )
    assert lines(view)[7:] == [
        "client          target            sent          %     of     rate    eta state",
        "127.0.0.1       /huge.csv         ━━━━──────  45% 1.00GB 10.0MB/s    55s sending",
        "2001:db8:aaaa:… …/to/the/file.csv 400B                       5B/s      - sending",
        "127.0.0.1       /huge.csv         ━━━━──────  40% 1.00kB     0B/s      - stalled",
        "127.0.0.1       /huge.csv         ━━━━──────  40% 1.00kB   100B/s   6.0s disk",
    ]


def test_a_wide_terminal_has_longer_bars_ages_and_more_words() -> None:
    rows = (running(rate=0, seconds=20), running(blocked_on="disk", seconds=10))
    head, stalled, disk = lines(seen(*rows), width=120)[7:]
    assert head.split() == ["client", "target", "sent", "%", "of", "rate", "age▼", "eta", "state"]
    assert stalled.endswith("0B/s    20s      - stalled 20s") and disk.endswith("100B/s    10s   6.0s waiting for disk")
    bars = [lines(seen(*rows), width=width)[8].count("─") for width in (80, 120, 200)]
    assert bars[0] < bars[1] < bars[2]
    assert max(map(cell_len, lines(seen(*rows), width=200))) > 180  # of the target's column nothing is left empty


def test_what_waits_is_a_table_below_with_place_time_and_reason() -> None:
    view = seen(
        running(),
        admission={"waiting": 2},
        waiting=[waiting(), waiting(client="2001:db8:aaaa:bbbb::1", place=2, seconds=65, reason="max-per-client")],
        waiting_omitted=3,
    )
    assert lines(view)[9:] == [
        "",
        "place client          target                   waited reason",
        "    1 127.0.0.1       /huge.csv                  4.2s slots",
        "    2 2001:db8:aaaa:… /huge.csv                 1m05s max-per-client",
        "and 3 more",
    ]


def test_an_error_is_in_the_first_line_above_the_old_numbers() -> None:
    assert lines(None, "not reachable, trying again") == ["freight 127.0.0.1:9080  not reachable, trying again"]
    assert lines(seen(), "not reachable, trying again")[0].endswith("not reachable, trying again")
    assert lines(seen(), "not reachable, trying again")[1].startswith("memory")


@pytest.mark.parametrize(
    ("key", "order"),
    [("a", "bca"), ("r", "cab"), ("p", "abc"), ("e", "acb"), ("s", "bac"), ("c", "abc"), ("t", "cba")],
)
def test_each_key_sorts_and_again_reverses_the_order(key: str, order: str) -> None:
    view = seen(
        running(client="a", target="/3", sent=900, rate=50, seconds=1),
        running(client="b", target="/2", sent=500, rate=0, seconds=30),
        running(client="c", target="/1", sent=100, rate=60, seconds=20),
    )
    (sort,) = [sort for sort in SORTS if sort.key == key]
    straight = [line[0] for line in lines(view, sort=sort)[8:]]
    turned = [line[0] for line in lines(view, sort=sort, reversed=True)[8:]]
    mark, other = ("▼", "▲") if sort.descending else ("▲", "▼")
    assert f"{sort.column}{mark}" in lines(view, sort=sort, width=120)[7]
    assert f"{sort.column}{other}" in lines(view, sort=sort, width=120, reversed=True)[7]
    if key == "s":  # of two that go on neither has stalled longer
        assert (straight[0], turned[-1]) == ("b", "b")
    else:
        assert ("".join(straight), "".join(turned)) == (order, order[::-1])


def test_what_there_is_no_room_for_is_counted_and_can_be_scrolled_to() -> None:
    rows = [running(target=f"/{at:03}", seconds=1000 - at) for at in range(100)]
    view = seen(*rows, transfers={"running_omitted": 900})

    def shown(**style: Any) -> tuple[list[str], str]:
        full = lines(view, height=24, keys=True, **style)
        assert len(full) == 24
        assert full[-1].startswith("q quit  ? help  sort: a age▼ r rate")
        return re.findall(r" /(\d\d\d) ", "\n".join(full)), full[-2]

    room, _ = visible_rows(view, Style(80, 24, keys=True))
    for first in (0, 1, room, 50):
        targets, said = shown(first_download=first)
        assert targets == [f"{at:03}" for at in range(first, first + room)]
        assert said == f"{first + 1}-{first + room} of 100, and 900 more that the server does not list"
    assert shown(first_download=100)[0] == shown(first_download=100 - room)[0]  # not beyond the end
    assert len(lines(view)) == 8 + 100 + 1  # a pipe has room for all that a status has


def test_both_tables_share_the_room_and_what_waits_is_scrolled_apart() -> None:
    view = seen(
        *(running() for _ in range(50)),
        admission={"waiting": 30},
        waiting=[waiting(place=at, target=f"/w{at}") for at in range(1, 31)],
    )
    style = Style(80, 40, keys=True)
    downloads, waiters = visible_rows(view, style)
    assert downloads > waiters > 3
    full = lines(view, height=40, keys=True, first_waiting=5)
    assert len(full) == 40
    assert sum("/huge.csv" in line for line in full) == downloads
    assert re.findall(r"/w(\d+)", "\n".join(full)) == [str(at) for at in range(6, 6 + waiters)]
    assert f"6-{5 + waiters} of 30" in full


def test_help_says_what_every_key_column_and_reason_means() -> None:
    shown = lines(seen(running()), height=24, keys=True, help=True, width=120)
    text = "\n".join(shown)
    assert len(shown) == 24 and "/huge.csv" not in text
    for word in ("PgUp", "Tab", "quit", "eta", "state", "place", *(each.value for each in WaitReason)):
        assert word in text, word


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
    total_bytes=st.none() | st.integers(0, 10**18),
    sent=st.integers(0, 10**18),
    rate=st.integers(0, 10**18),
    seconds=st.floats(0, 10**9),
    blocked_on=st.sampled_from(["client", "disk"]),
)


waiters = st.builds(
    waiting,
    client=texts,
    target=texts,
    reason=texts,
    place=st.integers(0, 10**18),
    seconds=st.floats(0, 10**9),
)


@given(
    st.lists(rows, max_size=30),
    st.lists(waiters, max_size=30),
    st.integers(1, 200),
    st.integers(1, 60) | st.none(),
    st.booleans(),
    st.booleans(),
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans()),
    texts,
)
@settings(deadline=None)
def test_no_line_is_wider_and_no_frame_longer_than_the_terminal(
    downloads: list[dict[str, Any]],
    queue: list[dict[str, Any]],
    width: int,
    height: int | None,
    unicode: bool,
    keys: bool,
    where: tuple[int, int, bool],
    note: str,
) -> None:
    style = Style(width, height, unicode, SORTS[1], False, keys and height is not None, where[2], *where[:2])
    admission = {"waiting": len(queue), "waiting_by_reason": {note: len(queue)}}
    for view in (None, seen(*downloads, admission=admission, waiting=queue)):
        made = frame(view, PLACE, "".join(filter(str.isprintable, note)), style)
        assert all(cell_len(line.plain) <= width for line in made)
        assert all(line.plain.isprintable() for line in made)
        assert height is None or len(made) <= height
        assert unicode or all(line.plain.isascii() for line in made)
        assert all(room >= 1 for room in visible_rows(view, style))
