"""Frozen values, one for each stage of an exchange, and those that describe the whole server.

::

    Request -> Resource | NotFound -> Plan -> (head, Spans) -> Entry

Each stage takes the value of the one before and makes the next; no stage edits a value. Byte positions are half-open,
``[start, stop)``, everywhere; the inclusive form exists in header text only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum
from typing import Any, Literal

Fields = tuple[tuple[str, str], ...]
"""Header fields in order: ``(name, value)``. In a :class:`Request` names are lower-case; text is latin-1."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the guard allows a request.

    - ``is_link``: it has a valid signed link.
    - ``filename``: the name to save under that the link gives, or "".
    - ``expired_at``: when the link expired, in seconds since the epoch, if it may only resume a download; or None.
    - ``user``: the name of the user or token whose credentials are valid, or "".
    """

    is_link: bool = False
    filename: str = ""
    expired_at: int | None = None
    user: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whose framing the parser has checked.

    ``target`` is the request target as received, in origin form (the parser removes the authority of an absolute form),
    or ``*`` for OPTIONS. ``client`` is the address of the client, without a port; a trusted proxy may name it.
    ``client_key`` is what clients share fairly by: the address (:func:`freight.http.client_address.client_key`), or the
    user. ``grant`` is None until the guard has checked the request, and without a guard.
    """

    method: str
    target: str
    fields: Fields
    version: tuple[int, int] = (1, 1)
    client: str = ""
    client_key: str | bytes = ""
    grant: Grant | None = None

    @property
    def user(self) -> str:
        """The name of the user or token whose credentials are valid, or ""."""
        return "" if self.grant is None else self.grant.user

    def field(self, name: str) -> str | None:
        """Return the value of a field by its lower-case name. Several lines are one list (RFC 9110 section 5.3)."""
        values = [value for key, value in self.fields if key == name]
        return ", ".join(values) if values else None


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes ``[start, stop)`` of a representation. ``stop`` is None when the length is unknown."""

    start: int
    stop: int | None


IDENTITY = "identity"
"""The content coding of a file as it is (RFC 9110 section 12.5.3)."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What a source found at a target. Nothing of it is open.

    - ``name``: the name to save under, or "".
    - ``size``: in bytes. None when it is unknown: the answer then has no ranges, and a body of unspecified length.
    - ``mtime_ns``: None when it cannot show a change: the answer then has no date.
    - ``media_types``: the representations that exist, preferred first. Of several, Accept selects one.
    - ``key``: the source's own reference.
    - ``produced``: a producer makes it while it is sent, and needs memory for that.
    - ``browser_type``: the media type to open for a browser in place of text/html, or "".
    - ``policy``: the Content-Security-Policy that ``browser_type`` needs, or "".
    - ``only_file``: the name of the one file that is served, or "" if a directory is served.
    - ``tag``: the text of a weak entity tag, if size and time do not make a strong one, or "".
    - ``ctime_ns``: the time of its last status change, if ``mtime_ns`` does not tell versions apart; otherwise None.
    - ``disposition``: "inline" or "attachment" where a rule decides that; "" decides by media type.
    - ``coding``: the content coding of these bytes; "identity" if there may be forms with one, "" if there are none.
    - ``etag``: the entity tag that an application gives, in place of one made from size and time, or "".
    """

    name: str
    size: int | None
    mtime_ns: int | None
    media_types: tuple[str, ...]
    key: object = None
    produced: bool = False
    browser_type: str = ""
    policy: str = ""
    only_file: str = ""
    ctime_ns: int | None = None
    tag: str = ""
    disposition: str = ""
    coding: str = ""
    etag: str = ""

    @property
    def is_encoded(self) -> bool:
        """Whether these bytes are the file compressed by a content coding, which clients decode."""
        return self.coding not in ("", IDENTITY)


class NotFoundReason(Enum):
    """Why there is nothing to send.

    - ABSENT: nothing is there, or nothing that is served (hidden, outside the root, a device).
    - UNREADABLE: the operating system denies access.
    - MALFORMED: the target is not a path (bad escape, NUL).
    - MOVED: it is at another target (a directory without its slash).
    - OUTSIDE: the target is outside of the prefix below which everything is served.
    - BUSY: it was replaced at each attempt to open it; the client may try again.
    - UNRESPONSIVE: its file system does not answer, or has lost its server; the client may try again.
    """

    ABSENT = "absent"
    UNREADABLE = "unreadable"
    MALFORMED = "malformed"
    MOVED = "moved"
    OUTSIDE = "outside"
    BUSY = "busy"
    UNRESPONSIVE = "unresponsive"


@dataclass(frozen=True, slots=True)
class NotFound:
    """Nothing to send, and why.

    ``location`` is a target. For MOVED it is the one to use instead. It must be the requested one with a slash at its
    end: the client gets only its last name and its query. For OUTSIDE it is the prefix, with a slash at its end;
    otherwise it is "". ``only_file`` is the name of the one file that is served, or "" if a directory is served.
    """

    reason: NotFoundReason
    location: str = ""
    only_file: str = ""


class RejectReason(Enum):
    """Why a request was rejected that may succeed later.

    - FULL: no slot is free, and the queue is full.
    - LATE: no slot became free before the queue timeout.
    - DRAINING: the server stops. It finishes running downloads and starts none.
    - CROWDED: the request was evicted from the queue, because a new connection needs memory.
    """

    FULL = "queue-full"
    LATE = "queue-timeout"
    DRAINING = "draining"
    CROWDED = "connections"


class WaitReason(Enum):
    """Why a request has no slot: what it waits for, or why it was rejected.

    - PER_CLIENT: its client has as many running downloads as one client may have.
    - SLOTS: every slot is in use.
    - MEMORY: slots are left, but the whole budget is in use or reserved.
    - CONNECTIONS: memory that becomes free is kept for connections that wait to be accepted.
    - EXPRESS: a small answer; all express slots are in use, and downloads wait for the others.
    - LISTINGS: a listing; other listings use all the memory that listings may have.
    - TURN: a slot is free, but another request is before this one.
    """

    PER_CLIENT = "max-per-client"
    SLOTS = "slots"
    MEMORY = "memory"
    CONNECTIONS = "connections"
    EXPRESS = "express"
    LISTINGS = "listings"
    TURN = "turn"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request without a slot: why, and after how many seconds the client should try again.

    - ``missing``: why no slot was free; None while the server drains.
    - ``running``: how many downloads run, of this client only if ``missing`` is PER_CLIENT.
    - ``most``: how many downloads of one client may run, 0 without such a limit.
    - ``waiting``: how many other requests wait.
    - ``waited_seconds``: how long this request waited.
    """

    reason: RejectReason
    retry_seconds: int
    missing: WaitReason | None = None
    running: int = 0
    most: int = 0
    waiting: int = 0
    waited_seconds: float = 0.0

    @property
    def code(self) -> str:
        """Return both reasons for logs: ``queue-full:max-per-client``, ``draining``, ``connections``."""
        if self.missing is None or self.reason is RejectReason.CROWDED:
            return self.reason.value
        return f"{self.reason.value}:{self.missing.value}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole answer, decided before anything was opened.

    - ``fields``: the header fields, except those that the connection adds (Date, Server, Connection, Content-Length,
      Transfer-Encoding).
    - ``parts``: the body in order: literal bytes and spans of the representation; empty for HEAD and 304.
    - ``length``: the exact length of the content in bytes, for HEAD that of GET; None when unspecified.
    - ``content``: whether content follows the head.
    - ``media_type``: the representation to open, one of the resource's.
    - ``close``: whether the connection closes after the answer.
    - ``reject_code``: :attr:`Rejected.code` of a rejected request, "file-system" if its file system does not answer,
      otherwise "".
    - ``user``: :attr:`Request.user`, for the log.
    """

    status: int
    fields: Fields = ()
    parts: Sequence[bytes | Span] = ()
    length: int | None = 0
    content: bool = True
    media_type: str = ""
    close: bool = False
    reject_code: str = ""
    user: str = ""

    @property
    def spans(self) -> tuple[Span, ...]:
        """Return the parts that must be read from the source. An answer without any needs no slot and no descriptor."""
        return tuple(part for part in self.parts if isinstance(part, Span))


COMPLETE = "complete"
"""How an answer ended of which the client has everything."""


@dataclass(frozen=True, slots=True)
class RequestDetails:
    """Fields of a request that only some formats of the log have: each at most 256 characters, "" if absent."""

    user_agent: str = ""
    referer: str = ""


@dataclass(slots=True)  # frozen, its fields would be set one by one through object.__setattr__, which takes 2 us more
class Entry:
    """One finished exchange, for logs and counters. It is never changed.

    - ``at``: its start, in seconds since the epoch.
    - ``sent``: how many bytes of the body were sent; of one that was aborted, how many the client acknowledged.
    - ``promised``: the plan's length in bytes, None when unspecified.
    - ``ended``: COMPLETE, "refused", or the reason of a :class:`~freight.errors.TransferError`.
    - ``reject_code``: :attr:`Plan.reject_code`.
    - ``details``: None if the log's format has none of them.
    - ``user``: the name of the user whose credentials were accepted, or "".
    - ``request_id``: the value of X-Request-Id, "" unless the server sends that field.
    - ``tls``: whether the connection is encrypted.
    """

    at: float
    seconds: float
    client: str
    method: str
    target: str
    version: tuple[int, int]
    status: int
    range: str
    sent: int
    promised: int | None
    ended: str
    reject_code: str = ""
    details: RequestDetails | None = None
    user: str = ""
    request_id: str = ""
    tls: bool = False


class Level(StrEnum):
    """How urgent a message to the operator is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to the operator, for the log. ``at`` is in seconds since the epoch."""

    at: float
    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """Memory in bytes: the budget, and what is in use.

    ``process_bytes`` is the private memory of the process, and ``baseline_bytes`` what that was before the first
    client. ``kernel_send_bytes`` is the kernel memory in the send queues of all connections.
    """

    budget_bytes: int
    process_bytes: int
    baseline_bytes: int
    kernel_send_bytes: int


@dataclass(frozen=True, slots=True)
class AdmissionStats:
    """Slots, running and waiting requests.

    - ``slots``: how many downloads may run at once.
    - ``express_running``: those of ``running`` that are small answers or listings; they have slots of their own.
    - ``oldest_wait_seconds``: the longest wait of a waiting request, 0 when none waits.
    - ``waiting_by_reason``: a count for every :class:`WaitReason`.
    """

    slots: int
    running: int
    express_running: int
    waiting: int
    oldest_wait_seconds: float
    waiting_by_reason: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DownloadStatus:
    """One running download.

    - ``total_bytes``: its promised length, None when unspecified.
    - ``rate_bytes_per_second``: how fast the client received recently.
    - ``window_bytes``: how much kernel memory it may have, None while it waits for memory.
    - ``kernel_queue_bytes``: how much kernel memory it has.
    - ``blocked_on``: what it waits for.
    - ``id``: its number in its process. It counts up, and no other download of the process has it.
    - ``began``: its start, in seconds by the server's monotonic clock.
    - ``protocol``: the protocol of the connection.
    - ``worker``: the pid of the worker that serves it, None with one process.
    """

    client: str
    target: str
    sent_bytes: int
    total_bytes: int | None
    rate_bytes_per_second: float
    window_bytes: int | None
    kernel_queue_bytes: int
    seconds: float
    blocked_on: Literal["client", "disk"]
    began: float = 0.0
    protocol: str = "http/1.1"
    worker: int | None = None
    id: int = 0


@dataclass(frozen=True, slots=True)
class WaitingStatus:
    """One request that waits for a slot.

    ``place`` is its position in its queue, from 1. Downloads, small answers and listings have separate queues, and so
    has each worker. ``worker`` is as in :class:`DownloadStatus`.
    """

    client: str
    target: str
    seconds: float
    place: int
    reason: WaitReason
    worker: int | None = None


@dataclass(frozen=True, slots=True)
class TransferStats:
    """Running downloads. The list is incomplete if ``running_omitted`` > 0."""

    running: tuple[DownloadStatus, ...]
    running_omitted: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """Connections, idle ones included; how many of them use HTTP/2; and how many HTTP/2 streams are being answered."""

    open: int
    http2: int = 0
    streams: int = 0


@dataclass(frozen=True, slots=True)
class FileSystemStatus:
    """A file system that does not answer.

    - ``path``: where it is mounted.
    - ``seconds``: how long the oldest call that hangs has taken.
    - ``hung_calls``: how many calls hang.
    - ``serves_root``: whether it is the file system of a served path.
    """

    path: str
    seconds: float
    hung_calls: int
    serves_root: bool


@dataclass(frozen=True, slots=True)
class Counter:
    """One row of the table of counters: ``name``, a field of :class:`Counts`, is ``section.key`` in ``/status``.

    The metric of Prometheus is ``freight_section_key``, with ``_total`` at the end. ``meaning`` is its help text.
    """

    name: str
    section: str
    key: str
    meaning: str

    def value_of(self, counts: Counts) -> int | float | Mapping[str, int]:
        """Return its value; a mapping has a count for every reason."""
        value: int | float | Mapping[str, int] = getattr(counts, self.name)
        return value


def _counter(section: str, key: str, meaning: str) -> Any:
    return field(metadata={"section": section, "key": key, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Counts:
    """The counters since the start: the one table from which every other form is derived.

    The sums include running downloads and waiting requests. ``aborted`` and ``rejected_by_reason`` have a fixed set of
    keys. With N downloads the seconds grow by up to N each second.
    """

    completed: int = _counter("transfers", "completed_total", "Downloads that arrived completely.")
    aborted: Mapping[str, int] = _counter("transfers", "aborted_total", "Downloads that were aborted, by reason.")
    sent_bytes: int = _counter("transfers", "bytes_total", "Body bytes handed to the kernel.")
    zero_copy_bytes: int = _counter(
        "transfers", "zero_copy_bytes_total", "Body bytes sent from the page cache without a copy."
    )
    rejected: int = _counter("admission", "refused_total", "Requests that got no slot.")
    expired: int = _counter("admission", "expired_total", "Requests that got no slot within --queue-timeout.")
    rejected_by_reason: Mapping[str, int] = _counter(
        "admission", "refused_by_reason_total", "Requests that got no slot, by reason."
    )
    blocked_on_client_seconds: float = _counter(
        "time", "blocked_on_client_seconds", "Total time that downloads waited for their clients."
    )
    blocked_on_disk_seconds: float = _counter(
        "time", "blocked_on_disk_seconds", "Total time that downloads waited for the disk."
    )
    waiting_seconds: float = _counter("time", "waiting_seconds", "Total time that requests waited for a slot.")
    disk_timeouts: int = _counter("disk", "timeouts_total", "Calls to file systems that took too long.")
    log_lost: int = _counter("log", "lost_total", "Log lines that were lost.")


COUNTERS = tuple(Counter(each.name, **each.metadata) for each in fields(Counts))
"""The table of counters. A field of :class:`Counts` is its only entry."""


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """Worker processes: how many should run, how many do, and how many that died were replaced."""

    wanted: int
    running: int
    restarts_total: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server this is.

    - ``pid``: the process that signals go to.
    - ``path``: the absolute path of what it serves; with mounts, ``/POINT=PATH`` of each after it.
    - ``urls``: those of its listeners, that of the files first.
    - ``workers``: how many processes serve.
    """

    pid: int = 0
    path: str = ""
    urls: tuple[str, ...] = ()
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a server at one moment.

    - ``started_at``: in seconds since the epoch.
    - ``draining``: it stops, and accepts no more requests.
    - ``workers``: None with one process.
    - ``unresponsive``: the file systems that do not answer.
    - ``waiting``: waiting requests, possibly incomplete: it omits ``waiting_omitted`` of them.
    """

    version: str
    started_at: float
    draining: bool
    memory: MemoryStats
    connections: ConnectionStats
    admission: AdmissionStats
    transfers: TransferStats
    counts: Counts
    workers: WorkerStats | None = None
    identity: Identity = Identity()
    waiting: tuple[WaitingStatus, ...] = ()
    waiting_omitted: int = 0
    unresponsive: tuple[FileSystemStatus, ...] = ()
