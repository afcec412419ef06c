"""Check a configuration with the engine itself, if the engine is installed."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freight.tools.programs import find_program

_TIMEOUT_SECONDS = 60.0
_ERROR_MAX = 600
_ERROR = re.compile(r"\[ALERT\]|\[critical\]|^Error\b|\berror\b|\bERROR\b")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """``checker``: the command that checked, empty if none is installed. ``error``: what it reported, or empty."""

    checker: str
    error: str


def check(commands: Sequence[Sequence[str]], suffix: str, text: str) -> CheckResult:
    """Run the first of ``commands`` that is installed on a file with this text, in the place of the word ``FILE``.

    ``docker compose`` counts as installed only if Docker has that plugin.
    """
    for command in commands:
        program = find_program(command[0])
        if program is None or not _is_usable(program, command):
            continue
        with tempfile.TemporaryDirectory(prefix="freight-fleet-") as directory:
            file = Path(directory, f"fleet{suffix}")
            file.write_text(text, encoding="utf-8")
            words = [program, *(str(file) if word == "FILE" else word for word in command[1:])]
            complaint = _run(words, directory).replace(str(file), f"fleet{suffix}")
        return CheckResult(" ".join(command), complaint)
    return CheckResult("", "")


def _is_usable(program: str, command: Sequence[str]) -> bool:
    if command[:2] != ("docker", "compose"):
        return True
    try:
        words = [program, "compose", "version"]
        return subprocess.run(words, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(words: Sequence[str], directory: str) -> str:
    """Run a checker; return its error, or an empty text."""
    home = {"HOME": directory, "XDG_DATA_HOME": directory, "XDG_CONFIG_HOME": directory}  # Caddy writes there
    try:
        done = subprocess.run(
            words,
            env=os.environ | home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{words[0]} did not finish within {_TIMEOUT_SECONDS:.0f} s"
    # With --quiet, any output is an error: some wrappers do not pass on the exit status.
    if done.returncode == 0 and not (done.stdout.strip() and {"-q", "--quiet"} & set(words)):
        return ""
    return _error_line(done.stdout.decode(errors="replace")) or f"it exited with status {done.returncode}"


def _error_line(output: str) -> str:
    """Return the error in one line: the first line that looks like an error, or else all lines."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    found = next((line for line in lines if _ERROR.search(line)), " ".join(lines))
    return found[:_ERROR_MAX]
