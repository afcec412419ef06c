"""Parse a /status (docs/reference/admin.md). It is read strictly, because any program may have sent it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from freight.http.printable import printable

_MAX = 10**18  # no server sends, holds or runs more of anything


@dataclass(frozen=True, slots=True)
class Download:
    """One running download; all text is safe to show.

    ``id`` and ``worker`` (0: the server is one process) identify it. ``of_bytes`` is None if no length was stated.
    ``queue_bytes``: bytes that were sent and are still in the kernel.
    """

    id: int
    worker: int
    client: str
    target: str
    sent_bytes: int
    of_bytes: int | None
    queue_bytes: int
    rate_bytes_per_second: float
    seconds: float
    on_disk: bool


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    """One request that waits for a slot; all text is safe to show. ``place`` is its position in the queue, from 1."""

    client: str
    target: str
    seconds: float
    place: int
    reason: str


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """The status of a server at one moment.

    ``aborted`` and ``waiting_for`` are pairs of a reason and a count above 0. ``memory`` is the text of the setting.
    """

    version: str
    pid: int
    path: str
    urls: tuple[str, ...]
    workers: int
    memory: str
    started_at: float
    draining: bool
    budget_bytes: int
    process_bytes: int
    baseline_bytes: int
    kernel_bytes: int
    connections: int
    slots: int
    running: int
    express_running: int
    waiting: int
    waiting_for: tuple[tuple[str, int], ...]
    oldest_wait_seconds: float
    rejected: int
    completed: int
    aborted: tuple[tuple[str, int], ...]
    sent_bytes: int
    downloads: tuple[Download, ...]
    omitted: int
    waiters: tuple[WaitingRequest, ...]
    waiters_omitted: int
    client_seconds: float
    disk_seconds: float
    log_lost: int = 0
    unresponsive: tuple[tuple[str, float], ...] = ()
    """File systems that do not answer: where each is mounted, and for how many seconds."""

    @property
    def grown_bytes(self) -> int:
        """Growth of the process since before the first client."""
        return max(0, self.process_bytes - self.baseline_bytes)


def parse_status(content: bytes) -> StatusSnapshot:
    """Parse the content of a /status. Raises ValueError, whose text says what is wrong with it."""
    try:
        status = _object(json.loads(content), "it")
    except (ValueError, RecursionError):
        raise ValueError("it is not an object of JSON") from None
    memory, gate, transfers, time = (_part(status, name) for name in ("memory", "admission", "transfers", "time"))
    server = _part(status, "server")
    return StatusSnapshot(
        version=_text(status, "version"),
        pid=_count(status, "pid"),
        path=_text(server, "path"),
        urls=tuple(_text({"urls": each}, "urls") for each in _list(server, "urls")),
        workers=_count(server, "workers"),
        memory=_text(server, "memory"),
        started_at=_number(status, "started_at"),
        draining=status.get("draining") is True,
        budget_bytes=max(1, _count(memory, "budget_bytes")),
        process_bytes=_count(memory, "process_bytes"),
        baseline_bytes=_count(memory, "baseline_bytes"),
        kernel_bytes=_count(memory, "kernel_send_bytes"),
        connections=_count(_part(status, "connections"), "open"),
        slots=_count(gate, "slots"),
        running=_count(gate, "running"),
        express_running=_count(gate, "express_running"),
        waiting=_count(gate, "waiting"),
        waiting_for=tuple(_reasons(_part(gate, "waiting_by_reason"))),
        oldest_wait_seconds=_number(gate, "oldest_wait_seconds"),
        rejected=_count(gate, "refused_total"),
        completed=_count(transfers, "completed_total"),
        aborted=tuple(_reasons(_part(transfers, "aborted_total"))),
        sent_bytes=_count(transfers, "bytes_total"),
        downloads=tuple(_downloads(transfers)),
        omitted=_count(transfers, "running_omitted"),
        waiters=tuple(_waiters(status)),
        waiters_omitted=_count(status, "waiting_omitted"),
        client_seconds=_number(time, "blocked_on_client_seconds"),
        disk_seconds=_number(time, "blocked_on_disk_seconds"),
        log_lost=_count(_part(status, "log"), "lost_total") if "log" in status else 0,
        unresponsive=tuple(_unresponsive(status)) if "unresponsive" in status else (),
    )


def _unresponsive(status: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for each in _list(status, "unresponsive"):
        row = _object(each, "a file system")
        yield _text(row, "path"), _number(row, "seconds")


def safe_text(text: str) -> str:
    """Replace what a terminal would obey: controls, escapes, and marks that change the direction of text."""
    return "".join(char if char.isprintable() else "?" for char in printable(text))


def _reasons(numbers: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for reason in numbers:
        if count := _count(numbers, reason):
            yield safe_text(reason), count


def _downloads(transfers: Mapping[str, Any]) -> Iterator[Download]:
    for each in _list(transfers, "running"):
        row = _object(each, "'running'")
        yield Download(
            id=_count(row, "id"),
            worker=_count(row, "worker") if "worker" in row else 0,
            client=_text(row, "client"),
            target=_text(row, "target"),
            sent_bytes=_count(row, "sent"),
            of_bytes=None if row.get("total_bytes") is None else _count(row, "total_bytes"),
            queue_bytes=_count(row, "kernel_queue"),
            rate_bytes_per_second=_number(row, "rate"),
            seconds=_number(row, "seconds"),
            on_disk=_text(row, "blocked_on") == "disk",
        )


def _waiters(status: Mapping[str, Any]) -> Iterator[WaitingRequest]:
    for each in _list(status, "waiting"):
        row = _object(each, "'waiting'")
        yield WaitingRequest(
            client=_text(row, "client"),
            target=_text(row, "target"),
            seconds=_number(row, "seconds"),
            place=_count(row, "place"),
            reason=_text(row, "reason"),
        )


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")
    return value


def _part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _object(of.get(name), repr(name))


def _list(of: Mapping[str, Any], name: str) -> list[Any]:
    value = of.get(name)
    if not isinstance(value, list):
        raise ValueError(f"it has no list {name!r}")
    return value


def _text(of: Mapping[str, Any], name: str) -> str:
    value = of.get(name)
    if not isinstance(value, str):
        raise ValueError(f"it has no text {name!r}")
    return safe_text(value)


def _number(of: Mapping[str, Any], name: str) -> float:
    value = of.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MAX:
        raise ValueError(f"it has no sensible number {name!r}")
    return value


def _count(of: Mapping[str, Any], name: str) -> int:
    return int(_number(of, name))
