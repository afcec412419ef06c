"""A request of HTTP/2 that equals an earlier one but for its range is answered as a new one is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from h2.errors import ErrorCodes

import freight
from freight.flow.file_sender import FileSender
from freight.wire.http2.repeats import SectionFormat
from support.certificates import unverified_context
from support.raw_h2 import Http2Client, Reset
from support.servers import Response, Serve, ServerProcess, wait_until

CONTENT = bytes(number * 7 % 251 for number in range(300_000))
RANGES = ["bytes=0-4095", "bytes=5-5", "bytes=100-65635", "bytes=299000-400000", "bytes=0-299999", "bytes=70000-269999"]
UNUSUAL = ["bytes=07-9", "bytes=9-7", "bytes=-5", "bytes=5-", "bytes=0-1,5-6", "bytes=300000-300001", "lines=1-2"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a directory of ``a.bin`` and ``b.bin``."""
    return fill(tmp_path)


def fill(folder: Path) -> Path:
    (folder / "a.bin").write_bytes(CONTENT)
    (folder / "b.bin").write_bytes(CONTENT[::-1])
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server of such a directory for the rows of a table."""
    with closing(ServerProcess((str(fill(tmp_path_factory.mktemp("shared"))),))) as server:
        yield server


def told(found: Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return all that an answer tells, but its date."""
    return found.status, [pair for pair in found.fields.items() if pair[0] != "date"], found.content


@pytest.mark.parametrize("wanted", [*RANGES, *UNUSUAL])
def test_a_repeated_request_is_answered_as_a_new_one(shared: ServerProcess, wanted: str) -> None:
    with Http2Client(shared) as client:
        # The field makes it another request, which the server cannot know, and changes nothing in the answer.
        expected = told(client.get("/a.bin", ("range", wanted), ("user-agent", f"new for {wanted}")))
        for known in ("bytes=1-2", "bytes=3-9"):
            client.get("/a.bin", ("range", known))
        assert told(client.get("/a.bin", ("range", wanted))) == expected
    shared.wait_for_log(f'"GET /a.bin" {expected[0]}', f'range="{wanted}"', count=2)


def test_a_request_without_a_range_and_one_with_are_told_apart(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site)) as client:
        for _ in range(3):
            assert client.get("/a.bin").content == CONTENT
            assert client.get("/a.bin", ("range", "bytes=1-5")).content == CONTENT[1:6]


def test_a_request_with_other_fields_is_another(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site)) as client:
        tag = client.get("/a.bin", ("range", "bytes=0-1")).fields["etag"]
        for _ in range(2):
            assert client.get("/a.bin", ("range", "bytes=1-5")).content == CONTENT[1:6]
            assert client.get("/a.bin", ("range", "bytes=1-5"), ("if-range", tag)).status == 206
            assert client.get("/a.bin", ("range", "bytes=1-5"), ("if-range", '"other"')).status == 200
            assert client.get("/a.bin", ("range", "bytes=1-5"), method="HEAD").content == b""
            assert client.get("/b.bin", ("range", "bytes=1-5")).content == CONTENT[::-1][1:6]


def test_a_replaced_file_is_answered_as_it_is_now(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site)) as client:
        for content in (CONTENT, b"short", CONTENT[::-1]):
            (site / "new").write_bytes(content)
            os.replace(site / "new", site / "a.bin")
            for _ in range(3):
                found = client.get("/a.bin", ("range", "bytes=1-3"))
                assert found.content == content[1:4]
                assert found.fields["content-range"] == f"bytes 1-3/{len(content)}"


def test_a_known_answer_waits_for_the_window(serve: Serve, site: Path) -> None:
    served = serve(site)
    with Http2Client(served, stream_window=1000, grows=False) as client:
        client.get("/a.bin", ("range", "bytes=0-99"))
        client.get("/a.bin", ("range", "bytes=0-99"))
        waiting = client.request("/a.bin", ("range", "bytes=0-4999"))
        client.wait(lambda: len(client.received[waiting].content) == 1000)
        assert client.get("/a.bin", ("range", "bytes=7-9")).content == CONTENT[7:10]
        client.increase_window(4000, waiting)
        assert client.response(waiting).content == CONTENT[:5000]


def test_a_known_answer_that_is_reset_gives_everything_back(serve: Serve, site: Path) -> None:
    served = serve(site, admin=True)
    with Http2Client(served, stream_window=1000, grows=False) as client:
        client.get("/a.bin", ("range", "bytes=0-99"))
        for _ in range(20):  # in one packet: the reset comes with the request, before anything is sent
            stream = client.h2.get_next_available_stream_id()
            head = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/a.bin")]
            client.h2.send_headers(stream, [*head, ("range", "bytes=0-4999")], end_stream=True)
            client.h2.reset_stream(stream)
        client.flush()
        stalled = [client.request("/a.bin", ("range", "bytes=0-4999")) for _ in range(20)]
        client.wait(lambda: all(len(client.received[stream].content) == 1000 for stream in stalled))
        for stream in stalled:
            client.h2.reset_stream(stream)
        client.flush()
        assert client.get("/a.bin", ("range", "bytes=0-99")).content == CONTENT[:100]
        served.wait_for_log('range="bytes=0-4999"', count=40)
        assert served.gate()["running"] == 0


