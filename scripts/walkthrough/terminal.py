"""A pseudo-terminal with a shell, so that programs print what they print to people."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_ROWS, _COLUMNS = 24, 80
_START_SECONDS, _END_SECONDS = 20.0, 5.0
_ENDED = re.compile("\x1e(\\d+)\x1e")
# The prompt marks the end of a command, with its status.
_PROMPT = "\x1e$?\x1e"
_JOB = re.compile(r"\[\d+\][+-]? |\(wd now: ")
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[()][A-Z0-9]|[=>])")


class CommandTimeout(AssertionError):
    """A command did not end in time, or did not print what it should."""


class Terminal:
    """A shell in a terminal of its own, in ``directory``. Closing it ends all that runs in it."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        modes = termios.tcgetattr(slave)
        modes[1] &= ~termios.ONLCR
        modes[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "--noediting", "-i", "+H"],
            cwd=directory,
            env={**environment, "PS1": _PROMPT, "PS2": "", "VIRTUAL_ENV_DISABLE_PROMPT": "1"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._raw, self._decoder = "", codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._is_busy = True
        self._status: int | None = None
        self.finish(_START_SECONDS)

    @property
    def directory(self) -> Path:
        """The working directory of the shell."""
        return Path(f"/proc/{self._shell.pid}/cwd").resolve()

    def run(self, command: str, seconds: float) -> tuple[int, list[str]]:
        """Run a command to its end, and return its status and what has been printed. Raises :class:`Silent`."""
        self.start(command)
        return self.finish(seconds)

    def start(self, command: str) -> None:
        """Type a command, and do not wait for it."""
        assert not self._is_busy, f"the terminal is busy and cannot take: {command}"
        os.write(self._master, command.encode() + b"\n")
        self._is_busy, self._status = True, None

    def press_ctrl_c(self) -> None:
        """End the command that runs, as a person does."""
        os.write(self._master, b"\x03")

    def finish(self, seconds: float) -> tuple[int, list[str]]:
        """Wait for the command that runs, and return its status and what has been printed. Raises :class:`Silent`."""
        deadline = time.monotonic() + seconds
        while self._status is None:
            if not self._read(deadline):
                raise CommandTimeout(f"it has not ended within {seconds:.0f} s, and said: {_lines(self._raw)[-5:]}")
        self._is_busy = False
        return self._status, self.read_output()

    def wait_for_output(
        self, is_enough: Callable[[list[str]], bool], seconds: float, quiet_seconds: float
    ) -> list[str]:
        """Wait until the printed lines are enough, or until ``quiet_seconds`` after the last output. Return the lines.

        The first output must come within ``seconds``. No line is returned twice.
        """
        deadline = time.monotonic() + seconds
        while not is_enough(_lines(self._whole_lines())) and self._read(deadline):
            deadline = time.monotonic() + quiet_seconds
        lines = self._whole_lines()
        self._raw = self._raw[len(lines) :]
        return _lines(lines)

    def read_output(self) -> list[str]:
        """Return the output that was not returned before, without waiting."""
        while self._read(time.monotonic()):
            pass
        text, self._raw = self._raw, ""
        return _lines(text)

    def close(self) -> None:
        """End the shell and all that was started in it."""
        self._send(signal.SIGHUP)  # lets servers stop their workers
        try:
            self._shell.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        deadline = time.monotonic() + _END_SECONDS
        while self._send(signal.SIGKILL) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._shell.wait(_END_SECONDS)
        os.close(self._master)

    def _send(self, number: int) -> bool:
        """Send a signal to all processes that run here; return whether there are any."""
        pids = _session(self._shell.pid)
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        return bool(pids)

    def _whole_lines(self) -> str:
        return self._raw[: self._raw.rfind("\n") + 1]

    def _read(self, deadline: float) -> bool:
        """Read what is there or comes until ``deadline``. Return whether anything came."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._master, 1 << 16) if ready else b""
        except OSError:  # EIO: no process has the other end open
            data = b""
        self._raw += self._decoder.decode(data)
        if ended := _ENDED.search(self._raw):
            self._status = int(ended[1])
            self._raw = self._raw[: ended.start()] + self._raw[ended.end() :]
        return bool(data)


def _lines(text: str) -> list[str]:
    """Return what a person sees: a carriage return overwrites its line, and colors are no text.

    Messages of the shell about background jobs are left out, because they come at any time.
    """
    plain = _ESCAPES.sub("", text).replace("\r\n", "\n")
    seen = [line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n")]
    return [line for line in (seen[:-1] if seen[-1] == "" else seen) if not _JOB.match(line)]


def _session(leader: int) -> list[int]:
    """Return the processes of a session, without those that have ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) == leader and state not in "ZX":
                found.append(int(entry.name))
    return found
