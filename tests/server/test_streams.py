"""HTTP/2 over real sockets: streams of one connection, side by side."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from freight.flow.budget import FAST_WINDOW
from freight.sample import write_sample
from gauges import KIB, socket_memory
from http2_rules import ASKED, CALM, CLOSED, FLOOD_PARTS, FLOODS, HELLO, NO, PROTOCOL, REFUSED, RULES, asked, head, word
from serving import HUGE_BYTES, Cut, Served, until
from speaking import PREFACE, Reset, Speaker, converse, frame, pour, settings, verdict

Serve = Callable[..., Served]
CONTENT = bytes(number * 7 % 251 for number in range(100_000))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """``content.bin``, ``small.txt``, and a directory."""
    (tmp_path / "content.bin").write_bytes(CONTENT)
    (tmp_path / "small.txt").write_bytes(b"hello\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a").touch()
    return tmp_path


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
    serve: Serve, site: Path, path: str, fields: list[tuple[str, str]], method: str
) -> None:
    served = serve(site)
    with served.connect() as client:
        client.get(path, *(f"{name}: {value}" for name, value in fields), method=method)
        expected = client.answer(method)
    with Speaker(served) as speaker:
        found = speaker.get(path, *fields, method=method)
    ignored = {"connection", "transfer-encoding", "date"}
    assert found.status == expected.status and found.content == expected.content
    assert {k: v for k, v in found.fields.items() if k not in ignored} == {
        k: v for k, v in expected.fields.items() if k not in ignored
    }


def test_without_a_length_the_stream_ends_the_content(serve: Serve, site: Path) -> None:
    with Speaker(serve(site, "--no-length")) as speaker:
        found = speaker.get("/content.bin")
        assert found.content == CONTENT and "content-length" not in found.fields


# The first of all is HTTP/1 to a server that speaks both.
@pytest.mark.parametrize(("said", "judged"), [row[1:] for row in RULES[1:]], ids=[row[0] for row in RULES[1:]])
def test_a_broken_rule_is_judged_by_the_server_as_by_the_wire(
    ruled: Served, said: bytes, judged: tuple[str, int] | None
) -> None:
    found = converse(ruled, said)
    assert verdict(found) == judged
    echoed = any(getattr(made, "opaque_data", b"") == b"behind! " for made in found)
    assert echoed == (judged is None or judged[0] == "reset")  # what is of one stream leaves the others alone


@pytest.mark.parametrize(("name", "before", "part"), FLOODS, ids=[row[0] for row in FLOODS])
def test_a_flood_ends_its_connection_and_no_other(
    ruled: Served, name: str, before: bytes, part: Callable[[int], bytes]
) -> None:
    """The other is of the same address: it shares the account, and has done nothing itself."""
    with Speaker(ruled) as other:
        found = pour(ruled, HELLO + before, map(part, range(FLOOD_PARTS)))
        judged = verdict([made for made in found if made.stream_id == 0])
        # What comes behind an end may find that of the answer too, and that is another rule.
        assert judged in [("goaway", CALM), ("goaway", CLOSED)][: 1 + ("behind" in name)]
        assert other.get("/").status == 200


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A server that all rows are said to: what one connection does is nothing to the next.

    What they ask for is there, and more than fits a window: a stream that is to be reset has not ended by itself.
    """
    site = tmp_path_factory.mktemp("ruled")
    with (site / "nothing").open("wb") as file:
        file.truncate(1 << 20)
    served = Served((os.fspath(site),), "127.0.0.1", None, None)
    yield served
    served.close()


def test_who_never_sends_the_content_is_let_go_a_moment_after_the_answer(serve: Serve, site: Path) -> None:
    """Each of them, and those that come while others have their moment."""
    with Speaker(serve(site)) as speaker:
        streams = [speaker.ask("/small.txt", method="POST", ends=False) for _ in range(3)]
        assert [speaker.answer(stream).status for stream in streams] == [405] * 3
        speaker.wait(lambda: speaker.received[streams[0]].reset == NO)
        streams.append(speaker.ask("/small.txt", method="POST", ends=False))
        speaker.wait(lambda: all(speaker.received[stream].reset == NO for stream in streams))
        assert speaker.get("/small.txt").content == b"hello\n"


