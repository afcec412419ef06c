"""The terminal's side: drawing, keys, signals. The screen is as it was when this ends, however that comes."""

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
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from freight.errors import Unservable
from freight.kinds import Address
from freight.quantities import brief_seconds
from freight.top.ask import Asking, Outcome, Unseen, look_once
from freight.top.follow import View, follow
from freight.top.frame import SORTS, Style, frame, rooms

_SIGNALLED = 128
_QUIT = "qQ\x04"  # the last is Ctrl-D
_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|\x1b|.", re.DOTALL)  # as terminals send it: some are several characters
_STEPS = {"\x1b[A": -1, "\x1bOA": -1, "\x1b[B": 1, "\x1bOB": 1}  # arrows up and down, by rows
_PAGES = {"\x1b[5~": -1, "\x1b[6~": 1}  # PgUp, PgDn
_ENDS = {"\x1b[H": 0, "\x1bOH": 0, "\x1b[1~": 0, "\x1b[F": 1, "\x1bOF": 1, "\x1b[4~": 1}  # Home, End
_REDRAW_SECONDS = 1.0  # what is old must be seen to grow older


def has_unicode(encoding: str, variables: Mapping[str, str]) -> bool:
    """Whether a terminal has more than ASCII: by what Python writes to it, and by what the user's locale says.

    Python writes UTF-8 where there is no locale at all, and says so in LC_CTYPE (PEP 538).
    """
    invented = variables.get("LC_CTYPE") in ("C.UTF-8", "C.utf8", "UTF-8")
    names = ("LC_ALL", "LANG") if invented else ("LC_ALL", "LC_CTYPE", "LANG")
    said = next((variables[name] for name in names if variables.get(name)), "")
    return all("utf8" in text.lower().replace("-", "") for text in (encoding, said))


def show_once(address: Address) -> None:
    """Print one look. Raises Unseen."""
    look = look_once(address)
    console = _console()
    for line in frame(follow(None, look, 0.0), str(address), "", _style(console)):
        console.print(line, soft_wrap=True)


def watch(address: Address, interval_seconds: float) -> None:
    """Show a server until somebody says stop. Raises Unservable where there is no terminal to draw on."""
    console = _console()
    if not console.is_terminal or console.is_dumb_terminal:
        raise Unservable("there is no terminal here to draw on; --once prints a snapshot")
    _Screen(console, address).run(interval_seconds)


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False, safe_box=True)


def _style(console: Console) -> Style:
    return Style(console.width, unicode=has_unicode(console.encoding, os.environ))


class _Screen:
    """What is on the screen, and what changes it: a look, a key, a new size."""

    def __init__(self, console: Console, address: Address) -> None:
        self._console = console
        self._address = address
        self._style = replace(_style(console), keys=True)
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._view: View | None = None
        self._unseen: Unseen | None = None
        self._scrolls_waiting = False  # the keys that scroll are about what waits
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self, interval_seconds: float) -> None:
        """Until a key or a signal."""
        screen = Live(console=self._console, screen=True, auto_refresh=False)
        with _raw_keys() as keyboard, _signals(self._wake), screen:
            asking = Asking(self._address, self._told, interval_seconds)
            try:
                while True:
                    screen.update(Group(*self._lines()), refresh=True)
                    if not self._wait(keyboard):
                        return
            finally:
                asking.end()

    def _lines(self) -> list[Text]:
        size = self._console.size
        self._style = replace(self._style, width=size.width, height=size.height)
        note = ""
        if self._unseen is not None:  # the reason last, should there be no room
            seen = "" if self._view is None else f"; seen {brief_seconds(monotonic() - self._view.at)} ago"
            note = f"{self._unseen.what}, trying again{seen} ({self._unseen.why})"
        return frame(self._view, str(self._address), note, self._style)

    def _wait(self, keyboard: int | None) -> bool:
        """Wait for something, and take it in. False: it is to end."""
        awaited = [self._wake_read] if keyboard is None else [self._wake_read, keyboard]
        ready, _, _ = select.select(awaited, [], [], _REDRAW_SECONDS)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        while not self._outcomes.empty():
            self._take(self._outcomes.get())
        return keyboard not in ready or self._obey(os.read(keyboard, 64).decode("latin-1"))

    def _take(self, outcome: Outcome) -> None:
        if isinstance(outcome, Unseen):
            self._unseen = outcome
        else:
            self._view, self._unseen = follow(self._view, outcome, monotonic()), None

    def _obey(self, typed: str) -> bool:
        """Do what keys say. False: it is to end, as it is when the terminal has gone."""
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
                turned = sort is self._style.sort and not self._style.turned
                self._style = replace(self._style, sort=sort, turned=turned, first=0)

    def _scroll(self, key: str) -> None:
        """Move the window of a table, within its rows."""
        if self._view is None:
            return
        which = int(self._scrolls_waiting)
        rows = (len(self._view.downloads), len(self._view.look.waiters))[which]
        room = rooms(self._view, self._style)[which]
        first = (self._style.first, self._style.first_waiting)[which]
        if key in _ENDS:
            first = _ENDS[key] * rows
        else:
            first += _STEPS.get(key, 0) + room * _PAGES.get(key, 0)
        first = max(0, min(first, rows - room))
        if self._scrolls_waiting:
            self._style = replace(self._style, first_waiting=first)
        else:
            self._style = replace(self._style, first=first)

    def _told(self, outcome: Outcome) -> None:
        self._outcomes.put(outcome)
        self._wake()

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b".")
        except BlockingIOError:
            pass  # it is awake enough


@contextmanager
def _raw_keys() -> Iterator[int | None]:
    """The keyboard, a key at a time and unseen; None where there is none."""
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
    """Signals that end it leave as all else does; a new size wakes. Ctrl-Z is ignored: the screen would stay ours."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(_SIGNALLED + number)

    handlers: dict[signal.Signals, Any] = {
        signal.SIGTERM: end,
        signal.SIGHUP: end,
        signal.SIGTSTP: signal.SIG_IGN,
        signal.SIGWINCH: lambda number, frame: wake(),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
