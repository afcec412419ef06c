"""What flows: frozen values, one for each stage of an exchange.

::

    Request -> Resource | Absence -> Plan -> (head, Spans) -> Entry

A stage takes the value before it and makes the next one; none edits another's. A Snapshot is a look at all of them from
the side. Byte positions are half-open
``[start, stop)`` everywhere; the inclusive form exists in header text only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Literal

Fields = tuple[tuple[str, str], ...]
"""Header fields in order: ``(name, value)``. In a :class:`Request` names are lower-case; text is latin-1."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, framing already checked by the wire.

    ``target`` is the request target as received, in origin form (the wire takes the authority off an absolute form),
    or ``*`` for OPTIONS. ``client`` is the address, without a port, of the peer or of whom a trusted proxy names.
    """

    method: str
    target: str
    fields: Fields
    version: tuple[int, int] = (1, 1)
    client: str = ""

    def field(self, name: str) -> str | None:
        """The value of a field by its lower-case name; several lines are one list (RFC 9110 section 5.3)."""
        values = [value for key, value in self.fields if key == name]
        return ", ".join(values) if values else None


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes ``[start, stop)`` of a representation; ``stop`` is None where only its end will tell."""

    start: int
    stop: int | None


@dataclass(frozen=True, slots=True)
class Resource:
    """What a source found at a target, by a stat and without opening it.

    ``size`` is None when the length is not known beforehand: no ranges then, and a body of unspecified length.
    ``mtime_ns`` is None when nothing says whether two looks saw the same bytes: no validators then.
    ``media_types`` lists the representations the source can make, preferred first; more than one means the answer is
    negotiated by Accept. ``name`` is the name to save under, "" for none. ``key`` is the source's own way back to it.
    ``produced``: it is made as it goes, by a producer, which takes memory while it does. ``browser_type`` is what is
    opened in place of text/html for a browser, and ``policy`` the Content-Security-Policy that it needs; "" for none.
    ``only`` is the name of the one file that is served, "" where a directory is.
    """

    name: str
    size: int | None
    mtime_ns: int | None
    media_types: tuple[str, ...]
    key: object = None
    produced: bool = False
    browser_type: str = ""
    policy: str = ""
    only: str = ""


class Missing(Enum):
    """Why there is nothing to send."""

    ABSENT = "absent"  # nothing here, or nothing we show: hidden, outside the root, a device
    UNREADABLE = "unreadable"  # it is there, but the operating system does not let us read it
    MALFORMED = "malformed"  # the target is not a path: bad escape, NUL
    MOVED = "moved"  # it is there under another target: a directory without its slash
    BUSY = "busy"  # it changed each time we looked; worth another try


@dataclass(frozen=True, slots=True)
class Absence:
    """Nothing to send, and why. ``location`` is the target to go to instead, percent-encoded, for MOVED only.

    ``only`` is the name of the one file that is served, "" where a directory is.
    """

    why: Missing
    location: str = ""
    only: str = ""


class Refusal(Enum):
    """Why a request is turned away that could be answered at another time."""

    FULL = "queue-full"  # no slot, and no place in the queue
    LATE = "max-wait"  # it waited, and no slot came free in time
    DRAINING = "draining"  # the server is stopping: what runs is finished, and nothing begun
    CROWDED = "connections"  # the queue was shortened, as there is no memory for another connection


class WaitReason(Enum):
    """Why a request has no slot: what a waiting one waits for, or what a refused one was refused for."""

    PER_CLIENT = "per-client"  # its client runs as many downloads as one client may
    SLOTS = "slots"  # every slot is taken
    MEMORY = "memory"  # slots are left, and all of the budget is in use or reserved
    CONNECTIONS = "connections"  # what comes free is kept for connections that wait to be accepted
    EXPRESS = "express"  # a small answer: its own slots are taken, and the others are for downloads that wait
    LISTINGS = "listings"  # a listing: what all listings may take is taken
    TURN = "turn"  # there is a slot, and it is for a request that came before


@dataclass(frozen=True, slots=True)
class Refused:
    """No slot for a request: why, and after how many seconds it may be worth another try.

    ``reason`` is None while the server drains. ``running``: how many downloads run, of this client only where
    ``reason`` is PER_CLIENT; ``most``: how many of one client may, 0 where there is no such limit. ``waiting``: how
    many other requests wait; ``waited_seconds``: how long this one has.
    """

    why: Refusal
    retry_seconds: int
    reason: WaitReason | None = None
    running: int = 0
    most: int = 0
    waiting: int = 0
    waited_seconds: float = 0.0

    @property
    def words(self) -> str:
        """The same for logs: ``queue-full:per-client``, ``max-wait:memory``, ``draining``, ``connections``."""
        if self.reason is None or self.why is Refusal.CROWDED:
            return self.why.value
        return f"{self.why.value}:{self.reason.value}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole answer, decided before anything was opened.

    ``fields`` are the header fields less those that belong to the wire (Date, Server, Connection, Content-Length,
    Transfer-Encoding). ``parts`` is the body in order: literal bytes and spans of the representation; empty for HEAD
    and 304. ``length`` is the content's exact length in bytes, that of the GET when answering HEAD, None when
    unspecified. ``content`` says whether content follows the head at all. ``media_type`` is the representation to
    open, one of the resource's. ``refused`` says for the log why there was no slot, "" where that is not so.
    """

    status: int
    fields: Fields = ()
    parts: tuple[bytes | Span, ...] = ()
    length: int | None = 0
    content: bool = True
    media_type: str = ""
    close: bool = False
    refused: str = ""

    @property
    def spans(self) -> tuple[Span, ...]:
        """The parts that must be read from the source; none means: no slot, no descriptor, no buffer."""
        return tuple(part for part in self.parts if isinstance(part, Span))


@dataclass(frozen=True, slots=True)
class Entry:
    """One finished exchange, for logs and counters.

    ``at`` is the start in seconds since the epoch; ``sent`` counts body bytes the kernel took, ``promised`` is the
    plan's length (None: unspecified); ``ended`` is "complete", "refused", or the reason of a
    :class:`~freight.errors.TransferError`; ``refused`` says why there was no slot (:attr:`Refused.words`).
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
    refused: str = ""


