"""HTTP/2 over real sockets: several streams of one connection."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from freight.memory.costs import FAST_WINDOW
from freight.tools.sample import write_sample
from support.http2_rules import (
    CALM,
    CLOSED,
    FLOOD_PARTS,
    FLOODS,
    HELLO,
    NO,
    PROTOCOL,
    REFUSED,
    REQUEST,
    RULES,
    get,
    headers,
    u32,
)
from support.memory_gauges import KIB, socket_memory
from support.raw_h2 import PREFACE, Http2Client, Reset, exchange_frames, frame, send_until_closed, settings, verdict
from support.servers import HUGE_BYTES, IncompleteResponse, Serve, ServerProcess, wait_until

CONTENT = bytes(number * 7 % 251 for number in range(100_000))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a directory of ``content.bin``, ``small.txt``, and a directory."""
    return fill(tmp_path)


def fill(folder: Path) -> Path:
    (folder / "content.bin").write_bytes(CONTENT)
    (folder / "small.txt").write_bytes(b"hello\n")
    (folder / "below").mkdir()
    (folder / "below" / "a").touch()
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server of such a directory for a table. Its listings have a date, which they have not at first."""
    with closing(ServerProcess((os.fspath(fill(tmp_path_factory.mktemp("shared"))),))) as server:
        for path in ("/", "/below/"):  # a listing has no date in the second of its last change
            wait_until(lambda path=path: "last-modified" in server.get(path).fields, "the listing has a date")  # type: ignore[misc]
        yield server


@pytest.mark.parametrize(
    ("path", "fields", "method"),
    [
        ("/content.bin", [], "GET"),
        ("/content.bin", [], "HEAD"),
        ("/content.bin", [("range", "bytes=5-20000")], "GET"),
        ("/content.bin", [("range", "bytes=0-9,50-70000,-5")], "GET"),
        ("/content.bin", [("range", "bytes=100000-")], "GET"),
        ("/content.bin", [("if-none-match", "*")], "GET"),
        ("/content.bin", [("if-match", '"x"')], "GET"),
        ("/small.txt", [("if-range", '"x"'), ("range", "bytes=1-2")], "GET"),
        ("/", [("accept", "application/json")], "GET"),
        ("/below/", [], "GET"),
        ("/below", [], "GET"),
        ("/nothing", [], "GET"),
        ("/nothing", [], "HEAD"),
        ("/..%2f", [], "GET"),
        ("*", [], "OPTIONS"),
        ("/small.txt", [], "DELETE"),
        ("/small.txt", [("expect", "x")], "GET"),
    ],
)
def test_an_answer_is_that_of_http1(
    shared: ServerProcess, path: str, fields: list[tuple[str, str]], method: str
) -> None:
    with shared.connect() as client:
        client.get(path, *(f"{name}: {value}" for name, value in fields), method=method)
        expected = client.read_response(method)
    with Http2Client(shared) as client:
        found = client.get(path, *fields, method=method)
    ignored = {"connection", "transfer-encoding", "date"}
    assert found.status == expected.status and found.content == expected.content
    assert {k: v for k, v in found.fields.items() if k not in ignored} == {
        k: v for k, v in expected.fields.items() if k not in ignored
    }


def test_without_a_length_the_stream_ends_the_content(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site, "--chunked")) as client:
        found = client.get("/content.bin")
        assert found.content == CONTENT and "content-length" not in found.fields


# The first rule is HTTP/1 to a server that speaks both.
@pytest.mark.parametrize(("said", "judged"), [row[1:] for row in RULES[1:]], ids=[row[0] for row in RULES[1:]])
def test_a_broken_rule_is_judged_by_the_server_as_by_the_wire(
    ruled: ServerProcess, said: bytes, judged: tuple[str, int] | None
) -> None:
    found = exchange_frames(ruled, said)
    assert verdict(found) == judged
    echoed = any(getattr(made, "opaque_data", b"") == b"barrier!" for made in found)
    assert echoed == (judged is None or judged[0] == "reset")  # a stream error leaves the other streams alone


@pytest.mark.parametrize(("name", "before", "part"), FLOODS, ids=[row[0] for row in FLOODS])
def test_a_flood_ends_its_connection_and_no_other(
    ruled: ServerProcess, name: str, before: bytes, part: Callable[[int], bytes]
) -> None:
    """The other connection has the same address: it shares the account, and owes nothing itself."""
    with Http2Client(ruled) as other:
        found = send_until_closed(ruled, HELLO + before, map(part, range(FLOOD_PARTS)))
        judged = verdict([made for made in found if made.stream_id == 0])
        # What comes after a stream's end may come after the answer's end too, for which there is another rule.
        assert judged in [("goaway", CALM), ("goaway", CLOSED)][: 1 + ("behind" in name)]
        assert other.get("/").status == 200


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Start a server for all rows, since connections do not affect each other.

    What they ask for is there, and more than fits a window: a stream that is to be reset has not ended by itself.
    """
    site = tmp_path_factory.mktemp("ruled")
    with (site / "nothing").open("wb") as file:
        file.truncate(1 << 20)
    served = ServerProcess((os.fspath(site),))
    yield served
    served.close()


