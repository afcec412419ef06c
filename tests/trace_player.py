"""A crowd that comes by a list: who asks when, for what, and what each of them has seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

TAKE_BYTES = 256 * 1024
FIRST_SECONDS = 0.2  # until the first of them comes, so that none is late from the start


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: when it came and how long it waited for an answer, in seconds; which node that was from.

    ``lengths`` of its body: in all, and until the last of the list had come. ``whole``: as long as was promised.
    """

    target: str
    at_seconds: float
    wait_seconds: float
    status: int
    node: str
    length: int
    length_in_time: int
    whole: bool


def play(port: int, requests: Sequence[tuple[float, str]]) -> list[Seen]:
    """Ask 127.0.0.1 for targets, each at its time in seconds and from an address of its own; what has come of each."""
    return asyncio.run(_play(port, requests))


async def _play(port: int, requests: Sequence[tuple[float, str]]) -> list[Seen]:
    begun = time.monotonic() + FIRST_SECONDS
    until = requests[-1][0]
    return await asyncio.gather(
        *(_ask(port, number, at, target, begun, until) for number, (at, target) in enumerate(requests))
    )


async def _ask(port: int, number: int, at: float, target: str, begun: float, until: float) -> Seen:
    await asyncio.sleep(begun + at - time.monotonic())
    source = f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"
    asked = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        wait = time.monotonic() - asked
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        length = in_time = 0
        while data := await reader.read(TAKE_BYTES):
            length += len(data)
            in_time += len(data) * (time.monotonic() <= begun + until)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return Seen(
        target=target,
        at_seconds=asked - begun,
        wait_seconds=wait,
        status=int(lines[0].split(" ")[1]),
        node=fields.get("x-node", ""),
        length=length,
        length_in_time=in_time,
        whole=length == int(fields.get("content-length", -1)),
    )
