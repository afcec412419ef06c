"""Where the lines of a server in an application go: to a function, or nowhere."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from freight.config.settings import Settings
from freight.memory.budget import Budget
from freight.model import Entry, Level, Notice
from freight.observe.log import AnyLog, log_format
from freight.runtime.open_log import open_log

LogLine = Callable[[str], object]
"""A function that gets each line of the log, without a line end. It is called in the log's own thread."""


class NoLog:
    """A log that writes nothing (:class:`freight.observe.log.AnyLog`)."""

    lost_total = 0
    has_details = False

    def record(self, entry: Entry) -> None:
        """Do nothing."""

    def notice(self, level: Level, message: str) -> None:
        """Do nothing."""

    def warn(self, message: str) -> None:
        """Do nothing."""

    def close(self, wait_seconds: float = 1.0) -> None:
        """Do nothing."""


class _LineCaller:
    """Passes lines to a function (:class:`freight.observe.log.Writer`). An error of the function loses its line."""

    def __init__(self, log_line: LogLine) -> None:
        self._log_line = log_line

    def write(self, data: bytes = b"") -> None:
        for line in data.decode().split("\n")[:-1]:
            call(self._log_line, line)

    def wait(self, seconds: float) -> None:
        """Return: a function takes every line."""


def log_for(log_line: LogLine | None, settings: Settings, budget: Budget) -> AnyLog:
    """Return the log of a server."""
    if log_line is None and settings.log_file is None:
        return NoLog()
    return open_log(_LineCaller(log_line or _ignore), settings, budget)


def notify(log_line: LogLine | None, settings: Settings, level: Level, message: str) -> None:
    """Log a message to the operator at once, before there is a log."""
    if log_line is not None:
        call(log_line, log_format(settings.log_format).notice(Notice(time.time(), level, message)))


def call(log_line: LogLine, line: str) -> None:
    """Call the application's function. Print an error that it raises, as :mod:`logging` does."""
    try:
        log_line(line)
    except Exception:
        traceback.print_exc()


def _ignore(line: str) -> None:
    """Messages to the operator go nowhere."""