def test_a_stream_whose_content_never_comes_is_reset_a_moment_after_the_answer(serve: Serve, site: Path) -> None:
    """This holds for each of them, and for one that comes while others wait."""
    with Http2Client(serve(site)) as client:
        streams = [client.request("/small.txt", method="POST", ends=False) for _ in range(3)]
        assert [client.response(stream).status for stream in streams] == [405] * 3
        client.wait(lambda: client.received[streams[0]].reset == NO)
        streams.append(client.request("/small.txt", method="POST", ends=False))
        client.wait(lambda: all(client.received[stream].reset == NO for stream in streams))
        assert client.get("/small.txt").content == b"hello\n"


def test_a_small_answer_does_not_slow_the_streams_beside_it_down(serve: Serve, huge: Path) -> None:
    """It limits the send buffer for itself, and not for them."""
    served = serve(huge, "--memory", "4GiB", admin=True)
    with Http2Client(served, stream_window=1 << 20, grows=False) as client:
        stream = client.request()
        client.wait(lambda: len(client.received[stream].content) == 1 << 20)
        assert client.get("/nothing").status == 404
        content = client.received[stream].content

        def has_both_while_it_reads() -> bool:  # a client that does not read has a small window and send buffer
            read = len(content) + (1 << 20)
            client.increase_window(1 << 20, stream)
            client.wait(lambda: len(content) >= read)
            (row,) = served.status()["transfers"]["running"]
            return row["window"] == FAST_WINDOW and max(each.sndbuf for each in socket_memory(served)) >= 192 * KIB

        wait_until(has_both_while_it_reads, "its window and the mark are back")


def test_many_streams_of_one_connection_are_all_whole(serve: Serve, site: Path) -> None:
    write_sample(site / "sample.csv", 3_000_000)
    content = (site / "sample.csv").read_bytes()
    with Http2Client(serve(site)) as client:
        streams = [client.request("/sample.csv") for _ in range(20)]
        for stream in streams:
            assert client.response(stream).content == content


def test_eight_ranges_at_once_are_the_file(serve: Serve, site: Path) -> None:
    """curl 7.88 cannot do it: with prior knowledge its second request fails, with nginx too."""
    with Http2Client(serve(site)) as client:
        streams = [
            client.request("/content.bin", ("range", f"bytes={start}-{start + 12_499}"))
            for start in range(0, len(CONTENT), 12_500)
        ]
        assert len(streams) == 8
        assert b"".join(client.response(stream).content for stream in streams) == CONTENT


def test_frames_are_as_large_as_the_client_takes_them(serve: Serve, huge: Path) -> None:
    with Http2Client(serve(huge), frame_bytes=1 << 20, window=1 << 20, grows=False) as client:
        stream = client.request("/", ("range", "bytes=0-1000000"))
        client.wait(lambda: client.received[stream].ended)
        assert len(client.order) < 1_000_001 / 16384 / 2


