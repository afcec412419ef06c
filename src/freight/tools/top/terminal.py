"""Draw on the terminal, and handle keys and signals. The terminal is always restored at the end."""

from __future__ import annotations

import os
import queue
import re
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from freight.config.types import Address
from freight.config.unix_address import UnixAddress
from freight.errors import ConfigurationError
from freight.tools.signals import exit_by_signal
from freight.tools.top.fetch import FetchResult, StatusPoller, Unreachable, fetch_once
from freight.tools.top.follow import View, follow
from freight.tools.top.frame import frame, visible_rows
from freight.tools.top.style import SORTS, Style
from freight.units import brief_seconds

_QUIT = "qQ\x04"  # the last is Ctrl-D
_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|\x1b|.", re.DOTALL)  # some keys are several characters
_STEPS = {"\x1b[A": -1, "\x1bOA": -1, "\x1b[B": 1, "\x1bOB": 1}  # arrows up and down, by rows
_PAGES = {"\x1b[5~": -1, "\x1b[6~": 1}  # PgUp, PgDn
_ENDS = {"\x1b[H": 0, "\x1bOH": 0, "\x1b[1~": 0, "\x1b[F": 1, "\x1bOF": 1, "\x1b[4~": 1}  # Home, End
_REDRAW_SECONDS = 1.0  # so that the age of the last snapshot is seen to grow


def has_unicode(encoding: str, variables: Mapping[str, str]) -> bool:
    """Return whether a terminal shows more than ASCII, by Python's encoding and by the user's locale.

    Without a locale, Python writes UTF-8 all the same and sets LC_CTYPE itself (PEP 538), which must not count.
    """
    set_by_python = variables.get("LC_CTYPE") in ("C.UTF-8", "C.utf8", "UTF-8")
    names = ("LC_ALL", "LANG") if set_by_python else ("LC_ALL", "LC_CTYPE", "LANG")
    said = next((variables[name] for name in names if variables.get(name)), "")
    return all("utf8" in text.lower().replace("-", "") for text in (encoding, said))


def show_once(address: Address | UnixAddress, token: str = "") -> None:
    """Print one snapshot. Raises Unreachable."""
    status = fetch_once(address, token)
    console = _console()
    for line in frame(follow(None, status, 0.0), str(address), "", _style(console)):
        console.print(line, soft_wrap=True)


def watch(address: Address | UnixAddress, interval_seconds: float, token: str = "") -> None:
    """Show a server until a key or a signal ends it. Raises ConfigurationError without a terminal."""
    console = _console()
    if not console.is_terminal or console.is_dumb_terminal:
        raise ConfigurationError("this is not a terminal; use --once to print a snapshot")
    _Screen(console, address, token).run(interval_seconds)


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False, safe_box=True)


def _style(console: Console) -> Style:
    return Style(console.width, unicode=has_unicode(console.encoding, os.environ))


class _Screen:
    """The screen, which changes with each snapshot, key and new size."""

    def __init__(self, console: Console, address: Address | UnixAddress, token: str) -> None:
        self._console = console
        self._address = address
        self._token = token
        self._style = replace(_style(console), keys=True)
        self._results: queue.SimpleQueue[FetchResult] = queue.SimpleQueue()
        self._view: View | None = None
        self._error: Unreachable | None = None
        self._scrolls_waiting = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self, interval_seconds: float) -> None:
        """Run until a key or a signal ends it."""
        screen = Live(console=self._console, screen=True, auto_refresh=False)
        with _raw_keys() as keyboard, _signals(self._wake), screen:
            poller = StatusPoller(self._address, self._received, interval_seconds, self._token)
            try:
                while True:
                    screen.update(Group(*self._lines()), refresh=True)
                    if not self._wait(keyboard):
                        return
            finally:
                poller.stop()

    def _lines(self) -> list[Text]:
        size = self._console.size
        self._style = replace(self._style, width=size.width, height=size.height)
        error = ""
        if self._error is not None:  # the reason is last, because a narrow terminal cuts the end
            seen = "" if self._view is None else f"; seen {brief_seconds(monotonic() - self._view.at)} ago"
            error = f"{self._error.what}, trying again{seen} ({self._error.why})"
        return frame(self._view, str(self._address), error, self._style)

    def _wait(self, keyboard: int | None) -> bool:
        """Wait for a result, a key or a second, and handle it. Return False to quit."""
        awaited = [self._wake_read] if keyboard is None else [self._wake_read, keyboard]
        ready, _, _ = select.select(awaited, [], [], _REDRAW_SECONDS)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        while not self._results.empty():
            self._handle(self._results.get())
        return keyboard not in ready or self._press(os.read(keyboard, 64).decode("latin-1"))

    def _handle(self, result: FetchResult) -> None:
        if isinstance(result, Unreachable):
            self._error = result
        else:
            self._view, self._error = follow(self._view, result, monotonic()), None

    def _press(self, typed: str) -> bool:
        """Handle keys. Return False to quit; no keys mean that the terminal has gone."""
        if not typed:
            return False
        for key in _KEY.findall(typed):
            if key in _QUIT:
                return False
            if self._style.help:
                self._style = replace(self._style, help=False)
            elif key == "?":
                self._style = replace(self._style, help=True)
            elif key == "\t":
                self._scrolls_waiting = not self._scrolls_waiting
            elif key in _STEPS or key in _PAGES or key in _ENDS:
                self._scroll(key)
            else:
                self._sort(key)
        return True

    def _sort(self, key: str) -> None:
        for sort in SORTS:
            if sort.key == key:
                again = sort is self._style.sort and not self._style.reversed
                self._style = replace(self._style, sort=sort, reversed=again, first_download=0)

    def _scroll(self, key: str) -> None:
        """Scroll a table, within its rows."""
        if self._view is None:
            return
        which = int(self._scrolls_waiting)
        rows = (len(self._view.downloads), len(self._view.status.waiters))[which]
        shown = visible_rows(self._view, self._style)[which]
        first = (self._style.first_download, self._style.first_waiting)[which]
        if key in _ENDS:
            first = _ENDS[key] * rows
        else:
            first += _STEPS.get(key, 0) + shown * _PAGES.get(key, 0)
        first = max(0, min(first, rows - shown))
        if self._scrolls_waiting:
            self._style = replace(self._style, first_waiting=first)
        else:
            self._style = replace(self._style, first_download=first)

    def _received(self, result: FetchResult) -> None:
        self._results.put(result)
        self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b".")
        except BlockingIOError:
            pass  # the pipe is full, so the screen wakes anyway


@contextmanager
def _raw_keys() -> Iterator[int | None]:
    """Yield the keyboard, unbuffered and without echo; None if standard input is not a terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)
        yield keyboard
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)


@contextmanager
def _signals(wake: Callable[[], None]) -> Iterator[None]:
    """Exit on signals, so that the terminal is restored, and wake on a new size.

    Ctrl-Z is ignored: a stopped process would leave the terminal as it is.
    """

    handlers: dict[signal.Signals, Any] = {
        signal.SIGTERM: exit_by_signal,
        signal.SIGHUP: exit_by_signal,
        signal.SIGTSTP: signal.SIG_IGN,
        signal.SIGWINCH: lambda number, frame: wake(),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
