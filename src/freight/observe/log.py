"""The log: one line for each request when it ends, and one for each message to the operator; as text or as JSON.

:mod:`freight.observe.combined` has a third format, and :mod:`freight.observe.log_file` writes to a file.

A thread writes the lines, because a log reader that stalls (a full pipe, a stopped terminal) must not block the event
loop. The queue between them is limited in bytes, and the fields that a client sets are shortened. Lines that cannot be
written (a full disk, a closed pipe) stay in the queue, and are tried again. Lines that do not fit are lost: the log has
their number in their place. Before a process has a log, it writes by :func:`write_notice`.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from freight.http.printable import ESCAPES, shorten
from freight.model import Entry, Level, Notice, RequestDetails
from freight.observe.line_writer import LineWriter, write_within
from freight.threads import start_daemon

QUEUE_BYTES = 2 << 20
"""The most memory of lines that wait to be written, in bytes."""

_LINE_BYTES = 500  # the memory of an entry or a notice without its texts
_DETAILS_BYTES = 250  # the memory of the details of a request, and of its user and its id, without their texts
_LONG = 1000  # characters: shorter fields are not shortened
_RETRY_SECONDS = 0.5  # between two attempts to write a log that cannot be written
_NOTICE_SECONDS = 0.5  # how long a reader that stalls may delay a process that has no Log
_BATCH_SECONDS = 0.02  # lines of this time are written together: a wake-up costs more than a line
_BATCH_BYTES = 64 << 10  # of the queue in one write: when many requests end at once, their memory must not double

_NO_DETAILS = RequestDetails()
_ESCAPES = ESCAPES | {ord('"'): '\\"', ord("\\"): "\\\\"}


def text_line(entry: Entry) -> str:
    """Return an entry as text::

        2026-01-02T03:04:05Z 127.0.0.1 "GET /huge.csv" 206 range="bytes=0-9" 10/10 0.004s complete

    ``10/10``: sent and promised body bytes; ``-`` if the length was not stated. Fields that a client sets are escaped.
    After the status of a request that got no slot comes the reason: ``refused="queue-full:max-per-client"``.
    """
    wanted = f' range="{entry.range.translate(_ESCAPES)}"' if entry.range else ""
    refused = f' refused="{entry.reject_code}"' if entry.reject_code else ""
    promised = "-" if entry.promised is None else entry.promised
    return (
        f'{_when(entry.at)} {entry.client} "{entry.method.translate(_ESCAPES)} {entry.target.translate(_ESCAPES)}" '
        f"{entry.status}{wanted}{refused} {entry.sent}/{promised} {entry.seconds:.3f}s {entry.ended}"
    )


def json_line(entry: Entry) -> str:
    """Return an entry as a JSON object with the fields of :class:`~freight.model.Entry`, all ASCII."""
    details = entry.details or _NO_DETAILS
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
            "refused": entry.reject_code,
            "user_agent": details.user_agent,
            "referer": details.referer,
            "user": entry.user,
            "request_id": entry.request_id,
            "tls": entry.tls,
        }
    )


def text_notice(notice: Notice) -> str:
    """Return a message to the operator as text::

        2026-01-02T03:04:05Z info stopped: 12 downloads completed

    Control characters are escaped.
    """
    return f"{_when(notice.at)} {notice.level} {notice.message.translate(ESCAPES)}"


def json_notice(notice: Notice) -> str:
    """Return a message to the operator as a JSON object with the fields of :class:`~freight.model.Notice`."""
    return json.dumps({"at": _when(notice.at), "level": notice.level, "message": notice.message})


class Format(NamedTuple):
    """Formats the two kinds of lines. ``has_details``: lines have what :class:`~freight.model.RequestDetails` has."""

    entry: Callable[[Entry], str]
    notice: Callable[[Notice], str]
    has_details: bool = False


TEXT = Format(text_line, text_notice)
JSON = Format(json_line, json_notice, has_details=True)


def log_format(name: str) -> Format:
    """Return the format with a value of ``--log-format`` as its name."""
    if name == "combined":
        from freight.observe.combined import combined_line  # here, because few servers have this format

        return Format(combined_line, text_notice, has_details=True)
    return {"text": TEXT, "json": JSON}[name]


def write_notice(fd: int, form: Format, level: Level, message: str) -> None:
    """Write a message to the operator at once, or drop it after 0.5 s. For a process that has no :class:`Log`."""
    write_within(fd, _encoded(form.notice(Notice(time.time(), level, message)) + "\n"), _NOTICE_SECONDS)


def lost_message(count: int) -> str:
    """Return what the operator is told of lines that were lost."""
    return f"{count} log lines were lost: the log could not be written, or its reader was too slow"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _when(at: float) -> str:
    return _second(int(at))


@lru_cache(maxsize=8)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _size(entry: Entry) -> int:
    """Return the memory that an entry takes in the queue, in bytes."""
    size = _LINE_BYTES + len(entry.target) + len(entry.range)
    if entry.details is None:
        return size + len(entry.user) + len(entry.request_id)
    texts = (entry.details.user_agent, entry.details.referer, entry.user, entry.request_id)
    return size + _DETAILS_BYTES + sum(map(len, texts))


class _Lost:
    """In the queue, in the place of lines that did not fit."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


_Item = Entry | Notice | _Lost