def test_a_stalled_stream_does_not_delay_others(serve: Serve, huge: Path) -> None:
    with Http2Client(serve(huge), stream_window=65535, grows=False) as client:
        still = client.request()
        client.wait(lambda: len(client.received[still].content) == 65535)
        for _ in range(3):
            stream = client.request("/", ("range", "bytes=0-999"))
            assert len(client.response(stream).content) == 1000
        assert len(client.received[still].content) == 65535
        client.increase_window(1000, still)
        client.wait(lambda: len(client.received[still].content) == 66535)


def test_the_windows_of_the_client_are_kept_to_the_byte(serve: Serve, huge: Path) -> None:
    """h2, the client, ends the connection otherwise."""
    with Http2Client(serve(huge), window=65535, stream_window=40000, grows=False) as client:
        first, second = client.request(), client.request()
        taken = client.received
        client.wait(lambda: len(taken[first].content) + len(taken[second].content) == 65535)
        assert max(len(taken[first].content), len(taken[second].content)) <= 40000
        client.increase_window(7)
        client.increase_window(40000, first)
        client.increase_window(40000, second)
        client.wait(lambda: len(taken[first].content) + len(taken[second].content) == 65542)


def test_the_more_urgent_stream_goes_first(serve: Serve, huge: Path) -> None:
    """RFC 9218: the windows of both streams suffice, and that of the connection does not."""
    with Http2Client(serve(huge), window=65535, stream_window=1 << 20, grows=False) as client:
        later = client.request("/", ("priority", "u=5"))
        client.wait(lambda: len(client.received[later].content) == 65535)
        first = client.request("/", ("priority", "u=1"), ("range", "bytes=0-199999"))
        client.wait(lambda: client.received[first].status)
        client.order.clear()
        client.increase_window(150_000)
        client.wait(lambda: len(client.received[first].content) == 150_000)
        assert set(client.order) == {first}
        client.increase_window(60_000)
        client.wait(lambda: client.received[first].ended and len(client.received[later].content) > 65535)


def test_a_priority_may_change_while_a_stream_runs(serve: Serve, huge: Path) -> None:
    with Http2Client(serve(huge), window=65535, stream_window=1 << 20, grows=False) as client:
        one = client.request("/", ("priority", "u=1"))
        client.wait(lambda: len(client.received[one].content) == 65535)
        two = client.request("/", ("priority", "u=3"))
        client.wait(lambda: client.received[two].status)
        client.send(frame(16, 0, 0, u32(one) + b"u=6"))
        client.increase_window(100_000)
        client.wait(lambda: len(client.received[two].content) == 100_000)
        assert len(client.received[one].content) == 65535


def test_equals_share_evenly(serve: Serve, huge: Path) -> None:
    with Http2Client(serve(huge), window=65535, stream_window=1 << 24, grows=False) as client:
        total = 24 << 20  # some twenty turns each: one whose first bytes are read from a disk misses a few
        streams = [client.request() for _ in range(4)]
        taken = client.received
        client.wait(lambda: sum(len(taken[stream].content) for stream in streams) == 65535)
        client.wait(lambda: all(taken[stream].status for stream in streams))
        before = [len(taken[stream].content) for stream in streams]
        client.increase_window(total)
        client.wait(lambda: sum(len(taken[stream].content) for stream in streams) == 65535 + total)
        shares = [len(taken[stream].content) - had for stream, had in zip(streams, before, strict=True)]
        assert min(shares) > total / 4 * 0.8


def test_after_the_reset_of_a_stream_the_others_go_on(serve: Serve, huge: Path) -> None:
    served = serve(huge)
    with Http2Client(served, stream_window=1 << 20, grows=False) as client:
        gone, other = client.request(), client.request("/", ("range", "bytes=0-999999"))
        client.wait(lambda: client.received[gone].content)
        client.h2.reset_stream(gone, 8)
        client.flush()
        assert len(client.response(other).content) == 1_000_000
        served.wait_for_log("peer-gone")
        assert client.get("/", ("range", "bytes=1-3")).content == bytes(3)


