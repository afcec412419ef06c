"""The log: a line for each request when it ends, and one for each message to the operator; as text or as JSON.

Lines are written by a thread, because a log reader that stalls (a full pipe, a stopped terminal) must not stop the
loop. The queue in between is bounded in bytes, and the fields that a client fills are cut. Lines that do not fit, or
that cannot be written (a full disk, a reader that has gone), are counted; the count is logged as soon as a line can be
written again. A process without a loop writes its messages itself, by :func:`write_notice`.
"""

from __future__ import annotations

import json
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from select import PIPE_BUF
from typing import NamedTuple

from freight.legible import SPELT, cut
from freight.model import Entry, Level, Notice
from freight.threads import start_daemon

QUEUE_BYTES = 2 << 20
"""The most that waits for a log's reader, in bytes of the process."""

_LINE_BYTES = 500  # what an entry or a notice takes besides its texts
_LONG = 1000  # characters: fewer need not be cut
_RETRY_SECONDS = 0.5  # between two attempts at a log that cannot be written
_GATHER_SECONDS = 0.02  # lines that come together are written together: a wake-up for each would cost more than it
_BATCH_BYTES = 64 << 10  # of the queue, a write: a storm of endings must not double its memory here

_ESCAPES = SPELT | {ord('"'): '\\"', ord("\\"): "\\\\"}


def text_line(entry: Entry) -> str:
    """An entry for people::

        2026-01-02T03:04:05Z 127.0.0.1 "GET /huge.csv" 206 range="bytes=0-9" 10/10 0.004s complete

    Sent and promised body bytes, ``-`` where the length was not stated. What came from outside is escaped. Behind the
    status of a request that got no slot stands why: ``refused="queue-full:per-client"``.
    """
    wanted = f' range="{entry.range.translate(_ESCAPES)}"' if entry.range else ""
    refused = f' refused="{entry.refused}"' if entry.refused else ""
    promised = "-" if entry.promised is None else entry.promised
    return (
        f'{_when(entry.at)} {entry.client} "{entry.method.translate(_ESCAPES)} {entry.target.translate(_ESCAPES)}" '
        f"{entry.status}{wanted}{refused} {entry.sent}/{promised} {entry.seconds:.3f}s {entry.ended}"
    )


def json_line(entry: Entry) -> str:
    """An entry for programs: an object with the fields of :class:`~freight.model.Entry`, all ASCII."""
    return json.dumps(
        {
            "at": _when(entry.at),
            "client": entry.client,
            "method": entry.method,
            "target": entry.target,
            "version": "{}.{}".format(*entry.version),
            "status": entry.status,
            "range": entry.range,
            "sent": entry.sent,
            "promised": entry.promised,
            "seconds": round(entry.seconds, 6),
            "ended": entry.ended,
            "refused": entry.refused,
        }
    )


def text_notice(notice: Notice) -> str:
    """A message to the operator, for people::

        2026-01-02T03:04:05Z info stopped: 12 downloads completed

    Control characters are escaped.
    """
    return f"{_when(notice.at)} {notice.level} {notice.message.translate(SPELT)}"


def json_notice(notice: Notice) -> str:
    """A message to the operator, for programs: an object with the fields of :class:`~freight.model.Notice`."""
    return json.dumps({"at": _when(notice.at), "level": notice.level, "message": notice.message})


class Format(NamedTuple):
    """How the two kinds of lines are written."""

    entry: Callable[[Entry], str]
    notice: Callable[[Notice], str]


TEXT = Format(text_line, text_notice)
JSON = Format(json_line, json_notice)
FORMATS = {"text": TEXT, "json": JSON}
"""The formats, by the value of ``--log-format``."""


def write_notice(fd: int, form: Format, level: Level, message: str) -> None:
    """Write a message to the operator at once. For a process that has no :class:`Log`."""
    _write_all(fd, _encoded(form.notice(Notice(time.time(), level, message)) + "\n"))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _when(at: float) -> str:
    return _second(int(at))


