"""Send bytes to a running server and check its responses; the site of the conformance tests."""

from __future__ import annotations

import os
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

from support.servers import Response, ServerProcess

SIZE = 1000
CONTENT = bytes(at * 7 % 251 for at in range(SIZE))
MODIFIED = 1_577_836_800
MODIFIED_DATE = "Wed, 01 Jan 2020 00:00:00 GMT"
BEFORE, AFTER = "Tue, 31 Dec 2019 23:59:59 GMT", "Wed, 01 Jan 2020 00:00:01 GMT"
SECRET = b"this must never be sent"


class Site(NamedTuple):
    """A running server, and the ETag of its ``/file.bin``."""

    served: ServerProcess
    etag: str


def lay_out(above: Path) -> Path:
    """Create the directory to serve, and files beside it that must never be sent."""
    root = above / "root"
    (root / "a dir").mkdir(parents=True)
    (root / "file.bin").write_bytes(CONTENT)
    (root / "empty.bin").write_bytes(b"")
    (root / "ä #?%41.txt").write_bytes(b"odd")
    (root / "back\\slash").write_bytes(b"backslash")
    (root / ".hidden").write_bytes(SECRET)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(SECRET)
    (above / "secret").write_bytes(SECRET)
    (root / "link").symlink_to(above / "secret")
    (root / "up").symlink_to("..")
    os.mkfifo(root / "pipe")
    os.utime(root / "file.bin", (MODIFIED, MODIFIED))
    return root


def req(method: str, target: str, *fields: str, version: str = "1.1", host: str | None = "x") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", *([] if host is None else [f"Host: {host}"]), *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def get(*fields: str, target: str = "/file.bin") -> bytes:
    return req("GET", target, *fields)


def exchange(site: Site, request: bytes, methods: tuple[str, ...]) -> list[Response]:
    """Return the responses to these bytes. The connection must close after them exactly if the last one says so."""
    with site.served.connect() as client:
        client.send(request.replace(b"{etag}", site.etag.encode()))
        answers = [client.read_response(method) for method in methods]
        for answer in answers:
            assert_sound(answer)
        if answers[-1].fields.get("connection") == "close":
            assert client.read_to_end() == b""
        else:
            client.get("/empty.bin")
            assert client.read_response().status == 200, "a kept connection accepts another request"
        return answers


def assert_sound(answer: Response) -> None:
    """Check what holds for every response."""
    fields = answer.fields
    assert parsedate_to_datetime(fields["date"]).tzinfo is not None and fields["date"].endswith(" GMT")  # 6.6.1
    assert not ("content-length" in fields and "transfer-encoding" in fields)  # 9112 6.2
    assert SECRET not in answer.content
    if answer.status == 204:
        assert "content-length" not in fields and "transfer-encoding" not in fields  # 8.6
    if answer.content:
        assert "content-type" in fields and fields["x-content-type-options"] == "nosniff"
    if answer.status == 405:
        assert {"GET", "HEAD"} <= set(fields["allow"].split(", "))  # 15.5.6