class Writer(Protocol):
    """What a log writes lines to: a descriptor (:class:`~freight.observe.line_writer.LineWriter`) or a file."""

    def write(self, data: bytes = b"") -> None:
        """Write what is pending, then ``data``. Raise OSError: what was not written is pending."""

    def wait(self, seconds: float) -> None:
        """Wait until more can be written, but not longer than ``seconds``."""


class AnyLog(Protocol):
    """What a server logs to. No method blocks, apart from :meth:`close`."""

    @property
    def lost_total(self) -> int:
        """The lines lost since the start."""

    @property
    def has_details(self) -> bool:
        """Whether the entries need :class:`~freight.model.RequestDetails`."""

    def record(self, entry: Entry) -> None:
        """Log one entry."""

    def notice(self, level: Level, message: str) -> None:
        """Log a message to the operator."""

    def warn(self, message: str) -> None:
        """Log a warning to the operator."""

    def close(self, wait_seconds: float = 1.0) -> None:
        """Write what is queued, but wait no longer than ``wait_seconds`` for the reader."""


class Log:
    """Writes entries and notices to a descriptor, or to another ``target``, from its own thread."""

    def __init__(self, target: int | Writer, form: Format, queue_bytes: int = QUEUE_BYTES) -> None:
        """Start the thread. Raises :class:`~freight.threads.OutOfThreads`."""
        self._writer = LineWriter(target) if isinstance(target, int) else target
        self._form = form
        self._queue: deque[tuple[_Item, int]] = deque()
        self._free_bytes = queue_bytes
        self._lost_total = 0
        self._awake = False  # the thread is running, and will check the queue before it waits
        self._lock = threading.Lock()  # of the condition: taken directly, which costs less than through it
        self._condition = threading.Condition(self._lock)
        self._closing = False
        self._checking = False  # the writer is to be called even without lines
        # A daemon: a reader that stalls does not block the exit.
        self._thread = start_daemon(self._run, "log")

    @property
    def lost_total(self) -> int:
        """The lines lost since the start."""
        return self._lost_total

    @property
    def has_details(self) -> bool:
        """Whether the format has :class:`~freight.model.RequestDetails`."""
        return self._form.has_details

    def record(self, entry: Entry) -> None:
        """Log one entry. Never blocks."""
        if len(entry.target) + len(entry.range) > _LONG:
            entry = replace(entry, target=shorten(entry.target), range=shorten(entry.range))
        self._enqueue(entry, _size(entry))

    def notice(self, level: Level, message: str) -> None:
        """Log a message to the operator. Never blocks."""
        self._enqueue(Notice(time.time(), level, message), _LINE_BYTES + len(message))

    def warn(self, message: str) -> None:
        """Log a warning to the operator. Never blocks."""
        self.notice(Level.WARNING, message)

    def reopen(self) -> None:
        """Open the file of the log again, if it has one. Never blocks."""

    def close(self, wait_seconds: float = 1.0) -> None:
        """Write what is queued, but wait no longer than ``wait_seconds`` for the reader."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(wait_seconds)

    def _enqueue(self, item: Entry | Notice, size: int) -> None:
        with self._lock:
            if size > self._free_bytes:
                self._count_lost()
            else:
                self._free_bytes -= size
                self._queue.append((item, size))
            if not self._awake:
                self._awake = True
                self._condition.notify()

    def _count_lost(self) -> None:
        self._lost_total += 1
        last = self._queue[-1][0] if self._queue else None
        if not isinstance(last, _Lost):
            last = _Lost()
            self._free_bytes -= _LINE_BYTES  # over the limit, but once only: the next lost line is counted in this one
            self._queue.append((last, _LINE_BYTES))
        last.count += 1

    def _run(self) -> None:
        # Signals are for the main thread. A supervisor waits for them with sigtimedwait(2), which needs all blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while (taken := self._next()) is not None:
            size = sum(size for _, size in taken)
            data = _encoded("".join(self._line(item) for item, _ in taken))
            del taken  # free its memory while writing
            if not self._write(data):
                return
            with self._condition:
                self._free_bytes += size

    def _write(self, data: bytes) -> bool:
        """Write lines, and try again until that succeeds. Return False if it fails and the log is closed."""
        while True:
            try:
                self._writer.write(data)
            except BlockingIOError:  # another program shares the descriptor, and has made it non-blocking
                self._writer.wait(_RETRY_SECONDS)
            except OSError:
                if self._closing:
                    return False
                with self._condition:
                    self._condition.wait_for(lambda: self._closing, _RETRY_SECONDS)
            else:
                return True
            data = b""  # the writer has the rest

    def _line(self, item: _Item) -> str:
        if isinstance(item, Entry):
            return f"{self._form.entry(item)}\n"
        if isinstance(item, _Lost):
            return self._lost_line(item.count)
        return f"{self._form.notice(item)}\n"

    def _lost_line(self, count: int) -> str:
        """Return the line in the place of lost ones."""
        return f"{self._form.notice(Notice(time.time(), Level.WARNING, lost_message(count)))}\n"

    def _next(self) -> list[tuple[_Item, int]] | None:
        """Wait for lines; return some with their sizes, none if the writer is to be called, or None at the end."""
        with self._condition:
            if not self._queue:
                self._awake = False
                while not self._queue and not self._closing and not self._checking:
                    self._condition.wait()
                self._condition.wait_for(lambda: self._closing, _BATCH_SECONDS)
                if not self._queue and not self._checking:
                    return None
            self._checking = False
            taken, size = [], 0
            while self._queue and size < _BATCH_BYTES:
                taken.append(self._queue.popleft())
                size += taken[-1][1]
        return taken