class Level(StrEnum):
    """How urgent a message to the operator is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to the operator, for the log. ``at`` is in seconds since the epoch."""

    at: float
    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory, in bytes: what may grow with clients (``budget``), and what does.

    ``process``: private to the process now; ``baseline``: the same before the first client; ``kernel_send``: what the
    kernel holds in the send queues of all connections.
    """

    budget_bytes: int
    process_bytes: int
    baseline_bytes: int
    kernel_send_bytes: int


@dataclass(frozen=True, slots=True)
class GateUse:
    """Who may run. ``slots``: how many downloads there is room for; ``express_running``: small answers, which need none
    of them; ``oldest_wait_seconds``: how long the request has waited that waits longest, 0 when none does.

    ``expired_total``: how many of the refused ones had waited as long as a request may. The two by reason have every
    reason there is, in bounded number: those of :class:`WaitReason`, and of refused ones "draining".
    """

    slots: int
    running: int
    express_running: int
    waiting: int
    oldest_wait_seconds: float
    refused_total: int
    expired_total: int = 0
    waiting_by_reason: Mapping[str, int] = field(default_factory=dict)
    refused_by_reason_total: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """One running download.

    ``of_bytes`` is its promised length, None where none was stated; ``rate_bytes_per_second`` is what the client took
    lately; ``window_bytes`` is how much of its memory the kernel may have for it, None while it waits for room;
    ``kernel_queue_bytes`` is what it does hold; ``blocked_on`` is whom it waits for; ``began`` is when it began, in
    seconds by a clock of the server's own; ``wire`` is what is spoken with the client; ``worker`` is the pid of the
    process that serves it, where there are several.
    """

    client: str
    target: str
    sent_bytes: int
    of_bytes: int | None
    rate_bytes_per_second: float
    window_bytes: int | None
    kernel_queue_bytes: int
    seconds: float
    blocked_on: Literal["client", "disk"]
    began: float = 0.0
    wire: str = "http/1.1"
    worker: int | None = None

    @property
    def number(self) -> int:
        """What tells it from all other downloads of its process: when it began, in microseconds."""
        return round(self.began * 1_000_000)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One request that waits for a slot.

    ``place`` is its place, from 1, by whose turn is next: in its queue, as small answers and listings wait beside
    downloads. ``worker`` is as in :class:`Running`; each worker has queues of its own.
    """

    client: str
    target: str
    seconds: float
    place: int
    reason: WaitReason
    worker: int | None = None


@dataclass(frozen=True, slots=True)
class TransfersUse:
    """Downloads since the start, and those that run. Bytes count those that run too.

    ``aborted_total`` has every reason there is, in bounded number. ``running`` may be a part of them:
    ``running_omitted`` is how many it leaves out.
    """

    completed_total: int
    aborted_total: Mapping[str, int]
    bytes_total: int
    zero_copy_bytes_total: int
    running: tuple[Running, ...]
    running_omitted: int = 0


@dataclass(frozen=True, slots=True)
class TimeUse:
    """What downloads have waited for since the start, in seconds, summed over all of them: so in one second of the
    clock as many as there are downloads. Those that run count too.
    """

    blocked_on_client_seconds: float
    blocked_on_disk_seconds: float
    waiting_seconds: float


@dataclass(frozen=True, slots=True)
class ConnectionsUse:
    """Connections that are ``open``, idle ones included; those of them that speak HTTP/2, and the streams of all these
    that are being answered.
    """

    open: int
    http2: int = 0
    streams: int = 0


@dataclass(frozen=True, slots=True)
class LogUse:
    """The log: how many lines were lost since the start, as nobody took them or they could not be written."""

    lost_total: int = 0


@dataclass(frozen=True, slots=True)
class WorkersUse:
    """Processes that serve: how many are to, how many do, and how often one took the place of one that died."""

    wanted: int
    running: int
    restarts_total: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server this is: ``pid`` is the process that signals go to, ``path`` what it serves, absolute; ``urls`` are
    those of its listeners, that of the files first; ``workers``: how many processes serve.
    """

    pid: int = 0
    path: str = ""
    urls: tuple[str, ...] = ()
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a server does at one moment.

    ``started_at`` is in seconds since the epoch; ``draining``: it is stopping, and takes no more requests;
    ``workers`` is None where one process does it all. ``waiting`` may be a part of those that wait, as
    ``transfers.running`` is: ``waiting_omitted`` is how many it leaves out.
    """

    version: str
    started_at: float
    draining: bool
    memory: MemoryUse
    connections: ConnectionsUse
    gate: GateUse
    transfers: TransfersUse
    time: TimeUse
    workers: WorkersUse | None = None
    identity: Identity = Identity()
    waiting: tuple[Waiting, ...] = ()
    waiting_omitted: int = 0
    log: LogUse = LogUse()
