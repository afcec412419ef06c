"""The root of a source, which follows its path.

An operator deploys by turning a link (``ln -sfn v2 current``), by moving a directory to the path, or by a mount. So
the path is looked up again at most once a second, before a request is; an idle server does nothing. Where the kernel
has the path cached, this takes some microseconds on the loop, otherwise a turn in the pool.

A path that names no directory for a moment changes nothing: the directory that it named before is still served.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from freight.model import Level
from freight.protocols import LogNotice
from freight.sources.beneath import Root

CHECK_SECONDS = 1.0
"""A directory that has replaced the root is served after at most this time."""


class FollowedRoot:
    """The directory that ``path`` names. ``open_root`` opens it: once here, and again when another is there.

    Whatever uses an earlier root, such as a listing that runs, keeps it open. Raises OSError as ``open_root`` does.
    """

    __slots__ = ("_check_at", "_open_root", "_problem", "current", "log_notice", "path")

    def __init__(self, path: str, open_root: Callable[[], Root]) -> None:
        self.path = path
        self.current = open_root()
        self.log_notice: LogNotice | None = None
        self._open_root = open_root
        self._check_at = monotonic() + CHECK_SECONDS
        self._problem = ""

    def check_soon(self) -> None:
        """Look the path up before the next request."""
        self._check_at = 0.0

    def is_due(self) -> bool:
        """Return whether the path is to be looked up before the next request."""
        return monotonic() >= self._check_at

    def needs_check(self) -> bool:
        """Return whether :meth:`reopen` is due and necessary. After True, it returns False for a second."""
        now = monotonic()
        if now < self._check_at:
            return False
        self._check_at = now + CHECK_SECONDS
        if not self.current.is_local:
            return True  # the loop must not ask a remote file system
        try:
            return not self.current.is_current_cached() or bool(self._problem)
        except OSError:  # usually BlockingIOError: the kernel has not cached the path
            return True

    def reopen(self) -> Root | OSError | None:
        """Return the directory that the path names now: None if it is the current one, or why there is none. May block.

        The caller closes a root that it does not pass to :meth:`adopt`.
        """
        try:
            return None if self.current.is_current() else self._open_root()
        except OSError as error:
            return error

    def adopt(self, found: Root | OSError | None) -> None:
        """Use from now on what :meth:`reopen` has found, and log what is new for the operator."""
        problem = found.strerror or str(found) if isinstance(found, OSError) else ""
        if problem and problem != self._problem:
            still = "still serving the directory that it named before"
            self._log(Level.WARNING, f"cannot open {self.path}: {problem}; {still}")
        elif isinstance(found, Root):
            self.current = found
            self._log(Level.INFO, f"{self.path} is another directory now, and is served as such")
        elif self._problem and not problem:
            self._log(Level.INFO, f"{self.path} is there again")
        self._problem = problem

    def _log(self, level: Level, message: str) -> None:
        if self.log_notice is not None:
            self.log_notice(level, message)
