"""Unexpected errors. Expected outcomes (not found, unsatisfiable, rejected) are values of :mod:`freight.model`.

::

    FreightError
    ├── ProtocolError            the client's bytes are not a valid request; has the status of the answer
    ├── Http2ConnectionError     an HTTP/2 connection must end; has the code of its GOAWAY
    ├── ConfigurationError       the operator asks for something impossible: bad path, port in use, bad setting
    └── TransferError            a body that was begun cannot be finished; the connection is aborted
        ├── FileChanged          the file is no longer the one whose length was promised
        ├── ShortRead            the source ended before the promised length
        ├── Stalled              the client acknowledged nothing during the idle timeout
        ├── TooSlow              the client was slower than the minimum rate
        ├── ClientDisconnected   the client closed or reset the connection
        ├── DiskTimeout          the file system does not answer
        └── ShutdownTimeout      the server stops, and its shutdown timeout is over
"""


class FreightError(Exception):
    """The base of all errors that freight raises itself."""


class ProtocolError(FreightError):
    """A client sent bytes that are not a valid request.

    ``status`` is the HTTP status of the answer, after which the connection is closed. ``str(error)`` is a short reason
    that never repeats the client's bytes.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Http2ConnectionError(FreightError):
    """A client breaks the rules of HTTP/2 or floods the server: its connection ends with a GOAWAY of ``code``."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class ConfigurationError(FreightError):
    """The operator asks for something impossible. The text is one line that says what to do.

    ``setting`` is the name of the setting that ``why`` is about, or "". The text begins with that name;
    :meth:`freight.config.load.ResolvedSettings.explain` replaces it by the place where the setting was given.
    """

    def __init__(self, why: str, setting: str = "") -> None:
        super().__init__(f"{setting}: {why}" if setting else why)
        self.why = why
        self.setting = setting


class TransferError(FreightError):
    """A body that was begun cannot be finished. ``reason`` is the word in logs and counters."""

    reason = "failed"


class FileChanged(TransferError):
    """The file that was located was replaced before it was opened; or it shrank, or was modified without growing."""

    reason = "changed"


class ShortRead(TransferError):
    """The source ended before the promised length."""

    reason = "short-read"


class Stalled(TransferError):
    """The client acknowledged nothing during the idle timeout."""

    reason = "stalled"


class TooSlow(TransferError):
    """The client acknowledged less than the minimum rate, on average over the idle timeout."""

    reason = "too-slow"


class ClientDisconnected(TransferError):
    """The client closed or reset the connection."""

    reason = "peer-gone"


class DiskTimeout(TransferError):
    """A call has waited for a file system during ``--disk-timeout``, or that file system is known not to answer."""

    reason = "disk-timeout"


class ShutdownTimeout(TransferError):
    """The server stops, and ``--shutdown-timeout`` is over."""

    reason = "drained"
