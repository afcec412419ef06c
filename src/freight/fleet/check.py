"""Let an engine check a configuration itself, if the engine is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_SECONDS = 60.0
_BESIDE = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not in every user's PATH
_SAID_MAX = 600
_ERROR = re.compile(r"\[ALERT\]|\[critical\]|^Error\b|\berror\b|\bERROR\b")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``by``: the command of the checker, empty if none is installed. ``complaint``: the error that it reported."""

    by: str
    complaint: str


def check(commands: Sequence[Sequence[str]], suffix: str, text: str) -> Verdict:
    """Run the first of ``commands`` that is installed on a file with this text, in the place of the word ``FILE``.

    ``docker compose`` counts as installed only if Docker has that plugin.
    """
    for command in commands:
        program = find_program(command[0])
        if program is None or not _knows(program, command):
            continue
        with tempfile.TemporaryDirectory(prefix="freight-fleet-") as directory:
            file = Path(directory, f"fleet{suffix}")
            file.write_text(text, encoding="utf-8")
            words = [program, *(str(file) if word == "FILE" else word for word in command[1:])]
            complaint = _run(words, directory).replace(str(file), f"fleet{suffix}")
        return Verdict(" ".join(command), complaint)
    return Verdict("", "")


def find_program(name: str) -> str | None:
    """The path of a program: in PATH, in the sbin directories, or beside the running Python."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), *_BESIDE, os.path.dirname(sys.executable)])
    return shutil.which(name, path=places)


def _knows(program: str, command: Sequence[str]) -> bool:
    if command[:2] != ("docker", "compose"):
        return True
    try:
        words = [program, "compose", "version"]
        return subprocess.run(words, capture_output=True, timeout=_PATIENCE_SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(words: Sequence[str], directory: str) -> str:
    """The error, or nothing."""
    home = {"HOME": directory, "XDG_DATA_HOME": directory, "XDG_CONFIG_HOME": directory}  # Caddy writes there
    try:
        done = subprocess.run(
            words,
            env=os.environ | home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{words[0]} did not finish within {_PATIENCE_SECONDS:.0f} s"
    # A checker with --quiet reports an error if it prints anything: not every wrapper passes the exit status on.
    if done.returncode == 0 and not (done.stdout.strip() and {"-q", "--quiet"} & set(words)):
        return ""
    return _told(done.stdout.decode(errors="replace")) or f"it exited with status {done.returncode}"


def _told(output: str) -> str:
    """The error in one line: the first line that looks like an error, or else all lines."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    found = next((line for line in lines if _ERROR.search(line)), " ".join(lines))
    return found[:_SAID_MAX]
