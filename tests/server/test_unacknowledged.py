"""An answer is logged and counted as complete when its client has acknowledged all of it, and not before."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.errors import ShutdownTimeout
from freight.model import Entry
from freight.server.unacknowledged import MAX_ANSWERS, UnacknowledgedAnswers
from freight.tools.loadgen.network import HERE, Place, Unsupported, veth
from support import processes
from support.clocks import ManualClock
from support.raw_h2 import Http2Client
from support.servers import TIMEOUT_SECONDS, Client, Serve, ServerProcess, wait_until
from support.stepped_loop import SteppedLoop

SIZE = 12_000  # fits the server's send buffer, and is far more than the client's kernel takes
RECEIVE_BYTES = 4096
RESET = struct.pack("ii", 1, 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(SIZE))
    return path


@dataclass(frozen=True)
class Asked:
    """A client that has asked for the file and read nothing. ``take`` reads all, and returns the content's length."""

    socket: socket.socket
    take: Callable[[], int]

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.close()


def ask_http1(server: ServerProcess, place: Place, *fields: str) -> Asked:
    client = Client(server.host, server.port, RECEIVE_BYTES, made=place.socket(), tls=server.tls)
    client.get("/", *fields)
    return Asked(client.socket, lambda: len(client.read_response().content))


def ask_http2(server: ServerProcess, place: Place) -> Asked:
    made = place.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    made.settimeout(TIMEOUT_SECONDS)
    made.connect((server.host, server.port))
    client = Http2Client(server, tls=server.tls, made=made)
    stream = client.request()
    return Asked(client.socket, lambda: len(client.response(stream).content))


TLS = ("--tls-self-signed",)
KINDS: dict[str, tuple[tuple[str, ...], Callable[[ServerProcess, Place], Asked]]] = {
    "http/1.1": ((), ask_http1),
    "http/1.1, close": ((), lambda server, place: ask_http1(server, place, "Connection: close")),
    "http/1.1+tls": (TLS, ask_http1),
    "http/1.1+tls, close": (TLS, lambda server, place: ask_http1(server, place, "Connection: close")),
    "h2c": ((), ask_http2),
    "h2": (TLS, ask_http2),
}


def sent_of(line: str) -> int:
    """Return how many bytes a line of the log says were sent, of SIZE."""
    found = re.search(rf" (\d+)/{SIZE} ", line)
    assert found, line
    return int(found[1])


def ended(server: ServerProcess) -> tuple[int, dict[str, int]]:
    """Return how many downloads have completed, and how many were aborted, by reason."""
    transfers = server.status()["transfers"]
    return transfers["completed_total"], {why: count for why, count in transfers["aborted_total"].items() if count}