def test_a_file_that_changes_ends_its_stream_and_no_other(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "changing.bin"
    path.write_bytes(bytes(8 << 20))
    (tmp_path / "other.bin").write_bytes(bytes(200_000))
    served = serve(tmp_path)
    with Http2Client(served, stream_window=100_000, grows=False) as client:
        cut, other = client.request("/changing.bin"), client.request("/other.bin")
        client.wait(lambda: len(client.received[cut].content) + len(client.received[other].content) == 200_000)
        path.write_bytes(b"x" * (8 << 20))
        os.utime(path, ns=(1, 1))
        client.increase_window(8 << 20, cut)
        with pytest.raises(Reset) as caught:
            client.response(cut)
        assert caught.value.code == 2 and not client.received[cut].ended
        client.increase_window(100_000, other)
        assert len(client.response(other).content) == 200_000
    served.wait_for_log("changed")


def test_a_stream_that_stalls_for_the_idle_timeout_is_reset_alone(serve: Serve, huge: Path) -> None:
    served = serve(huge, "--idle-timeout", "1s", "--pause-timeout", "none")
    with Http2Client(served, stream_window=1000, grows=False) as client:
        stream = client.request()
        with pytest.raises(Reset) as caught:
            client.response(stream)
        assert caught.value.code == 8
        assert client.get("/", ("range", "bytes=0-9")).content == bytes(10)
    served.wait_for_log("stalled")


def test_a_stream_that_waits_for_more_urgent_ones_is_not_stalled(serve: Serve, huge: Path) -> None:
    served = serve(huge, "--idle-timeout", "1s", "--client-rate-limit", "8MB")
    with Http2Client(served) as client:
        later = client.request("/", ("priority", "u=6"))
        first = client.request("/", ("priority", "u=1"), ("range", "bytes=0-24000000"))
        assert len(client.response(first).content) == 24_000_001  # it takes 3 s, three times the idle timeout
        client.wait(lambda: len(client.received[later].content) > 30_000_000)


def test_an_idle_connection_is_closed_with_goaway(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site, "--keep-alive-timeout", "1s")) as client:
        assert client.get("/small.txt").content == b"hello\n"
        with pytest.raises(IncompleteResponse):
            client.wait(lambda: False)
        assert [code for code, _ in client.goaways] == [NO]


def test_a_connection_between_two_streams_outlives_the_idle_timeout(serve: Serve, site: Path) -> None:
    served = serve(site, "--idle-timeout", "1s", "--keep-alive-timeout", "1h")
    with Http2Client(served) as client:
        assert client.get("/small.txt").content == b"hello\n"
        with Http2Client(served) as silent, pytest.raises(IncompleteResponse):
            silent.wait(lambda: False)
        assert client.get("/small.txt").content == b"hello\n"


def test_pings_do_not_keep_an_idle_connection(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site, "--keep-alive-timeout", "1s")) as client:
        client.get("/small.txt")

        def ping_for_ever() -> None:
            while True:
                client.h2.ping(b"12345678")
                client.flush()
                pings = client.pings
                client.wait(lambda: client.pings > pings)  # noqa: B023 - it is asked before the next one
                time.sleep(0.05)  # the pace of the pings, which is not what is awaited

        with pytest.raises((IncompleteResponse, ConnectionError)):
            ping_for_ever()


def test_a_connection_without_a_request_is_closed_with_goaway_after_the_idle_timeout(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site, "--idle-timeout", "1s")) as client:
        with pytest.raises(IncompleteResponse):
            client.wait(lambda: False)
        assert [code for code, _ in client.goaways] == [NO]


def test_an_unfinished_head_has_its_time(serve: Serve, site: Path) -> None:
    served = serve(site, "--idle-timeout", "1s")
    found = exchange_frames(served, HELLO, frame(1, 5, 1, bytes(100))[:20])
    assert verdict(found) in (("goaway", NO), ("goaway", PROTOCOL))