@pytest.mark.needs("ss")
def test_a_small_answer_does_not_slow_the_streams_beside_it_down(serve: Serve, huge: Path) -> None:
    """It bounds the socket's queue for itself, and not for them."""
    served = serve(huge, "--memory", "4GiB", admin=True)
    with Speaker(served, stream_window=1 << 20, grows=False) as speaker:
        stream = speaker.ask()
        speaker.wait(lambda: len(speaker.received[stream].content) == 1 << 20)
        assert speaker.get("/nothing").status == 404
        content = speaker.received[stream].content

        def has_both_while_it_reads() -> bool:  # who does not read has a small window, and a small mark
            read = len(content) + (1 << 20)
            speaker.open(1 << 20, stream)
            speaker.wait(lambda: len(content) >= read)
            (row,) = served.status()["transfers"]["running"]
            return row["window"] == FAST_WINDOW and max(each["tb"] for each in socket_memory(served)) >= 192 * KIB

        until(has_both_while_it_reads, "its window and the mark are back")


def test_many_streams_of_one_connection_are_all_whole(serve: Serve, site: Path) -> None:
    write_sample(site / "sample.csv", 3_000_000)
    content = (site / "sample.csv").read_bytes()
    with Speaker(serve(site)) as speaker:
        streams = [speaker.ask("/sample.csv") for _ in range(20)]
        for stream in streams:
            assert speaker.answer(stream).content == content


def test_eight_ranges_at_once_are_the_file(serve: Serve, site: Path) -> None:
    """curl 7.88 does not do it: with prior knowledge it fails at its second request, with nginx too."""
    with Speaker(serve(site)) as speaker:
        streams = [
            speaker.ask("/content.bin", ("range", f"bytes={start}-{start + 12_499}"))
            for start in range(0, len(CONTENT), 12_500)
        ]
        assert len(streams) == 8
        assert b"".join(speaker.answer(stream).content for stream in streams) == CONTENT


def test_frames_are_as_large_as_the_client_takes_them(serve: Serve, huge: Path) -> None:
    with Speaker(serve(huge), frame_bytes=1 << 20, window=1 << 20, grows=False) as speaker:
        stream = speaker.ask("/", ("range", "bytes=0-1000000"))
        speaker.wait(lambda: speaker.received[stream].ended)
        assert len(speaker.order) < 1_000_001 / 16384 / 2


def test_a_stream_that_stands_still_holds_no_other_up(serve: Serve, huge: Path) -> None:
    with Speaker(serve(huge), stream_window=65535, grows=False) as speaker:
        still = speaker.ask()
        speaker.wait(lambda: len(speaker.received[still].content) == 65535)
        for _ in range(3):
            stream = speaker.ask("/", ("range", "bytes=0-999"))
            assert len(speaker.answer(stream).content) == 1000
        assert len(speaker.received[still].content) == 65535
        speaker.open(1000, still)
        speaker.wait(lambda: len(speaker.received[still].content) == 66535)


def test_the_windows_of_the_client_are_kept_to_the_byte(serve: Serve, huge: Path) -> None:
    """h2, the client, ends the connection when they are not."""
    with Speaker(serve(huge), window=65535, stream_window=40000, grows=False) as speaker:
        first, second = speaker.ask(), speaker.ask()
        taken = speaker.received
        speaker.wait(lambda: len(taken[first].content) + len(taken[second].content) == 65535)
        assert max(len(taken[first].content), len(taken[second].content)) <= 40000
        speaker.open(7)
        speaker.open(40000, first)
        speaker.open(40000, second)
        speaker.wait(lambda: len(taken[first].content) + len(taken[second].content) == 65542)


def test_the_more_urgent_stream_goes_first(serve: Serve, huge: Path) -> None:
    """RFC 9218: both have window enough, and the connection has not."""
    with Speaker(serve(huge), window=65535, stream_window=1 << 20, grows=False) as speaker:
        later = speaker.ask("/", ("priority", "u=5"))
        speaker.wait(lambda: len(speaker.received[later].content) == 65535)
        first = speaker.ask("/", ("priority", "u=1"), ("range", "bytes=0-199999"))
        speaker.wait(lambda: speaker.received[first].status)
        speaker.order.clear()
        speaker.open(150_000)
        speaker.wait(lambda: len(speaker.received[first].content) == 150_000)
        assert set(speaker.order) == {first}
        speaker.open(60_000)
        speaker.wait(lambda: speaker.received[first].ended and len(speaker.received[later].content) > 65535)


def test_a_priority_may_change_while_a_stream_runs(serve: Serve, huge: Path) -> None:
    with Speaker(serve(huge), window=65535, stream_window=1 << 20, grows=False) as speaker:
        one = speaker.ask("/", ("priority", "u=1"))
        speaker.wait(lambda: len(speaker.received[one].content) == 65535)
        two = speaker.ask("/", ("priority", "u=3"))
        speaker.wait(lambda: speaker.received[two].status)
        speaker.raw(frame(16, 0, 0, word(one) + b"u=6"))
        speaker.open(100_000)
        speaker.wait(lambda: len(speaker.received[two].content) == 100_000)
        assert len(speaker.received[one].content) == 65535