def wait_until_sent(server: ServerProcess, count: int = SIZE) -> None:
    """Wait until the server's kernel has the last of ``count`` bytes."""

    def is_sent() -> bool:
        status = server.status()
        return (status["transfers"]["bytes_total"], status["admission"]["running"]) == (count, 0)

    wait_until(is_sent, "the server's kernel has the last byte")


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_resets_with_the_end_on_its_way_has_no_complete_answer(
    file: Path, serve: Serve, kind: str
) -> None:
    arguments, ask = KINDS[kind]
    server = serve(file, *arguments, admin=True)
    client = ask(server, HERE)
    wait_until_sent(server)
    assert not server.log and ended(server) == (0, {})
    client.reset()
    line = server.wait_for_log("GET /")
    assert line.endswith(" peer-gone") and sent_of(line) < SIZE
    assert ended(server) == (0, {"peer-gone": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_complete_once_the_client_has_taken_it(file: Path, serve: Serve, kind: str) -> None:
    """The client keeps its connection, and says nothing more."""
    arguments, ask = KINDS[kind]
    server = serve(file, *arguments, admin=True)
    client = ask(server, HERE)
    wait_until_sent(server)
    assert not server.log and ended(server) == (0, {})
    assert client.take() == SIZE
    line = server.wait_for_log("GET /")
    assert line.endswith(" complete") and sent_of(line) == SIZE
    assert ended(server) == (1, {})
    client.socket.close()


@pytest.mark.needs("ip")
@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_dies_behind_a_cut_link_has_no_complete_answer(file: Path, serve: Serve, kind: str) -> None:
    """No packet says that it has gone."""
    arguments, ask = KINDS[kind]
    try:
        with veth() as network:
            server = serve(
                file, "--idle-timeout", "1s", "--pause-timeout", "none", *arguments, admin=True, place=network.server
            )
            client = ask(server, network.client)
            wait_until_sent(server)
            network.cut()
            client.socket.close()
            line = server.wait_for_log("GET /")
            assert line.endswith(" stalled") and sent_of(line) < SIZE
            assert ended(server) == (0, {"stalled": 1})
    except Unsupported as error:
        pytest.skip(f"network namespaces cannot be made: {error}")


def test_of_pipelined_answers_those_that_have_arrived_are_complete(file: Path, serve: Serve) -> None:
    server = serve(file, admin=True)
    with Client(server.host, server.port, RECEIVE_BYTES, made=HERE.socket()) as client:
        client.get("/")
        client.get("/", "Range: bytes=1-")
        assert len(client.read_response().content) == SIZE
        line = server.wait_for_log("GET /")
        assert line.endswith(" complete") and sent_of(line) == SIZE
        wait_until_sent(server, 2 * SIZE - 1)
        client.reset()
    assert server.wait_for_log("GET /", 'range="bytes=1-"').endswith(" peer-gone")
    assert ended(server) == (1, {"peer-gone": 1})


@pytest.mark.needs("curl")
@pytest.mark.parametrize(
    "words", ["--http1.0", "--http1.1", "--http2", "--tls-max 1.2 --http1.0", "--tls-max 1.2 --http2"]
)
@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_client_that_closes_once_it_has_everything_has_complete_answers(
    tmp_path: Path, serve: Serve, words: str, size: int
) -> None:
    """curl closes without reading our close_notify or FIN, so its kernel resets. That is no loss."""
    (tmp_path / "file.bin").write_bytes(bytes(size))
    server = serve(tmp_path / "file.bin", *TLS, admin=True)
    for _ in range(15):
        words_of_curl = ("curl", "-sSk", *words.split(), "-o", os.devnull, f"https://127.0.0.1:{server.port}/")
        assert processes.run(*words_of_curl).returncode == 0
    server.wait_for_log("GET /", count=15)
    assert {line.split()[-1] for line in server.log} == {"complete"}
    assert ended(server) == (15, {})


def test_the_last_frame_of_content_ends_the_stream(tmp_path: Path, serve: Serve) -> None:
    """A client that closes once it has the length of content then leaves nothing unread."""
    (tmp_path / "file.bin").write_bytes(bytes(100_000))
    for size in (0, 1, 16_384, 100_000):
        with Http2Client(serve(tmp_path), grows=False) as client:
            stream = client.request("/file.bin", ("range", f"bytes=0-{size - 1}") if size else ("if-match", '"x"'))
            response = client.response(stream)
            assert len(response.content) == size or response.status == 412
            assert len(client.order) == -(-len(response.content) // 16_384)


def test_a_long_pipeline_is_answered_and_logged_in_order(tmp_path: Path, serve: Serve) -> None:
    """More requests than answers may be unacknowledged. The client reads nothing before it has sent all of them."""
    for number in range(10):
        (tmp_path / f"{number}").write_bytes(b"x" * 40)
    server = serve(tmp_path)
    count = 2 * MAX_ANSWERS
    with server.connect(receive_bytes=1 << 20) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % (number % 10) for number in range(count)))
        for _ in range(count):
            assert client.read_response().content == b"x" * 40
        server.wait_for_log(" complete", count=count)
    assert [line.split()[3] for line in server.log] == [f'/{number % 10}"' for number in range(count)]


# One connection, with fakes: what is acknowledged is set by hand.


class FakeSink:
    """A connection of which ``acked`` bytes are acknowledged."""

    def __init__(self) -> None:
        self.acked = 0
        self.is_reset = False

    def acknowledged(self) -> int:
        return self.acked


class Kept:
    """The unacknowledged answers of one loop, with what was logged and counted."""

    def __init__(self, room: bool = True, loop: Any = None) -> None:
        self.logged: list[tuple[int, str]] = []  # what each has sent, and how it ended
        self.counted: list[str | None] = []
        self.budgeted = 0
        self.sink = FakeSink()
        budget: Any = SimpleNamespace(answer_kept=self._keep, can_keep_answer=lambda: room)
        transfers: Any = SimpleNamespace(count=self.counted.append)
        loop = loop or asyncio.get_running_loop()
        self.answers = UnacknowledgedAnswers(
            loop, ManualClock(), budget, transfers, lambda entry: self.logged.append((entry.sent, entry.ended))
        )

    def _keep(self, count: int = 1) -> None:
        self.budgeted += count

    def add(self, mark: int, sent: int = 10, is_download: bool = True) -> None:
        entry = Entry(0.0, 1.0, "192.0.2.1", "GET", "/", (1, 1), 200, "", sent, sent, "complete")
        self.answers.add(self.sink, mark, entry, is_download)


async def test_an_answer_that_has_arrived_is_recorded_at_once_and_keeps_nothing() -> None:
    kept = Kept()
    kept.sink.acked = 10
    kept.add(10)
    assert (kept.logged, kept.counted, len(kept.answers), kept.budgeted) == ([(10, "complete")], [None], 0, 0)


async def test_only_downloads_are_counted() -> None:
    kept = Kept()
    kept.add(0, is_download=False)
    assert (kept.logged, kept.counted) == ([(10, "complete")], [])


async def test_the_budget_counts_all_but_the_first_answer_of_a_connection() -> None:
    kept = Kept()
    for mark in (10, 20, 30):
        kept.add(mark)
    assert (kept.logged, kept.budgeted) == ([], 2)
    kept.sink.acked = 25
    assert not kept.answers.must_wait(kept.sink)
    assert (kept.logged, kept.budgeted, len(kept.answers)) == ([(10, "complete")] * 2, 0, 1)
    kept.add(40)
    kept.sink.acked = 40
    assert not kept.answers.must_wait(kept.sink)
    assert (len(kept.logged), kept.budgeted, len(kept.answers)) == (4, 0, 0)


async def test_what_has_arrived_of_an_aborted_answer_is_logged() -> None:
    kept = Kept()
    kept.add(110, sent=100)
    kept.add(220, sent=100)
    kept.sink.acked = 80
    kept.answers.abandon(kept.sink, asyncio.CancelledError())
    assert kept.logged == [(70, ShutdownTimeout.reason), (0, ShutdownTimeout.reason)]
    assert (kept.counted, kept.budgeted) == ([ShutdownTimeout.reason] * 2, 0)


@pytest.mark.parametrize("room", [True, False])
async def test_the_next_request_waits_for_acknowledgements_when_too_many_are_missing(room: bool) -> None:
    kept = Kept(room)
    most = MAX_ANSWERS if room else 1
    for number in range(most):
        assert not kept.answers.must_wait(kept.sink)
        kept.add(number + 1)
    assert kept.answers.must_wait(kept.sink)
    kept.sink.acked = most
    assert not kept.answers.must_wait(kept.sink)


async def test_without_another_request_a_timer_finds_that_an_answer_has_arrived() -> None:
    kept = Kept()
    kept.add(10)
    await asyncio.sleep(0.05)  # some checks, which find nothing
    assert kept.logged == []
    kept.sink.acked = 10
    async with asyncio.timeout(20):
        while not kept.logged:  # noqa: ASYNC110 - the timer sets it
            await asyncio.sleep(0.01)
    assert kept.logged == [(10, "complete")]


async def test_a_connection_that_has_all_is_recorded_at_its_next_answer_once_and_in_order() -> None:
    """Its queue stays until its next check, for the answers that come meanwhile."""
    kept = Kept()
    for number in range(1, 5):
        kept.add(10 * number, sent=number)
        assert kept.sink in kept.answers and not kept.answers.has_all(kept.sink)
        kept.sink.acked = 10 * number
        assert kept.answers.has_all(kept.sink) and kept.sink not in kept.answers
        assert (len(kept.answers), kept.answers.stalled_seconds(kept.sink)) == (0, 0.0)
        assert kept.logged == [(sent, "complete") for sent in range(1, number + 1)]
    assert (kept.counted, kept.budgeted) == ([None] * 4, 0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 50)),
            st.tuples(st.just("acknowledge"), st.integers(1, 80)),
            st.tuples(st.sampled_from(["has_all", "must_wait", "timer"]), st.just(0)),
        ),
        max_size=40,
    ),
    st.sampled_from(["confirm", "abandon"]),
)
def test_each_answer_is_recorded_once_and_in_order(steps: list[tuple[str, int]], end: str) -> None:
    async def run() -> None:
        with_steps = SteppedLoop()
        kept = Kept(loop=with_steps)
        marks: list[int] = []
        sent_to = 0
        for name, count in steps:
            if name == "add":
                sent_to += count
                marks.append(sent_to)
                kept.add(sent_to, sent=count)
            elif name == "acknowledge":
                kept.sink.acked = min(sent_to, kept.sink.acked + count)
            elif name == "timer":
                with_steps.advance(10.0)
            else:
                getattr(kept.answers, name)(kept.sink)
            recorded, arrived = len(kept.logged), sum(mark <= kept.sink.acked for mark in marks)
            assert recorded + len(kept.answers) == len(marks)
            assert recorded == arrived if name not in ("add", "acknowledge") else recorded <= arrived
            assert kept.budgeted == max(0, len(kept.answers) - 1)
            assert (kept.sink in kept.answers) == (len(kept.answers) > 0)
        recorded_before = len(kept.logged)
        arrived = sum(mark <= kept.sink.acked for mark in marks)
        if end == "confirm":
            kept.answers.confirm(kept.sink)
            arrived = len(marks)
        else:
            kept.answers.abandon(kept.sink, asyncio.CancelledError())
        assert recorded_before <= arrived and len(kept.logged) == len(kept.counted) == len(marks)
        ends = [how for _, how in kept.logged]
        assert ends == ["complete"] * arrived + [ShutdownTimeout.reason] * (len(marks) - arrived)
        sizes = [mark - before for before, mark in pairwise([0, *marks])]
        assert [sent for sent, _ in kept.logged][:arrived] == sizes[:arrived]
        with_steps.advance(100.0)
        assert (len(kept.logged), kept.budgeted, len(kept.answers)) == (len(marks), 0, 0)

    asyncio.run(run())