def test_a_queued_stream_does_not_delay_others(serve: Serve, huge: Path) -> None:
    """One stream is queued; another one is small and uses the express lane."""
    (huge.parent / "small.txt").write_bytes(b"hello\n")
    served = serve(huge.parent, "--max-per-client", "1", admin=True)
    with Http2Client(served, stream_window=1000, grows=False) as client:
        runs, waits = client.request("/huge.bin"), client.request("/huge.bin")
        wait_until(lambda: served.gate()["waiting"] == 1, "one waits")
        assert client.get("/small.txt").content == b"hello\n"
        assert not client.received[waits].status
        client.h2.reset_stream(runs, 8)
        client.flush()
        client.wait(lambda: client.received[waits].status == 200)
        assert "queue;dur=" in client.received[waits].fields["server-timing"]


def test_a_stream_whose_queue_timeout_passes_gets_503_with_retry_after(serve: Serve, huge: Path) -> None:
    served = serve(huge, "--max-per-client", "1", "--queue-timeout", "200ms")
    with Http2Client(served, stream_window=100_000, grows=False) as client:
        client.request()
        found = client.get()
        assert found.status == 503 and int(found.fields["retry-after"]) > 0


def test_a_queued_stream_may_be_reset(serve: Serve, huge: Path) -> None:
    served = serve(huge, "--max-per-client", "1", admin=True)
    with Http2Client(served, stream_window=1000, grows=False) as client:
        client.request()
        waits = client.request()
        wait_until(lambda: served.gate()["waiting"] == 1, "one waits")
        client.h2.reset_stream(waits, 8)
        client.flush()
        wait_until(lambda: served.gate()["waiting"] == 0, "nobody waits")


def wanted(stream: int) -> bytes:
    """Return a request for the file that is served."""
    return headers(*REQUEST[:3], (":path", "/"), stream=stream)


DEAD = {
    "reset by its client": frame(3, 0, 1, u32(8)),
    "a window that overflows": frame(8, 0, 1, u32((1 << 31) - 1)),
    "content behind its end": frame(0, 0, 1, b"x"),
    "a head behind its end": get(),
    "an increment of 0": frame(8, 0, 1, u32(0)),
}


@pytest.mark.parametrize("end", DEAD.values(), ids=DEAD)
def test_a_request_that_is_reset_before_its_task_starts_is_never_queued(serve: Serve, huge: Path, end: bytes) -> None:
    """Its stream ends in the packet that it came in. It is not queued, although there is no slot."""
    served = serve(huge, "--max-per-client", "1", admin=True)
    with Http2Client(served, stream_window=1000, grows=False) as client:
        client.request()
        wait_until(lambda: served.gate()["running"] == 1, "one runs")
        exchange_frames(served, HELLO, wanted(1) + end)
        served.wait_for_log("peer-gone")
        assert served.gate()["waiting"] == 0


def test_thousands_of_reset_requests_leave_the_queue(serve: Serve, huge: Path) -> None:
    """MadeYouReset, CVE-2025-8671: a client that makes the server reset its streams does not fill the queue."""
    served = serve(huge, "--max-per-client", "1", "--queue-size", "3", admin=True)
    with Http2Client(served, stream_window=1000, grows=False) as client:
        client.request()
        wait_until(lambda: served.gate()["running"] == 1, "one runs")
        overflows = u32((1 << 31) - 1)
        exchange_frames(served, HELLO, b"".join(wanted(n) + frame(8, 0, n, overflows) for n in range(1, 100, 2)))
        served.wait_for_log("peer-gone", count=50)
        assert served.status()["admission"]["waiting"] == served.status()["admission"]["refused_total"] == 0


def test_request_content_is_discarded(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site)) as client:
        stream = client.request("/small.txt", method="POST", ends=False)
        assert client.response(stream).status == 405
        client.wait(lambda: client.received[stream].reset == NO)
        for size, status in ((1000, 405), (70_000, 413)):
            stream = client.request("/small.txt", ("content-length", str(size)), method="POST", ends=False)
            assert client.response(stream).status == status
        assert client.get("/small.txt").content == b"hello\n"


def test_requests_beyond_what_was_granted_are_refused_and_the_others_answered(serve: Serve, huge: Path) -> None:
    served = serve(huge)
    said = b"".join(get(stream=2 * n + 1, ends=False) for n in range(101))
    assert verdict(exchange_frames(served, PREFACE + settings((4, 0)), said)) == ("reset", REFUSED)


