"""A server in a terminal ends with it (SIGHUP), unless that signal is for a reload, or is ignored."""

from __future__ import annotations

import fcntl
import os
import pty
import shlex
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from support import processes
from support.certificates import KeyPair
from support.servers import TIMEOUT_SECONDS, Client, wait_until

_BEFORE = {"nohup": "trap '' HUP; exec ", "exec": "exec ", "a shell": "", "no terminal": "exec "}


class TerminalServer:
    """A server whose standard input is a terminal, its controlling one unless ``how`` says otherwise."""

    def __init__(self, how: str, log: Path, *words: str) -> None:
        self.log = log
        self.master, slave = pty.openpty()
        command = shlex.join([sys.executable, "-m", "freight", "serve", "--port", "0", "--admin", "none", *words])
        with closing(os.fdopen(slave, "rb")) as terminal, open(log, "ab") as errors:
            self.process = processes.start_process(
                ["sh", "-c", f"{_BEFORE[how]}{command}; exit $?" if how == "a shell" else _BEFORE[how] + command],
                env=processes.environment(),
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=errors,
                preexec_fn=None if how == "no terminal" else lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().decode().rsplit(":", 1)[1].rstrip("/\n"))

    def close_terminal(self) -> None:
        """Close the terminal, as a terminal emulator or sshd does."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def wait_for_log(self, text: str) -> None:
        wait_until(lambda: text in self.log.read_text(), f"the log says {text!r}")

    def serves(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS).close()
        except ConnectionError:
            return False
        return True


@contextmanager
def started(how: str, log: Path, *words: str) -> Iterator[TerminalServer]:
    server = TerminalServer(how, log, *words)
    try:
        yield server
    finally:
        processes.kill_process_group(server.process)
        server.close_terminal()
        assert server.process.stdout is not None
        server.process.stdout.close()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("how", ["exec", "a shell"])
def test_a_server_ends_with_its_terminal(huge: Path, tmp_path: Path, how: str, workers: str) -> None:
    """SIGHUP comes from the kernel, and perhaps from a shell too. One download is finished first."""
    with started(how, tmp_path / "log", str(huge), "--workers", workers) as server:
        with Client("127.0.0.1", server.port, receive_bytes=64 * 1024) as client:
            client.get()
            assert client.read_head()[0] == 200
            server.close_terminal()
            server.wait_for_log("stopping: 1 download may take 30s more; SIGTERM ends it now")
            if how == "exec":  # a second one, as from a shell, does not cut what the first one allows
                server.process.send_signal(signal.SIGHUP)
            assert len(client.read_exactly(huge.stat().st_size)) == huge.stat().st_size
        server.wait_for_log("stopped: 1 download completed")
        wait_until(lambda: not server.serves(), "the port is free")
        if how == "exec":
            assert server.process.wait(TIMEOUT_SECONDS) == 0


def test_sigterm_after_it_ends_the_server_at_once(huge: Path, tmp_path: Path) -> None:
    with (
        started("exec", tmp_path / "log", str(huge)) as server,
        Client("127.0.0.1", server.port, receive_bytes=64 * 1024) as client,
    ):
        client.get()
        assert client.read_head()[0] == 200
        server.close_terminal()
        server.wait_for_log("stopping: 1 download")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(TIMEOUT_SECONDS) == 128 + signal.SIGTERM
        with suppress(ConnectionResetError):
            assert len(client.read_to_end()) < huge.stat().st_size


def test_a_server_with_a_settings_file_reloads_it(huge: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("queue-size = 7\n")
    with started("exec", tmp_path / "log", str(huge), "--config", str(settings)) as server:
        server.close_terminal()
        server.wait_for_log("settings reloaded")
        assert server.serves()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("how", ["nohup", "no terminal"])
def test_a_server_that_ignored_the_signal_or_has_no_terminal_goes_on(
    huge: Path, tmp_path: Path, how: str, workers: str
) -> None:
    with started(how, tmp_path / "log", str(huge), "--workers", workers) as server:
        if how == "nohup":
            server.process.send_signal(signal.SIGUSR2)  # its successor does not end with the terminal either
            server.wait_for_log("handed over to process")
            assert server.process.wait(TIMEOUT_SECONDS) == 0
        server.close_terminal()
        os.killpg(server.process.pid, signal.SIGHUP)
        server.wait_for_log("nothing to reload")
        assert server.serves()


def test_a_certificate_is_reloaded_while_the_terminal_is_open(huge: Path, tmp_path: Path, pair: KeyPair) -> None:
    words = (str(huge), *pair.flags)
    with started("exec", tmp_path / "log", *words) as server:
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("certificate reloaded")
        assert server.process.poll() is None
        server.close_terminal()
        server.wait_for_log("stopped")
        assert server.process.wait(TIMEOUT_SECONDS) == 0
