"""Watching a server over real sockets: the stream at /events, its cost, which viewers are closed, and its end."""

from __future__ import annotations

import json
import select
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from freight.tools.loadgen.gauge import send_queues
from freight.tools.loadgen.network import HERE
from freight.tools.sample import write_sample
from support.load_generator import CheckedLoad, Group
from support.memory_gauges import KIB
from support.servers import Client, Serve, ServerProcess, wait_until

SIZE = 64_000_000


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    path = tmp_path / "huge.csv"
    write_sample(path, SIZE)
    return path


class Viewer(Client):
    """A viewer that reads events one after another."""

    def __init__(self, server: ServerProcess, *fields: str, receive_bytes: int | None = None) -> None:
        super().__init__("127.0.0.1", server.admin_port, receive_bytes, named="127.0.0.1")
        self.get("/events", *fields)

    def events(self) -> Iterator[tuple[str, int, Any]]:
        """Iterate over kind, id and data of each event, to the end of the stream, which must be whole."""
        text = b""
        while size := int(self._read_until(b"\r\n"), 16):
            text += self.read_exactly(size)
            assert self.read_exactly(2) == b"\r\n"
            while b"\n\n" in text:
                event, _, text = text.partition(b"\n\n")
                fields = dict(line.split(": ", 1) for line in event.decode().split("\n"))
                if "data" in fields:
                    yield fields["event"], int(fields["id"]), json.loads(fields["data"])
        assert self.read_exactly(2) == b"\r\n" and text == b""


def test_the_stream_says_what_runs_once_a_second_and_is_not_kept(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    with Viewer(server) as viewer, server.connect(receive_bytes=4096) as client:
        status, fields = viewer.read_head()
        assert (status, fields["content-type"], fields["cache-control"]) == (200, "text/event-stream", "no-store")
        client.get("/huge.csv")
        client.read_head()
        ids = []
        for kind, at, told in viewer.events():
            ids.append(at)
            assert (kind, told["sample"][0]) == ("now", at)
            if len(ids) >= 3 and told["rows"]:
                break
        assert ids == sorted(set(ids))
        assert told["rows"][0][1:3] == ["127.0.0.1", "/huge.csv"] and told["rows"][0][4] == SIZE
        assert told["sample"][4] == 1


def test_a_viewer_that_reconnects_gets_what_it_has_missed(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    with Viewer(server) as viewer:
        viewer.read_head()
        events = viewer.events()
        ids = [next(events)[1] for _ in range(4)]
        for fields in (f"Last-Event-ID: {ids[0]}", f"Last-Event-ID: {ids[2]}"):
            with Viewer(server, fields) as later:
                later.read_head()
                known = ids.index(int(fields.split()[1]))
                times: list[int] = []
                for kind, _, told in later.events():
                    times += [each[0] for each in (told if kind == "history" else [told["sample"]])]
                    if kind == "now":
                        break
                assert times[: len(ids) - known - 1] == ids[known + 1 :]


@pytest.mark.parametrize("reads", [True, False], ids=["reading", "stalled"])
def test_fifty_viewers_cost_no_more_than_a_mebibyte(huge: Path, serve: Serve, reads: bool) -> None:
    """The growth includes all that the process loads for the first viewer, and there are downloads to report."""
    server = serve(huge, "--memory", "20MB", admin=True)
    with CheckedLoad(HERE, server.host, server.port, huge.parent) as crowd, ExitStack() as stack:
        crowd.join(Group(name="downloads", count=60, targets=("/huge.csv",), stall=1000))
        crowd.wait_count("downloads", "stalled", 60)
        wait_until(lambda: len(server.status()["transfers"]["running"]) == 60, "all downloads run")
        before, most = server.private_bytes(), 0
        viewers = [stack.enter_context(Viewer(server, receive_bytes=None if reads else 2048)) for _ in range(50)]
        control = stack.enter_context(Viewer(server))
        control.read_head()
        for _, _ in zip(control.events(), range(10), strict=False):
            if reads:
                for each in select.select([each.socket for each in viewers], [], [], 0)[0]:
                    assert each.recv(1 << 18)
            most = max(most, sum(send_queues(server.admin_port)) + server.private_bytes() - before)
        print(f"50 viewers: {most // KIB} KiB at most")
        assert most <= 1024 * KIB
        assert server.ask_admin("/healthz").status == 200


def test_a_stalled_viewer_is_closed_and_others_go_on(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--idle-timeout", "2s", "--memory", "20MB", admin=True)
    with CheckedLoad(HERE, server.host, server.port, huge.parent) as crowd:
        crowd.join(Group(name="slow", count=50, targets=("/huge.csv",), pace=200_000))  # frames are longer with them
        with Viewer(server, receive_bytes=2048) as still, Viewer(server) as viewer:
            viewer.read_head()
            events = viewer.events()
            poll = select.poll()
            poll.register(still.socket, select.POLLRDHUP)

            def gone() -> bool:
                next(events)
                return bool(poll.poll(0))

            wait_until(gone, "the stalled viewer is closed")
            assert next(events)[0] == "now"


def test_at_most_64_viewers_watch_and_the_next_gets_503(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    with ExitStack() as stack:
        viewers = [stack.enter_context(Viewer(server)) for _ in range(64)]
        for viewer in viewers:
            assert viewer.read_head()[0] == 200
        answer = server.ask_admin("/events")
        assert (answer.status, b"All 64 event streams are in use" in answer.content) == (503, True)
        assert server.ask_admin("/status").status == server.ask_admin("/healthz").status == 200
        viewers[0].socket.close()
        wait_until(lambda: _is_let_in(server), "the place of the one that went is another's")


def _is_let_in(server: ServerProcess) -> bool:
    with Viewer(server) as viewer:
        return viewer.read_head()[0] == 200


def test_a_viewer_does_not_delay_the_end_and_its_stream_is_whole(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--shutdown-timeout", "1h", "--idle-timeout", "1h", admin=True)
    with Viewer(server) as viewer:
        viewer.read_head()
        events = viewer.events()
        next(events)
        server.signal()
        list(events)  # to its end, which events() checks
        assert viewer.read_to_end() == b""
    assert server.wait() == 0


def test_a_viewer_sees_the_drain_to_its_end(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--shutdown-timeout", "1h", admin=True)
    with Viewer(server) as viewer, server.connect(receive_bytes=4096) as client:
        client.get("/huge.csv")
        client.read_head()
        wait_until(lambda: server.gate()["running"] == 1, "it runs")
        viewer.read_head()
        server.signal()
        events = viewer.events()
        for _, _, told in events:
            if told["draining"]:
                break
        client.read_exactly(SIZE)
        client.socket.close()
        assert all(told["draining"] for _, _, told in events)
    assert server.wait() == 0


def test_a_page_of_another_site_gets_nothing(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    with Client("127.0.0.1", server.admin_port, named="evil.example") as rebound:
        for path in ("/events", "/", "/dashboard/dashboard.js"):
            rebound.get(path, "Accept: text/html")
            assert rebound.read_response().status == 421
    assert server.ask_admin("/events", "Sec-Fetch-Site: cross-site").status == 403


def test_a_client_that_stops_reading_a_file_of_the_page_is_closed_too(huge: Path, serve: Serve) -> None:
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
