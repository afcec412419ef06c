"""freight.wsgi called as a server calls it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from freight.errors import FileChanged
from freight.wsgi import Body, FileResponse, Files, Limits
from support.servers import wait_until

CONTENT = bytes(range(250)) * 4
BIG_BYTES = 3 * 1024 * 1024


def start(app: Any, path: str = "/file.bin", **environ: str) -> tuple[str, dict[str, str], Iterable[bytes]]:
    values: dict[str, Any] = {"PATH_INFO": path, "REMOTE_ADDR": "192.0.2.1"}
    setup_testing_defaults(values)
    started: list[Any] = []
    body = app(values | environ, lambda status, fields, error=None: started.extend((status, dict(fields))))
    return started[0], started[1], body


def ask(app: Any, path: str = "/file.bin", **environ: str) -> tuple[str, dict[str, str], bytes]:
    status, fields, body = start(app, path, **environ)
    content = b"".join(body)
    body.close()  # type: ignore[attr-defined]
    return status, fields, content


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "file.bin").write_bytes(CONTENT)
    (tmp_path / "ä b").mkdir()
    (tmp_path / "ä b" / "x.txt").write_text("odd")
    (tmp_path / "big.bin").write_bytes(bytes(BIG_BYTES))
    return tmp_path


def test_it_keeps_to_the_specification(root: Path) -> None:
    """wsgiref's validator checks PEP 3333."""
    environ: dict[str, Any] = {"PATH_INFO": "/file.bin", "SCRIPT_NAME": "", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    body = validator(Files(root))(environ, lambda *_: lambda data: None)  # type: ignore[arg-type,return-value]
    assert b"".join(body) == CONTENT
    body.close()  # type: ignore[attr-defined]


def test_paths_ranges_and_absent_directories(root: Path) -> None:
    app = Files(root)
    assert ask(app, HTTP_RANGE="bytes=1-2")[2] == CONTENT[1:3]
    assert ask(app, "/ä b/x.txt".encode().decode("latin-1"))[2] == b"odd"
    assert [ask(app, path)[0] for path in ("/", "/none", "/../none")] == ["404 Not Found"] * 3
    assert ask(Files(root, listings=True), "", SCRIPT_NAME="/m")[1]["Location"] == "m/"
    status, fields, content = ask(app, REQUEST_METHOD="HEAD")
    assert (status, fields["Content-Length"], content) == ("200 OK", "1000", b"")
    status, fields, content = ask(app, HTTP_IF_NONE_MATCH=fields["ETag"])
    assert (status, content, fields.get("Content-Length")) == ("304 Not Modified", b"", None)


def test_a_file_that_changes_is_an_error(root: Path) -> None:
    _, _, body = start(Files(root), "/big.bin")
    pieces = iter(body)
    next(pieces)
    os.truncate(root / "big.bin", 5)
    with pytest.raises(FileChanged):
        list(pieces)
    body.close()  # type: ignore[attr-defined]


def test_closing_or_dropping_the_content_lets_the_next_request_run(root: Path) -> None:
    limits = Limits(memory="1MiB", queue_size=0)
    app = FileResponse(root / "big.bin", limits=limits)
    bodies = [start(app)[2] for _ in range(7)]
    status, fields, _ = ask(app)
    assert status == "503 Service Unavailable" and int(fields["Retry-After"]) >= 1
    body = bodies.pop()
    assert isinstance(body, Body)
    body.close()
    body.close()
    wait_until(lambda: ask(app)[0] == "200 OK", "the closed one's place is free")
    del body
    bodies.clear()
    wait_until(lambda: ask(app)[0] == "200 OK", "the dropped ones' places are free")