@lru_cache(maxsize=8)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Log:
    """Writes entries and notices to the descriptor ``fd``, in this format, from a thread of its own."""

    def __init__(self, fd: int, form: Format, queue_bytes: int = QUEUE_BYTES) -> None:
        """Start the thread. Raises :class:`~freight.threads.OutOfThreads`."""
        self._fd = fd
        self._form = form
        self._queue: deque[tuple[Entry | Notice, int]] = deque()
        self._room = queue_bytes
        self._lost = 0  # lines, that the log has not told of
        self._lost_total = 0
        self._mid_line = False  # a write ended within a line
        self._awake = False  # the thread is at work, and will look again before it waits
        self._wanted = threading.Condition()
        self._closing = False
        # A daemon: an exit does not wait for a reader that stalls.
        self._thread = start_daemon(self._run, "log")

    @property
    def lost_total(self) -> int:
        """How many lines have been lost since the start."""
        return self._lost_total

    def record(self, entry: Entry) -> None:
        """Log one entry; never waits."""
        if len(entry.target) + len(entry.range) > _LONG:
            entry = replace(entry, target=cut(entry.target), range=cut(entry.range))
        self._put(entry, _LINE_BYTES + len(entry.target) + len(entry.range))

    def say(self, level: Level, message: str) -> None:
        """Log a message to the operator; never waits."""
        self._put(Notice(time.time(), level, message), _LINE_BYTES + len(message))

    def warn(self, message: str) -> None:
        """Log a warning to the operator; never waits."""
        self.say(Level.WARNING, message)

    def close(self, wait_seconds: float = 1.0) -> None:
        """Write what is queued, unless the reader stalls for ``wait_seconds``."""
        with self._wanted:
            self._closing = True
            self._wanted.notify()
        self._thread.join(wait_seconds)

    def _put(self, item: Entry | Notice, size: int) -> None:
        with self._wanted:
            if size > self._room:
                self._lost += 1
                self._lost_total += 1
                return
            self._room -= size
            self._queue.append((item, size))
            if not self._awake:
                self._awake = True
                self._wanted.notify()

    def _run(self) -> None:
        while True:
            taken, lost = self._next()
            if not taken and not lost:
                return
            written = self._write([item for item, _ in taken], lost)
            with self._wanted:
                self._room += sum(size for _, size in taken)
                if not written:
                    self._lost += lost + len(taken)
                    self._lost_total += len(taken)
                    if self._closing and not self._queue:
                        return
                    self._wanted.wait_for(lambda: self._closing, _RETRY_SECONDS)
            del taken  # not to be kept while waiting for the next

    def _write(self, items: list[Entry | Notice], lost: int) -> bool:
        """Write some lines, behind one that tells how many were lost. False when that failed."""
        form = self._form
        lines = [form.notice(item) if isinstance(item, Notice) else form.entry(item) for item in items]
        if lost:
            why = "nothing could be written, or the log's reader was too slow"
            lines.insert(0, form.notice(Notice(time.time(), Level.WARNING, f"{lost} log lines were lost: {why}")))
        if self._mid_line:
            lines.insert(0, "")
        data = _encoded("".join(f"{line}\n" for line in lines))
        written = _write_all(self._fd, data)
        if written:
            self._mid_line = data[written - 1 : written] != b"\n"
        return written == len(data)

    def _next(self) -> tuple[list[tuple[Entry | Notice, int]], int]:
        """Some entries with their sizes, and how many were lost, once there are any; none at the end."""
        with self._wanted:
            if not self._queue and not self._lost:
                self._awake = False
                while not self._queue and not self._closing:
                    self._wanted.wait()
                self._wanted.wait_for(lambda: self._closing, _GATHER_SECONDS)
            taken, size = [], 0
            while self._queue and size < _BATCH_BYTES:
                taken.append(self._queue.popleft())
                size += taken[-1][1]
            lost, self._lost = self._lost, 0
        return taken, lost


def _write_all(fd: int, data: bytes) -> int:
    """Write it, and return how many bytes that were: fewer than all where writing failed.

    Straight to the descriptor: a Python stream's lock, held by a thread that waits, would block the exit.

    No more at a time than a pipe takes in one piece (pipe(7)): other workers write there too, and not within a line.
    """
    whole = len(data)
    while data:
        stop = len(data) if len(data) <= PIPE_BUF else data.rfind(b"\n", 0, PIPE_BUF) + 1 or PIPE_BUF
        try:
            data = data[os.write(fd, data[:stop]) :]
        except BlockingIOError:  # another program that has it too made it non-blocking
            writable = select.poll()
            writable.register(fd, select.POLLOUT)
            writable.poll()
        except OSError:  # a full disk, or a reader that has gone
            break
    return whole - len(data)