def test_a_draining_server_sends_two_goaways_and_finishes_running_streams(serve: Serve, huge: Path) -> None:
    """RFC 9113 section 6.8."""
    served = serve(huge)
    with Http2Client(served, stream_window=1 << 20, grows=False) as client:
        stream = client.request()
        client.wait(lambda: client.received[stream].content)
        served.signal(signal.SIGTERM)
        client.wait(lambda: len(client.goaways) == 2)
        assert client.goaways == [(NO, 2**31 - 1), (NO, stream)]
        late = client.request()
        client.wait(lambda: client.received[late].reset == REFUSED)
        del client.received[late]
        client.increase_window(HUGE_BYTES, stream)
        assert len(client.response(stream).content) == HUGE_BYTES
    assert served.wait() == 0


def test_a_draining_server_resets_streams_that_do_not_finish_in_time(serve: Serve, huge: Path) -> None:
    served = serve(huge, "--shutdown-timeout", "200ms")
    with Http2Client(served, stream_window=1000, grows=False) as client:
        stream = client.request()
        client.wait(lambda: client.received[stream].content)
        served.signal(signal.SIGTERM)
        with pytest.raises((Reset, IncompleteResponse, ConnectionError)):
            client.response(stream)
    assert served.wait() == 0
    assert any("drained" in line for line in served.log)


def test_a_client_that_sends_goaway_still_gets_its_answers(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site)) as client:
        stream = client.request("/content.bin")
        client.send(frame(7, payload=u32(0) + u32(0)))
        assert client.response(stream).content == CONTENT
        with pytest.raises(IncompleteResponse):
            client.wait(lambda: False)


def test_the_end_of_a_connection_gives_everything_back(serve: Serve, huge: Path, clients: ExitStack) -> None:
    served = serve(huge, admin=True)
    served.status()
    descriptors = served.descriptors()
    client = clients.enter_context(Http2Client(served, stream_window=1000, grows=False))
    for _ in range(20):
        client.request()
    status = served.status_when(lambda found: len(found["transfers"]["running"]) == 20, "all run")
    assert status["admission"]["running"] == 20 and status["connections"]["open"] == 1
    client.socket.close()
    wait_until(lambda: served.gate()["running"] == 0, "none runs")
    served.wait_for_log("peer-gone", count=20)
    assert served.status()["transfers"]["aborted_total"]["peer-gone"] == 20
    wait_until(lambda: served.status()["connections"]["open"] == 0, "the connection has closed")
    wait_until(lambda: served.descriptors() <= descriptors, "no descriptor is left")


def test_a_trusted_proxy_names_the_client_of_each_request(serve: Serve, site: Path) -> None:
    served = serve(site, "--trusted-proxy", "127.0.0.1")
    with Http2Client(served) as client:
        client.get("/small.txt", ("x-forwarded-for", "203.0.113.7"))
        client.get("/small.txt", ("x-forwarded-for", "203.0.113.8"))
    assert "203.0.113.7" in served.wait_for_log("small.txt", count=1)
    assert "203.0.113.8" in served.wait_for_log("small.txt", count=2)


def test_a_proxy_header_may_precede_the_preface(serve: Serve, site: Path) -> None:
    served = serve(site, "--proxy-protocol", "--trusted-proxy", "127.0.0.1")
    exchange_frames(served, b"PROXY TCP4 203.0.113.9 203.0.113.1 5 80\r\n" + HELLO + get())
    assert "203.0.113.9" in served.wait_for_log("/nothing")


def test_nothing_is_loaded_for_http2_before_a_client_speaks_it(serve: Serve, site: Path) -> None:
    served = serve(site)

    def loaded() -> bool:
        return any("h2" in line.split("/")[-2:] for line in Path(f"/proc/{served.pid}/maps").read_text().splitlines())

    before = served.private_bytes()
    assert served.get("/small.txt").content == b"hello\n"
    assert served.private_bytes() - before < 1 << 20 and not loaded()
    with Http2Client(served) as client:
        client.get("/small.txt")
        assert served.private_bytes() - before > 1 << 20
