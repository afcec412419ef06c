"""freight.asgi called as a server calls it: paths, answers, the queue, and clients that go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from freight.asgi import FileResponse, Files, Limits
from freight.embedded.admission import Admission
from freight.embedded.engines import engine_of
from freight.errors import ConfigurationError, FileChanged, Stalled
from freight.model import Rejected, RejectReason

ANSWER_BYTES = 128 * 1024
CONTENT = bytes(range(250)) * 4
BIG_BYTES = 3 * 1024 * 1024


class Call:
    """One request. ``take``: how many bodies the server takes before it waits for ``resume``."""

    def __init__(self, method: str = "GET", path: str = "/file.bin", *fields: tuple[str, str], **more: Any) -> None:
        self.scope: MutableMapping[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "http_version": "1.1",
            "headers": [(name.encode(), value.encode()) for name, value in fields],
            "client": ("192.0.2.1", 1000),
            **more,
        }
        self.sent: list[MutableMapping[str, Any]] = []
        self.gone = asyncio.Event()
        self.resume = asyncio.Event()
        self.resume.set()

    async def receive(self) -> MutableMapping[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: MutableMapping[str, Any]) -> None:
        self.sent.append(event)
        await self.resume.wait()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def fields(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def content(self) -> bytes:
        return b"".join(event["body"] for event in self.sent[1:])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110  (no event tells it)
            await asyncio.sleep(0)


async def ask(app: Any, *arguments: Any, **more: Any) -> Call:
    call = Call(*arguments, **more)
    await app(call.scope, call.receive, call.send)
    return call


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "file.bin").write_bytes(CONTENT)
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "ä.txt").write_text("odd")
    (tmp_path / "big.bin").write_bytes(bytes(BIG_BYTES))
    return tmp_path


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/file.bin", {}, 200),
        ("/m/file.bin", {"root_path": "/m"}, 200),
        ("/m/file.bin", {"root_path": "/m", "raw_path": b"/file.bin"}, 200),
        ("/file.bin", {"root_path": "/m"}, 200),
        ("/m/file.bin", {"root_path": "/m", "raw_path": None}, 200),
        ("/file.bin/", {"raw_path": b"/m/file.bin"}, 200),
        ("/mfile.bin", {"root_path": "/m"}, 404),
        ("/a b/ä.txt", {"raw_path": b"/a%20b/%C3%A4.txt"}, 200),
        ("/é/a b/ä.txt", {"root_path": "/é", "raw_path": b"/%C3%A9/a%20b/%C3%A4.txt"}, 200),
        ("/a b/ä.txt", {"raw_path": None}, 200),
        ("/../file.bin", {}, 200),
        ("/%2e%2e/etc/passwd", {"raw_path": b"/%252e%252e/etc/passwd"}, 404),
        ("/a b", {"raw_path": b"/a%20b"}, 404),
        ("/", {}, 404),
        ("/m", {"root_path": "/m"}, 404),
        ("/none", {}, 404),
    ],
)
async def test_the_path_below_root_path(root: Path, path: str, more: dict[str, Any], status: int) -> None:
    assert (await ask(Files(root), "GET", path, **more)).status == status


async def test_listings_have_relative_links_and_end_with_a_slash(root: Path) -> None:
    app = Files(root, listings=True)
    moved = await ask(app, "GET", "/x/m", root_path="/x/m")
    assert (moved.status, moved.fields["location"]) == (308, "m/")
    within = await ask(app, "GET", "/", raw_path=b"/x/m")
    assert (within.status, within.fields["location"]) == (308, "m/")
    listing = await ask(app, "GET", "/x/m/", ("accept", "application/json"), root_path="/x/m")
    assert listing.status == 200 and b"file.bin" in listing.content and "content-length" not in listing.fields


async def test_one_file_as_the_application_describes_it(root: Path) -> None:
    app = FileResponse(
        root / "file.bin",
        filename="Ünï \r\n.csv",
        media_type="text/csv",
        etag='"v1"',
        headers=[("X-Own", "1"), ("ETag", '"other"')],
    )
    call = await ask(app, "GET", "/anything", ("range", "bytes=1-2"), ("if-range", '"v1"'))
    assert (call.status, call.content, call.fields["etag"]) == (206, CONTENT[1:3], '"v1"')
    assert (call.fields["content-type"], call.fields["x-own"]) == ("text/csv", "1")
    assert call.fields["content-disposition"].startswith("attachment; ") and "\r" not in str(call.fields)
    assert (await ask(app, "GET", "/", ("if-none-match", '"v1"'))).status == 304
    assert (await ask(app, "HEAD", "/")).content == b""
    assert (await ask(FileResponse(root / "none"))).status == 404
    assert (await ask(FileResponse(root))).status == 404
    assert (await ask(app, "POST")).status == 405


@pytest.mark.parametrize("wrong", [{"etag": "v1"}, {"media_type": "a/b\r\nX: y"}, {"media_type": ""}])
def test_what_a_field_cannot_hold_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        FileResponse("/etc/hostname", **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"memory": "much"},
        {"memory": 5},
        {"queue_size": -1},
        {"download_memory": "1KiB"},
        {"download_memory": "1GiB"},
        {"queue_timeout": -1},
        {"idle_timeout": 0},
        {"trusted_proxies": ("here",)},
    ],
)
def test_limits_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Limits(**wrong)


async def test_nothing_is_read_before_the_server_takes_the_previous_piece(root: Path) -> None:
    app, call = Files(root), Call(path="/big.bin")
    running = asyncio.create_task(app(call.scope, call.receive, call.send))
    await until(lambda: len(call.sent) > 1)
    call.resume.clear()
    await asyncio.sleep(0.05)
    held = len(call.content)
    assert held < 200_000
    await asyncio.sleep(0.05)
    assert len(call.content) == held
    call.resume.set()
    await running
    assert len(call.content) == BIG_BYTES and call.sent[-1]["more_body"] is False


@pytest.mark.parametrize("change", ["truncate", "overwrite"])
async def test_a_file_that_changes_is_an_error(root: Path, change: str) -> None:
    app, call = Files(root), Call(path="/big.bin")
    call.resume.clear()
    running = asyncio.create_task(app(call.scope, call.receive, call.send))
    await until(lambda: bool(call.sent))
    if change == "truncate":
        os.truncate(root / "big.bin", 5)
    else:
        os.utime(root / "big.bin", (1, 1))
    call.resume.set()
    with pytest.raises(FileChanged):
        await running
    assert all(event.get("more_body", True) for event in call.sent)


async def test_the_queue_is_bounded_and_a_client_that_goes_leaves_it(root: Path) -> None:
    app = Files(root, memory="1MiB", queue_size=1)
    engine = engine_of(Limits("1MiB", 1))
    calls = [Call(path="/big.bin") for _ in range(8)]
    for call in calls:
        call.resume.clear()
    tasks = [asyncio.create_task(app(call.scope, call.receive, call.send)) for call in calls]
    await until(lambda: engine.admission.running == 7 and engine.admission.waiting == 1)
    assert engine.admission.used_bytes == 7 * ANSWER_BYTES
    refused = await ask(app, "GET", "/big.bin")
    assert refused.status == 503 and int(refused.fields["retry-after"]) >= 1
    assert (await ask(app)).content == CONTENT  # a small answer
    queued = next(call for call in calls if not call.sent)
    queued.gone.set()
    await until(lambda: engine.admission.waiting == 0)
    for call in calls:
        call.gone.set()
        call.resume.set()
    await asyncio.gather(*tasks)
    assert queued.sent == []
    assert (engine.admission.running, engine.admission.used_bytes) == (0, 0)


async def test_a_client_that_takes_nothing_is_given_up(root: Path) -> None:
    call = Call(path="/big.bin")
    call.resume.clear()
    with pytest.raises(Stalled):
        await Files(root, idle_timeout=0.01)(call.scope, call.receive, call.send)
    assert engine_of(Limits(idle_timeout=0.01)).admission.running == 0


async def test_clients_take_turns_by_the_address_that_a_trusted_proxy_names() -> None:
    admission = Admission(1024 * 1024, 10, 30.0)
    held = [await admission.admit("a", ANSWER_BYTES, None) for _ in range(7)]
    order: list[str] = []

    async def wait(key: str) -> None:
        release = await admission.admit(key, ANSWER_BYTES, None)
        assert not isinstance(release, Rejected)
        order.append(key)
        release()

    tasks = [asyncio.create_task(wait(key)) for key in ("a", "a", "a", "b")]
    await asyncio.sleep(0)
    for release in held:
        assert not isinstance(release, Rejected)
        release()
    await asyncio.gather(*tasks)
    assert order.index("b") < 2 and admission.used_bytes == 0


async def test_a_request_that_waits_too_long_is_rejected_and_one_of_many_is_evicted() -> None:
    admission = Admission(1024 * 1024, 2, 0.02)
    held = [await admission.admit("a", ANSWER_BYTES, None) for _ in range(7)]
    first, second, third = [asyncio.create_task(admission.admit(key, ANSWER_BYTES, None)) for key in ("a", "a", "b")]
    found = [await each for each in (first, second, third)]
    assert [each.reason for each in found if isinstance(each, Rejected)] == [
        RejectReason.LATE,
        RejectReason.FULL,
        RejectReason.LATE,
    ]
    assert admission.waiting == 0 and len(held) == admission.running


async def test_lifespan_starts_and_ends(root: Path) -> None:
    app, sent = Files(root), []
    events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> MutableMapping[str, Any]:
        return {"type": next(events)}

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event["type"])

    await app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_pathsend_is_for_whole_files_only(root: Path) -> None:
    app, extensions = Files(root, pathsend=True), {"http.response.pathsend": {}}
    whole = await ask(app, "GET", "/big.bin", extensions=extensions)
    assert [event["type"] for event in whole.sent] == ["http.response.start", "http.response.pathsend"]
    assert whole.sent[1]["path"] == os.path.realpath(root / "big.bin")  # noqa: ASYNC240
    part = await ask(app, "GET", "/big.bin", ("range", "bytes=0-1"), extensions=extensions)
    assert part.content == bytes(2)
    assert len((await ask(Files(root), "GET", "/big.bin", extensions=extensions)).content) == BIG_BYTES


def test_a_loop_that_is_closed_leaves_no_descriptor(root: Path) -> None:
    """Test clients run a loop for each request."""

    async def run() -> None:
        assert (await ask(Files(root))).content == CONTENT

    asyncio.run(run())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        asyncio.run(run())
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_a_cold_file_is_read_by_threads(root: Path) -> None:
    with (root / "big.bin").open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert (await ask(Files(root), "GET", "/big.bin")).content == bytes(BIG_BYTES)
