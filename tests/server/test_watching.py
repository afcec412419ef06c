"""Watching a server over real sockets: the stream at /events, what it costs, who is let go, and how it ends."""

from __future__ import annotations

import json
import re
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from crowds import Crowd, Group
from freight.sample import write_sample
from gauges import KIB
from netns import HERE
from serving import Client, Served, until

Serve = Callable[..., Served]

SIZE = 64_000_000


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    path = tmp_path / "huge.csv"
    write_sample(path, SIZE)
    return path


class Viewer(Client):
    """Watches a server: reads events, one after another."""

    def __init__(self, server: Served, *fields: str, receive_bytes: int | None = None) -> None:
        super().__init__("127.0.0.1", server.admin_port, receive_bytes, named="127.0.0.1")
        self.get("/events", *fields)

    def events(self) -> Iterator[tuple[str, int, Any]]:
        """Kind, id and data of each event; ends with the stream, which must have been whole."""
        text = b""
        while size := int(self._until(b"\r\n"), 16):
            text += self.take(size)
            assert self.take(2) == b"\r\n"
            while b"\n\n" in text:
                event, _, text = text.partition(b"\n\n")
                fields = dict(line.split(": ", 1) for line in event.decode().split("\n"))
                if "data" in fields:
                    yield fields["event"], int(fields["id"]), json.loads(fields["data"])
        assert self.take(2) == b"\r\n" and text == b""


def send_queues(server: Served) -> int:
    """What the kernel holds to send on the admin listener's connections, in bytes."""
    ss = ["ss", "-tmnH", "state", "connected", "sport", "=", f":{server.admin_port}"]
    shown = subprocess.run(ss, capture_output=True, text=True, timeout=20, check=True).stdout
    return sum(int(found) for found in re.findall(r"skmem:\(.*?,w(\d+),", shown))