def test_equals_share_evenly(serve: Serve, huge: Path) -> None:
    with Speaker(serve(huge), window=65535, stream_window=1 << 24, grows=False) as speaker:
        total = 24 << 20  # some twenty turns each: one whose first bytes are read from a disk misses a few
        streams = [speaker.ask() for _ in range(4)]
        taken = speaker.received
        speaker.wait(lambda: sum(len(taken[stream].content) for stream in streams) == 65535)
        speaker.wait(lambda: all(taken[stream].status for stream in streams))
        before = [len(taken[stream].content) for stream in streams]
        speaker.open(total)
        speaker.wait(lambda: sum(len(taken[stream].content) for stream in streams) == 65535 + total)
        shares = [len(taken[stream].content) - had for stream, had in zip(streams, before, strict=True)]
        assert min(shares) > total / 4 * 0.8


def test_who_resets_a_stream_has_the_others_go_on(serve: Serve, huge: Path) -> None:
    served = serve(huge)
    with Speaker(served, stream_window=1 << 20, grows=False) as speaker:
        gone, other = speaker.ask(), speaker.ask("/", ("range", "bytes=0-999999"))
        speaker.wait(lambda: speaker.received[gone].content)
        speaker.h2.reset_stream(gone, 8)
        speaker.flush()
        assert len(speaker.answer(other).content) == 1_000_000
        served.await_log("peer-gone")
        assert speaker.get("/", ("range", "bytes=1-3")).content == bytes(3)


