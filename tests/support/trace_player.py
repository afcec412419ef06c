"""Replay a list of requests, each at its time and from its own address, and record the outcome of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

TAKE_BYTES = 256 * 1024
FIRST_SECONDS = 0.2  # before the first request, so that the set-up delays none


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """The outcome of one request: when it was sent, how long the response's head took, and which node it came from.

    ``length``: bytes of the body. ``length_in_time``: those that arrived before the time of the last request.
    ``whole``: the length is that of Content-Length.
    """

    target: str
    at_seconds: float
    wait_seconds: float
    status: int
    node: str
    length: int
    length_in_time: int
    whole: bool


def play(port: int, requests: Sequence[tuple[float, str]]) -> list[RequestOutcome]:
    """Request targets of 127.0.0.1, each at its time in seconds and from its own address. Return the outcomes."""
    return asyncio.run(_play(port, requests))


async def _play(port: int, requests: Sequence[tuple[float, str]]) -> list[RequestOutcome]:
    started = time.monotonic() + FIRST_SECONDS
    until = requests[-1][0]
    return await asyncio.gather(
        *(_request(port, number, at, target, started, until) for number, (at, target) in enumerate(requests))
    )


async def _request(port: int, number: int, at: float, target: str, started: float, until: float) -> RequestOutcome:
    await asyncio.sleep(started + at - time.monotonic())
    source = f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"
    sent = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        wait = time.monotonic() - sent
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        length = in_time = 0
        while data := await reader.read(TAKE_BYTES):
            length += len(data)
            in_time += len(data) * (time.monotonic() <= started + until)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return RequestOutcome(
        target=target,
        at_seconds=sent - started,
        wait_seconds=wait,
        status=int(lines[0].split(" ")[1]),
        node=fields.get("x-node", ""),
        length=length,
        length_in_time=in_time,
        whole=length == int(fields.get("content-length", -1)),
    )