def test_the_stream_says_what_runs_once_a_second_and_is_not_kept(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    with Viewer(server) as viewer, server.connect(receive_bytes=4096) as client:
        status, fields = viewer.head()
        assert (status, fields["content-type"], fields["cache-control"]) == (200, "text/event-stream", "no-store")
        client.get("/huge.csv")
        client.head()
        ids = []
        for kind, at, told in viewer.events():
            ids.append(at)
            assert (kind, told["sample"][0]) == ("now", at)
            if len(ids) >= 3 and told["rows"]:
                break
        assert ids == sorted(set(ids))
        assert told["rows"][0][1:3] == ["127.0.0.1", "/huge.csv"] and told["rows"][0][4] == SIZE
        assert told["sample"][4] == 1


def test_who_comes_back_is_told_what_it_has_missed(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    with Viewer(server) as viewer:
        viewer.head()
        events = viewer.events()
        ids = [next(events)[1] for _ in range(4)]
        for fields in (f"Last-Event-ID: {ids[0]}", f"Last-Event-ID: {ids[2]}"):
            with Viewer(server, fields) as later:
                later.head()
                known = ids.index(int(fields.split()[1]))
                times: list[int] = []
                for kind, _, told in later.events():
                    times += [each[0] for each in (told if kind == "history" else [told["sample"]])]
                    if kind == "now":
                        break
                assert times[: len(ids) - known - 1] == ids[known + 1 :]


@pytest.mark.needs("ss")
@pytest.mark.parametrize("reads", [True, False], ids=["who read", "who stand still"])
def test_fifty_viewers_cost_no_more_than_a_mebibyte(huge: Path, serve: Serve, reads: bool) -> None:
    """From before the first asks, with all that the process loads for them, and with downloads to be told of."""
    server = serve(huge, "--memory", "20MB", admin=True)
    with Crowd(HERE, server.host, server.port, huge.parent) as crowd, ExitStack() as stack:
        crowd.join(Group(name="downloads", count=60, targets=("/huge.csv",), stall=1000))
        crowd.wait_count("downloads", "stalled", 60)
        until(lambda: len(server.status()["transfers"]["running"]) == 60, "all downloads run")
        before, most = server.private_bytes(), 0
        viewers = [stack.enter_context(Viewer(server, receive_bytes=None if reads else 2048)) for _ in range(50)]
        control = stack.enter_context(Viewer(server))
        control.head()
        for _, _ in zip(control.events(), range(10), strict=False):
            if reads:
                for each in select.select([each.socket for each in viewers], [], [], 0)[0]:
                    assert each.recv(1 << 18)
            most = max(most, send_queues(server) + server.private_bytes() - before)
        print(f"50 viewers: {most // KIB} KiB at most")
        assert most <= 1024 * KIB
        assert server.ask_admin("/healthz").status == 200


def test_a_viewer_that_takes_nothing_is_let_go_and_others_go_on(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--idle-timeout", "2s", "--memory", "20MB", admin=True)
    with Crowd(HERE, server.host, server.port, huge.parent) as crowd:
        crowd.join(Group(name="slow", count=50, targets=("/huge.csv",), pace=200_000))  # frames are longer with them
        with Viewer(server, receive_bytes=2048) as still, Viewer(server) as viewer:
            viewer.head()
            events = viewer.events()
            poll = select.poll()
            poll.register(still.socket, select.POLLRDHUP)

            def gone() -> bool:
                next(events)
                return bool(poll.poll(0))

            until(gone, "the viewer that takes nothing is let go")
            assert next(events)[0] == "now"


def test_no_more_than_64_watch_and_the_next_is_told_so(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    with ExitStack() as stack:
        viewers = [stack.enter_context(Viewer(server)) for _ in range(64)]
        for viewer in viewers:
            assert viewer.head()[0] == 200
        answer = server.ask_admin("/events")
        assert (answer.status, b"64 watch already" in answer.content) == (503, True)
        assert server.ask_admin("/status").status == server.ask_admin("/healthz").status == 200
        viewers[0].socket.close()
        until(lambda: _is_let_in(server), "the place of the one that went is another's")


def _is_let_in(server: Served) -> bool:
    with Viewer(server) as viewer:
        return viewer.head()[0] == 200


def test_who_watches_does_not_delay_the_end_and_its_stream_is_whole(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--drain", "1h", "--idle-timeout", "1h", admin=True)
    with Viewer(server) as viewer:
        viewer.head()
        events = viewer.events()
        next(events)
        server.signal()
        list(events)  # to its end, which events() holds to be one
        assert viewer.rest() == b""
    assert server.wait() == 0


def test_who_watches_sees_the_drain_to_its_end(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--drain", "1h", admin=True)
    with Viewer(server) as viewer, server.connect(receive_bytes=4096) as client:
        client.get("/huge.csv")
        client.head()
        until(lambda: server.gate()["running"] == 1, "it runs")
        viewer.head()
        server.signal()
        events = viewer.events()
        for _, _, told in events:
            if told["draining"]:
                break
        client.take(SIZE)
        client.socket.close()
        assert all(told["draining"] for _, _, told in events)
    assert server.wait() == 0


def test_a_page_of_another_name_or_site_is_told_nothing(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    with Client("127.0.0.1", server.admin_port, named="evil.example") as rebound:
        for path in ("/events", "/", "/dashboard/dashboard.js"):
            rebound.get(path, "Accept: text/html")
            assert rebound.answer().status == 421
    assert server.ask_admin("/events", "Sec-Fetch-Site: cross-site").status == 403


def test_who_stops_taking_a_file_of_the_page_is_let_go_too(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--idle-timeout", "1s", admin=True)
    with ExitStack() as stack:
        still = [
            stack.enter_context(Client("127.0.0.1", server.admin_port, receive_bytes=2048, named="127.0.0.1"))
            for _ in range(5)  # more than are sent at once: the last waits for a turn
        ]
        for each in still:
            each.get("/dashboard/uPlot.iife.min.js")
        assert server.ask_admin("/dashboard/dashboard.css").status == 200
        assert server.ask_admin("/healthz").status == 200