def test_a_file_that_changes_ends_its_stream_and_no_other(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "changing.bin"
    path.write_bytes(bytes(8 << 20))
    (tmp_path / "other.bin").write_bytes(bytes(200_000))
    served = serve(tmp_path)
    with Speaker(served, stream_window=100_000, grows=False) as speaker:
        cut, other = speaker.ask("/changing.bin"), speaker.ask("/other.bin")
        speaker.wait(lambda: len(speaker.received[cut].content) + len(speaker.received[other].content) == 200_000)
        path.write_bytes(b"x" * (8 << 20))
        os.utime(path, ns=(1, 1))
        speaker.open(8 << 20, cut)
        with pytest.raises(Reset) as caught:
            speaker.answer(cut)
        assert caught.value.code == 2 and not speaker.received[cut].ended
        speaker.open(100_000, other)
        assert len(speaker.answer(other).content) == 200_000
    served.await_log("changed")


def test_who_takes_nothing_for_the_idle_timeout_loses_that_stream_only(serve: Serve, huge: Path) -> None:
    served = serve(huge, "--idle-timeout", "1s")
    with Speaker(served, stream_window=1000, grows=False) as speaker:
        stream = speaker.ask()
        with pytest.raises(Reset) as caught:
            speaker.answer(stream)
        assert caught.value.code == 8
        assert speaker.get("/", ("range", "bytes=0-9")).content == bytes(10)
    served.await_log("stalled")


def test_a_stream_behind_more_urgent_ones_does_not_stand_still(serve: Serve, huge: Path) -> None:
    served = serve(huge, "--idle-timeout", "1s", "--per-client-rate", "8MB")
    with Speaker(served) as speaker:
        later = speaker.ask("/", ("priority", "u=6"))
        first = speaker.ask("/", ("priority", "u=1"), ("range", "bytes=0-24000000"))
        assert len(speaker.answer(first).content) == 24_000_001  # which takes three seconds, three times the patience
        speaker.wait(lambda: len(speaker.received[later].content) > 30_000_000)


def test_a_connection_without_streams_is_let_go_with_a_word(serve: Serve, site: Path) -> None:
    with Speaker(serve(site, "--idle-timeout", "1s")) as speaker:
        assert speaker.get("/small.txt").content == b"hello\n"
        with pytest.raises(Cut):
            speaker.wait(lambda: False)
        assert [code for code, _ in speaker.goaways] == [NO]


def test_pings_do_not_keep_an_idle_connection(serve: Serve, site: Path) -> None:
    with Speaker(serve(site, "--idle-timeout", "1s")) as speaker:

        def ping_for_ever() -> None:
            while True:
                speaker.h2.ping(b"12345678")
                speaker.flush()
                pings = speaker.pings
                speaker.wait(lambda: speaker.pings > pings)  # noqa: B023 - it is asked before the next one
                time.sleep(0.05)  # the pace of the pings, which is not what is awaited

        with pytest.raises((Cut, ConnectionError)):
            ping_for_ever()


def test_an_unfinished_head_has_its_time(serve: Serve, site: Path) -> None:
    served = serve(site, "--idle-timeout", "1s")
    assert verdict(converse(served, HELLO, frame(1, 5, 1, bytes(100))[:20])) in (("goaway", NO), ("goaway", PROTOCOL))


def test_who_waits_for_a_slot_holds_nobody_up(serve: Serve, huge: Path) -> None:
    """A stream in line; another stream, small, by the express lane."""
    (huge.parent / "small.txt").write_bytes(b"hello\n")
    served = serve(huge.parent, "--per-client", "1", admin=True)
    with Speaker(served, stream_window=1000, grows=False) as speaker:
        runs, waits = speaker.ask("/huge.bin"), speaker.ask("/huge.bin")
        until(lambda: served.gate()["waiting"] == 1, "one waits")
        assert speaker.get("/small.txt").content == b"hello\n"
        assert not speaker.received[waits].status
        speaker.h2.reset_stream(runs, 8)
        speaker.flush()
        speaker.wait(lambda: speaker.received[waits].status == 200)
        assert "queue;dur=" in speaker.received[waits].fields["server-timing"]


def test_who_waits_in_vain_is_told_when_to_come_back(serve: Serve, huge: Path) -> None:
    served = serve(huge, "--per-client", "1", "--max-wait", "200ms")
    with Speaker(served, stream_window=100_000, grows=False) as speaker:
        speaker.ask()
        found = speaker.get()
        assert found.status == 503 and int(found.fields["retry-after"]) > 0


def test_who_waits_may_give_up(serve: Serve, huge: Path) -> None:
    served = serve(huge, "--per-client", "1", admin=True)
    with Speaker(served, stream_window=1000, grows=False) as speaker:
        speaker.ask()
        waits = speaker.ask()
        until(lambda: served.gate()["waiting"] == 1, "one waits")
        speaker.h2.reset_stream(waits, 8)
        speaker.flush()
        until(lambda: served.gate()["waiting"] == 0, "nobody waits")


def wanted(stream: int) -> bytes:
    """A request for the file that is served."""
    return head(*ASKED[:3], (":path", "/"), stream=stream)


DEAD = {
    "reset by its client": frame(3, 0, 1, word(8)),
    "a window that overflows": frame(8, 0, 1, word((1 << 31) - 1)),
    "content behind its end": frame(0, 0, 1, b"x"),
    "a head behind its end": asked(),
    "an increment of 0": frame(8, 0, 1, word(0)),
}


@pytest.mark.parametrize("end", DEAD.values(), ids=DEAD)
def test_a_request_that_is_dead_before_it_began_never_waits(serve: Serve, huge: Path, end: bytes) -> None:
    """Its stream ends in the packet that it came in: nothing stands in line for it, though there is no slot."""
    served = serve(huge, "--per-client", "1", admin=True)
    with Speaker(served, stream_window=1000, grows=False) as speaker:
        speaker.ask()
        until(lambda: served.gate()["running"] == 1, "one runs")
        converse(served, HELLO, wanted(1) + end)
        served.await_log("peer-gone")
        assert served.gate()["waiting"] == 0


def test_dead_requests_leave_the_line_by_the_thousand(serve: Serve, huge: Path) -> None:
    """MadeYouReset, CVE-2025-8671: a client that makes the server reset its streams keeps nobody from the line."""
    served = serve(huge, "--per-client", "1", "--queue", "3", admin=True)
    with Speaker(served, stream_window=1000, grows=False) as speaker:
        speaker.ask()
        until(lambda: served.gate()["running"] == 1, "one runs")
        overflows = word((1 << 31) - 1)
        converse(served, HELLO, b"".join(wanted(n) + frame(8, 0, n, overflows) for n in range(1, 100, 2)))
        served.await_log("peer-gone", count=50)
        assert served.status()["gate"]["waiting"] == served.status()["gate"]["refused_total"] == 0


def test_content_that_nobody_wants_is_passed_over(serve: Serve, site: Path) -> None:
    with Speaker(serve(site)) as speaker:
        stream = speaker.ask("/small.txt", method="POST", ends=False)
        assert speaker.answer(stream).status == 405
        speaker.wait(lambda: speaker.received[stream].reset == NO)
        for size, status in ((1000, 405), (70_000, 413)):
            stream = speaker.ask("/small.txt", ("content-length", str(size)), method="POST", ends=False)
            assert speaker.answer(stream).status == status
        assert speaker.get("/small.txt").content == b"hello\n"


def test_requests_beyond_what_was_granted_are_refused_and_the_others_answered(serve: Serve, huge: Path) -> None:
    served = serve(huge)
    said = b"".join(asked(stream=2 * n + 1, ends=False) for n in range(101))
    assert verdict(converse(served, PREFACE + settings((4, 0)), said)) == ("reset", REFUSED)


def test_who_drains_says_so_in_two_steps_and_finishes_what_runs(serve: Serve, huge: Path) -> None:
    """RFC 9113 section 6.8."""
    served = serve(huge)
    with Speaker(served, stream_window=1 << 20, grows=False) as speaker:
        stream = speaker.ask()
        speaker.wait(lambda: speaker.received[stream].content)
        served.signal(signal.SIGTERM)
        speaker.wait(lambda: len(speaker.goaways) == 2)
        assert speaker.goaways == [(NO, 2**31 - 1), (NO, stream)]
        late = speaker.ask()
        speaker.wait(lambda: speaker.received[late].reset == REFUSED)
        del speaker.received[late]
        speaker.open(HUGE_BYTES, stream)
        assert len(speaker.answer(stream).content) == HUGE_BYTES
    assert served.wait() == 0


def test_who_drains_ends_what_does_not_finish_in_time(serve: Serve, huge: Path) -> None:
    served = serve(huge, "--drain", "200ms")
    with Speaker(served, stream_window=1000, grows=False) as speaker:
        stream = speaker.ask()
        speaker.wait(lambda: speaker.received[stream].content)
        served.signal(signal.SIGTERM)
        with pytest.raises((Reset, Cut, ConnectionError)):
            speaker.answer(stream)
    assert served.wait() == 0
    assert any("drained" in line for line in served.log)


def test_a_client_that_leaves_has_the_rest_of_what_it_asked_for(serve: Serve, site: Path) -> None:
    with Speaker(serve(site)) as speaker:
        stream = speaker.ask("/content.bin")
        speaker.raw(frame(7, payload=word(0) + word(0)))
        assert speaker.answer(stream).content == CONTENT
        with pytest.raises(Cut):
            speaker.wait(lambda: False)


def test_the_end_of_a_connection_gives_everything_back(serve: Serve, huge: Path, clients: ExitStack) -> None:
    served = serve(huge, admin=True)
    served.status()
    descriptors = served.descriptors()
    speaker = clients.enter_context(Speaker(served, stream_window=1000, grows=False))
    for _ in range(20):
        speaker.ask()
    until(lambda: served.gate()["running"] == 20, "all run")
    status = served.status()
    assert len(status["transfers"]["running"]) == 20 and status["connections"]["open"] == 1
    speaker.socket.close()
    until(lambda: served.gate()["running"] == 0, "none runs")
    served.await_log("peer-gone", count=20)
    assert served.status()["transfers"]["aborted_total"]["peer-gone"] == 20
    until(lambda: served.status()["connections"]["open"] == 0, "the connection has closed")
    until(lambda: served.descriptors() <= descriptors, "no descriptor is left")


def test_a_request_says_behind_a_trusted_proxy_whose_it_is(serve: Serve, site: Path) -> None:
    served = serve(site, "--trusted-proxy", "127.0.0.1")
    with Speaker(served) as speaker:
        speaker.get("/small.txt", ("x-forwarded-for", "203.0.113.7"))
        speaker.get("/small.txt", ("x-forwarded-for", "203.0.113.8"))
    assert "203.0.113.7" in served.await_log("small.txt", count=1)
    assert "203.0.113.8" in served.await_log("small.txt", count=2)


def test_a_proxy_header_may_stand_before_the_preface(serve: Serve, site: Path) -> None:
    served = serve(site, "--proxy-protocol", "--trusted-proxy", "127.0.0.1")
    converse(served, b"PROXY TCP4 203.0.113.9 203.0.113.1 5 80\r\n" + HELLO + asked())
    assert "203.0.113.9" in served.await_log("/nothing")


def test_nothing_is_loaded_for_http2_before_somebody_speaks_it(serve: Serve, site: Path) -> None:
    served = serve(site)

    def loaded() -> bool:
        return any("h2" in line.split("/")[-2:] for line in Path(f"/proc/{served.pid}/maps").read_text().splitlines())

    before = served.private_bytes()
    assert served.get("/small.txt").content == b"hello\n"
    assert served.private_bytes() - before < 1 << 20 and not loaded()
    with Speaker(served) as speaker:
        speaker.get("/small.txt")
        assert served.private_bytes() - before > 1 << 20
