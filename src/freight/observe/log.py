"""One line a request when it ends, as text or as JSON.

Lines are written by a thread: a log reader that stands still (a full pipe, a stopped terminal) must not stop the loop.
The queue between is bounded; what does not fit is counted, and the count is logged when there is room again.
"""

from __future__ import annotations

import json
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from select import PIPE_BUF

from freight.model import Entry

_QUEUE_LINES = 10_000
_GATHER_SECONDS = 0.02  # lines that come together are written together: a wake-up for each would cost more than it
_AT_ONCE = 500  # lines a write: a storm of endings must not double its memory here

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}


def text_line(entry: Entry) -> str:
    """An entry for people::

        2026-01-02T03:04:05Z 127.0.0.1 "GET /huge.csv" 206 range="bytes=0-9" 10/10 0.004s complete

    Sent and promised body bytes, ``-`` where the length was not stated. What came from outside is escaped.
    """
    wanted = f' range="{entry.range.translate(_ESCAPES)}"' if entry.range else ""
    promised = "-" if entry.promised is None else entry.promised
    return (
        f'{_when(entry.at)} {entry.client} "{entry.method.translate(_ESCAPES)} {entry.target.translate(_ESCAPES)}" '
        f"{entry.status}{wanted} {entry.sent}/{promised} {entry.seconds:.3f}s {entry.ended}"
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
        }
    )


def _when(at: float) -> str:
    return _second(int(at))


@lru_cache(maxsize=8)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Log:
    """Writes entries to the descriptor ``fd``, each through ``line``, from a thread of its own."""

    def __init__(self, fd: int, line: Callable[[Entry], str]) -> None:
        self._fd = fd
        self._line = line
        self._queue: deque[Entry | str] = deque()
        self._lost = 0
        self._awake = False  # the thread is at work, and will look again before it waits
        self._wanted = threading.Condition()
        self._closing = False
        # A daemon: at exit nobody waits for a reader that stands still.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def record(self, entry: Entry) -> None:
        """Log one entry; never waits."""
        self._put(entry)

    def warn(self, message: str) -> None:
        """Log a line for the operator; never waits."""
        self._put(message)

    def close(self, wait_seconds: float = 1.0) -> None:
        """Write what is queued, unless the reader stands still for ``wait_seconds``."""
        with self._wanted:
            self._closing = True
            self._wanted.notify()
        self._thread.join(wait_seconds)

    def _put(self, item: Entry | str) -> None:
        with self._wanted:
            if len(self._queue) >= _QUEUE_LINES:
                self._lost += 1
                return
            self._queue.append(item)
            if not self._awake:
                self._awake = True
                self._wanted.notify()

    def _run(self) -> None:
        try:
            while text := self._next_text():
                _write_all(self._fd, text.encode("utf-8", "backslashreplace"))
                del text  # not to be kept while waiting for the next
        except OSError:
            pass  # nobody reads any more

    def _next_text(self) -> str:
        """Some lines, once there are any; none at the end."""
        with self._wanted:
            if not self._queue:
                self._awake = False
                while not self._queue and not self._closing:
                    self._wanted.wait()
                self._wanted.wait_for(lambda: self._closing, _GATHER_SECONDS)
            count = min(len(self._queue), _AT_ONCE)
            items = [self._queue.popleft() for _ in range(count)]
            lost, self._lost = self._lost, 0
        lines = [item if isinstance(item, str) else self._line(item) for item in items]
        if lost:
            lines.append(f"{lost} log lines were lost: the log's reader was too slow")
        return "".join(f"{line}\n" for line in lines)


def _write_all(fd: int, data: bytes) -> None:
    """Straight to the descriptor: a Python stream's lock, held by a thread that waits, would block the exit.

    No more at a time than a pipe takes in one piece (pipe(7)): other workers write there too, and not within a line.
    """
    while data:
        stop = len(data) if len(data) <= PIPE_BUF else data.rfind(b"\n", 0, PIPE_BUF) + 1 or PIPE_BUF
        try:
            data = data[os.write(fd, data[:stop]) :]
        except BlockingIOError:  # another program that has it too made it non-blocking
            select.select((), (fd,), ())
