"""Bytes to the running server, and its answers; the site that the conformance tests ask about."""

from __future__ import annotations

import os
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple

from serving import Answer, Served

SIZE = 1000
CONTENT = bytes(at * 7 % 251 for at in range(SIZE))
MODIFIED = 1_577_836_800
MODIFIED_DATE = "Wed, 01 Jan 2020 00:00:00 GMT"
BEFORE, AFTER = "Tue, 31 Dec 2019 23:59:59 GMT", "Wed, 01 Jan 2020 00:00:01 GMT"
SECRET = b"this must never be sent"


class Site(NamedTuple):
    """The running server, and what the rows ask of it."""

    served: Served
    etag: str


def lay_out(above: Path) -> Path:
    """The directory to serve, and beside it what must never be sent."""
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


def exchange(site: Site, request: bytes, methods: tuple[str, ...]) -> list[Answer]:
    """The answers to these bytes; the stream must end behind them when the last says so, and only then."""
    with site.served.connect() as client:
        client.send(request.replace(b"{etag}", site.etag.encode()))
        answers = [client.answer(method) for method in methods]
        for answer in answers:
            assert_sound(answer)
        if answers[-1].fields.get("connection") == "close":
            assert client.rest() == b""
        else:
            client.get("/empty.bin")
            assert client.answer().status == 200, "a kept connection takes another request"
        return answers


def assert_sound(answer: Answer) -> None:
    """What holds for every answer, whatever was asked."""
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
