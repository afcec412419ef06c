"""The terminal of a server, and what SIGHUP means there: the terminal was closed, or the operator asks for a reload."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from typing import Self

from freight.runtime.standard_streams import STDERR, STDIN

HANGUP_IGNORED = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
"""Whether SIGHUP was ignored when this module was imported, as under nohup(1). The server's own handler comes later."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """The controlling terminal at the descriptor ``fd``; None: the process has none there, or ignored SIGHUP."""

    fd: int | None

    @classmethod
    def find(cls) -> Self:
        """Return the controlling terminal, if standard input or standard error is that."""
        for fd in () if HANGUP_IGNORED else (STDIN, STDERR):
            try:
                os.tcgetpgrp(fd)  # ENOTTY: it is no terminal, or not the controlling one (tcgetpgrp(3))
            except OSError:
                continue
            return cls(fd)
        return cls(None)

    def hangup_stops(self, reloads_file: bool, reloads_other: bool) -> bool:
        """Return whether SIGHUP is to stop the server.

        It does in a terminal, if there is nothing to reload. A certificate or a log file (``reloads_other``) alone does
        not keep a server whose terminal is closed.
        """
        return self.fd is not None and not reloads_file and (not reloads_other or _is_closed(self.fd))


def _is_closed(terminal: int) -> bool:
    watch = select.poll()
    watch.register(terminal, 0)
    return any(events & (select.POLLHUP | select.POLLNVAL) for _, events in watch.poll(0))
