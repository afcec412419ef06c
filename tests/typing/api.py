"""The public API as applications use it. mypy checks this file (scripts/check); it is not run."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

import freight
from freight.testing import StartServer


def in_a_thread(path: Path) -> bytes:
    with freight.Server(path, port=0, memory="20MB", log=print).start() as server:
        assert_type(server, freight.Server)
        assert_type(server.url, str)
        assert_type(server.urls, tuple[str, ...])
        assert_type(server.port, int)
        assert_type(server.status(), dict[str, Any])
        assert_type(server.settings, freight.Settings)
    server.stop()
    return server.url.encode()


def with_python_values() -> None:
    freight.Server(
        mount={"/data": Path("/srv/data"), "/more": "/srv/more"},
        memory=20_000_000,
        queue_timeout=timedelta(seconds=30),
        idle_timeout=60.5,
        max_per_client=None,
        cors_origin=["https://example.org"],
        header={"X-Robots-Tag": "noindex"},
        show_hidden=True,
        log=logging.getLogger("files").info,
    )
    freight.Server(config="freight.toml")
    freight.Server("data", memroy="20MB")  # type: ignore[call-arg]
    freight.Server("data", memory=["20MB"])  # type: ignore[arg-type]


async def rows() -> AsyncIterator[bytes]:
    yield b"a,b\n"


def lines() -> Iterator[bytes]:
    yield b"a,b\n"


def with_routes() -> None:
    freight.Server(
        routes={
            "/": freight.Directory("data"),
            "/readme.txt": freight.File(Path("readme.txt")),
            "/now.json": freight.Bytes(b"{}", media_type="application/json"),
            "/export.csv": freight.Stream(rows, filename="rows.csv"),
            "/lines.csv": freight.Stream(lines),
            "/list.csv": freight.Stream(lambda: [b"a", b"b"]),
        }
    )
    freight.Stream(lambda: ["text"])  # type: ignore[list-item]


async def on_a_loop() -> None:
    async with freight.Server("data", port=0) as server:
        assert_type(server.url, str)
        await server.aclose()


def blocking() -> None:
    freight.serve("data", port=8000, admin="auto")


def errors() -> str:
    try:
        freight.Server("data", memory="much")
    except freight.ConfigurationError as error:
        assert_type(error.setting, str)
        return str(error)
    except freight.FreightError:
        raise
    return freight.__version__


def links() -> str:
    return freight.sign_url("/a.csv", keys={"k": b"0123456789abcdef0123456789abcdef"}, expires=timedelta(days=1))


def test_with_a_server(freight_server: StartServer, tmp_path: Path) -> None:
    assert_type(freight_server(tmp_path), freight.Server)
