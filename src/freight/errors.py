"""The surprises, as exceptions. What is expected (absent, unsatisfiable, refused) is a value, in :mod:`freight.model`.

::

    FreightError
    ├── ProtocolError     the peer's bytes are not a request we take; carries the status to answer with
    ├── Violation         an HTTP/2 connection cannot go on; carries the code of the GOAWAY it ends with
    ├── Unservable        the operator asked for something that cannot be: bad path, taken port, bad setting
    └── TransferError     a body that has begun cannot be finished; the connection ends abortively
        ├── Changed       the representation is no longer the one that was promised
        ├── ShortRead     the source ended before the promised length
        ├── Stalled       the peer has taken nothing for too long
        ├── TooSlow       the peer has taken less than the least rate
        ├── PeerGone      the peer closed or reset the connection
        └── Drained       the server's own time to finish ran out
"""


class FreightError(Exception):
    """The root of everything freight raises on purpose."""


class ProtocolError(FreightError):
    """The peer sent bytes that are refused.

    ``status`` is the HTTP status to answer with before the connection is closed, ``str(error)`` says why in a few
    words of our own (never an echo of the peer's bytes).
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Violation(FreightError):
    """A peer breaks the rules of HTTP/2, or our patience: its connection ends with a GOAWAY of ``code``."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Unservable(FreightError):
    """The operator's request cannot be carried out; the text is one line that says what to do.

    ``setting`` is the name of the setting that ``why`` is about, if it is about one. The text begins with it; who knows
    where the setting was given writes that instead (:meth:`freight.config.Gathered.explain`).
    """

    def __init__(self, why: str, setting: str = "") -> None:
        super().__init__(f"{setting}: {why}" if setting else why)
        self.why = why
        self.setting = setting


class TransferError(FreightError):
    """A body that has begun cannot be finished. ``reason`` is the word for logs and counters."""

    reason = "failed"


class Changed(TransferError):
    """The representation on disk is no longer the one that was located (its size or mtime_ns differ)."""

    reason = "changed"


class ShortRead(TransferError):
    """The source ended before the promised length."""

    reason = "short-read"


class Stalled(TransferError):
    """The peer has taken nothing for the idle timeout."""

    reason = "stalled"


class TooSlow(TransferError):
    """The peer has taken less than the least rate, on average over the idle timeout."""

    reason = "too-slow"


class PeerGone(TransferError):
    """The peer closed or reset the connection."""

    reason = "peer-gone"


class Drained(TransferError):
    """The server is stopping and its ``--drain`` time is over."""

    reason = "drained"