def test_the_end_of_a_connection_ends_known_answers(serve: Serve, site: Path) -> None:
    served = serve(site, admin=True)
    with Http2Client(served, stream_window=1000, grows=False) as client:
        client.get("/a.bin", ("range", "bytes=0-99"))
        stalled = [client.request("/a.bin", ("range", "bytes=0-4999")) for _ in range(20)]
        client.wait(lambda: all(len(client.received[stream].content) == 1000 for stream in stalled))
    served.wait_for_log('range="bytes=0-4999"', count=20)
    assert served.gate()["running"] == 0


def test_a_range_that_if_range_refuses_is_refused_again(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site)) as client:
        for _ in range(3):
            found = client.get("/a.bin", ("range", "bytes=1-5"), ("if-range", '"other"'))
            assert found.content == CONTENT


def test_a_file_that_is_gone_is_not_found(serve: Serve, site: Path) -> None:
    with Http2Client(serve(site)) as client:
        for _ in range(2):
            client.get("/a.bin", ("range", "bytes=0-99"))
        (site / "a.bin").unlink()
        try:
            assert client.get("/a.bin", ("range", "bytes=0-99")).status == 404
        except Reset:
            pytest.fail("an answer was begun for a file that is gone")


def test_over_tls_known_requests_are_answered_as_new_ones(serve: Serve, site: Path) -> None:
    served = serve(site, "--tls-self-signed", admin=True)
    with Http2Client(served, tls=unverified_context()) as client:
        for wanted in [*RANGES, *UNUSUAL]:
            expected = told(client.get("/a.bin", ("range", wanted), ("user-agent", "new")))
            assert [told(client.get("/a.bin", ("range", wanted))) for _ in range(3)] == [expected] * 3
        whole = [client.request("/a.bin") for _ in range(5)]
        parts = [client.request("/a.bin", ("range", wanted)) for wanted in RANGES]
        assert all(client.response(stream).content == CONTENT for stream in whole)
        for stream, wanted in zip(parts, RANGES, strict=True):
            first, last = map(int, wanted.removeprefix("bytes=").split("-"))
            assert client.response(stream).content == CONTENT[first : last + 1]
        os.replace(site / "b.bin", site / "a.bin")
        assert client.get("/a.bin", ("range", "bytes=0-4095")).content == CONTENT[::-1][:4096]
        (site / "a.bin").unlink()
        assert client.get("/a.bin", ("range", "bytes=0-4095")).status == 404
    served.wait_for_log(" complete", count=4 * len([*RANGES, *UNUSUAL]))
    assert served.gate()["express_running"] == 0


def test_over_tls_a_known_answer_waits_for_its_window_and_may_be_reset(serve: Serve, site: Path) -> None:
    served = serve(site, "--tls-self-signed", admin=True)
    with Http2Client(served, stream_window=1000, grows=False, tls=unverified_context()) as client:
        for _ in range(2):
            client.get("/a.bin", ("range", "bytes=0-99"))
        waiting, given_up = [client.request("/a.bin", ("range", "bytes=0-4999")) for _ in range(2)]
        client.wait(lambda: all(len(client.received[each].content) == 1000 for each in (waiting, given_up)))
        client.h2.reset_stream(given_up)
        client.increase_window(4000, waiting)
        assert client.response(waiting).content == CONTENT[:5000]
    served.wait_for_log('range="bytes=0-4999"', "peer-gone")
    assert served.gate()["express_running"] == 0


def test_a_defect_in_a_known_answer_resets_its_stream_and_frees_its_slot(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is called by the loop, where an error would otherwise leave the stream open."""

    def fail(*_: object) -> NoReturn:
        raise RuntimeError("a fault of the server")

    logged = list[str]()
    with freight.Server(site, port=0, log=lambda *line: logged.append(str(line[-1]))) as server:
        served: Any = SimpleNamespace(host="127.0.0.1", port=server.port)
        with Http2Client(served) as client:
            for _ in range(2):
                client.get("/a.bin", ("range", "bytes=0-99"))
            for broken in ((SectionFormat, "fill"), (FileSender, "step")):
                with monkeypatch.context() as patched:
                    patched.setattr(*broken, fail)
                    with pytest.raises(Reset) as caught:
                        client.get("/a.bin", ("range", "bytes=0-99"))
                assert caught.value.code == ErrorCodes.INTERNAL_ERROR
                assert server.status()["admission"]["express_running"] == 0
                assert client.get("/a.bin", ("range", "bytes=0-99")).content == CONTENT[:100]
        wait_until(lambda: sum("error: RuntimeError" in line for line in logged) == 2, "both are logged")
