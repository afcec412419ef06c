"""A real pseudo-terminal with a program in it, and what is on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
from collections.abc import Callable
from typing import Any, Self

import pyte

from support import processes
from support.servers import TIMEOUT_SECONDS, wait_until


class Terminal:
    """``freight ...`` in a terminal of this size. ``environment`` is added to ours."""

    def __init__(self, *arguments: str, columns: int = 80, lines: int = 24, **environment: str) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.said = bytearray()
        self._stream = pyte.ByteStream(self.screen)
        self._master, self._slave = pty.openpty()
        self._resize(columns, lines)
        self.before = self.attributes()
        hidden = {"LC_ALL", "LC_CTYPE", "NO_COLOR", "COLUMNS", "LINES"}
        ours = {name: value for name, value in os.environ.items() if name not in hidden}
        self.process = processes.start_process(
            [sys.executable, "-m", "freight", *arguments],
            env=ours
            | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONPATH": os.pathsep.join(sys.path)}
            | environment,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        processes.kill_process_group(self.process)
        os.close(self._slave)
        os.close(self._master)

    def attributes(self) -> list[Any]:
        """What the terminal does with keys, termios(3)."""
        return termios.tcgetattr(self._slave)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change the size; the program gets SIGWINCH."""
        self.screen.resize(lines, columns)
        self._resize(columns, lines)

    def lines(self) -> list[str]:
        """What is on the screen now."""
        self._read()
        return [line.rstrip() for line in self.screen.display]

    def line(self, word: str) -> str:
        """The first line with a word in it; empty where there is none."""
        return next((line for line in self.lines() if word in line), "")

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until something is on the screen."""
        try:
            wait_until(lambda: bool(condition()), "it is on the screen")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.lines()])) from None

    def end(self) -> int:
        """The exit status, once the program has ended; all that it said is on the screen then."""
        wait_until(lambda: (self._read(), self.process.poll() is not None)[1], "the program has ended", TIMEOUT_SECONDS)
        self._read()
        return self.process.returncode

    def _resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self) -> None:
        while select.select([self._master], [], [], 0)[0]:
            data = os.read(self._master, 1 << 16)
            self.said += data
            self._stream.feed(data)
