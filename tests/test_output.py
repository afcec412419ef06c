"""The output of commands: a closed pipe ends them quietly, and what nobody can take is dropped."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support import processes

COMMANDS = [
    "settings",
    "settings --check --port 0",
    "plan",
    "--help",
    "serve --help",
    "--version",
    "completion bash",
    "make-sample FILE --size 64kB --force",
    "deploy systemd",
    "lab --list",
]


def run(command: str, tmp_path: Path, redirections: str) -> subprocess.CompletedProcess[str]:
    """Run a command with these redirections of a shell."""
    words = [sys.executable, "-m", "freight", *command.replace("FILE", str(tmp_path / "sample")).split()]
    return processes.run("bash", "-c", f"{shlex.join(words)} {redirections}", env=processes.environment())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_an_error(command: str, tmp_path: Path) -> None:
    done = run(command, tmp_path, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr.endswith("freight: No space left on device\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_has_gone_ends_a_command_quietly(command: str, tmp_path: Path) -> None:
    done = run(command, tmp_path, "| (exec <&-; true); exit ${PIPESTATUS[0]}")
    assert done.returncode in (0, 1)  # 0: it had written all before
    assert "Traceback" not in done.stderr and "pipe" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("redirections", [">&-", "2>/dev/full", "2>&-", "<&- >&- 2>&-"])
def test_output_that_nobody_can_take_is_dropped(command: str, redirections: str, tmp_path: Path) -> None:
    assert run(command, tmp_path, redirections).returncode == 0
    if "FILE" in command:
        assert run("make-sample FILE --check", tmp_path, "").returncode == 0


def test_a_mistake_has_its_status_although_it_cannot_be_explained(tmp_path: Path) -> None:
    assert [run("--nothing", tmp_path, redirections).returncode for redirections in ("2>/dev/full", "2>&-")] == [2, 2]


_WITHOUT_DEV = """
import os, sys
from freight.runtime import standard_streams
os.devnull = "/nothing/null"
standard_streams.prepare()
assert os.read(0, 1) == b""
try:
    os.write(1, b"x")
except BrokenPipeError:
    sys.stderr.write("dropped")
    sys.stderr.flush()
    os._exit(7)
"""


def test_closed_streams_are_no_files_without_dev_null() -> None:
    """They become the ends of pipes: there is nothing to read, and nobody to write to."""
    words = shlex.join([sys.executable, "-c", _WITHOUT_DEV])
    assert processes.run("bash", "-c", f"{words} <&- >&- 2>&-", env=processes.environment()).returncode == 7
