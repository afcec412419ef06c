"""What an engine itself says of a configuration, where it is installed."""

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
_BESIDE = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not in everybody's PATH
_SAID_MAX = 600
_ERROR = re.compile(r"\[ALERT\]|\[critical\]|^Error\b|\berror\b|\bERROR\b")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``by``: the words of the checker, empty where none is installed. ``complaint``: what it says is wrong."""

    by: str
    complaint: str


def check(commands: Sequence[Sequence[str]], suffix: str, text: str) -> Verdict:
    """Have the first of ``commands`` that is installed read ``text`` from a file, whose name is put behind its words.

    A command whose second word is not a flag must know that word too: ``docker compose`` is a plugin.
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
    """Where a program is: in PATH, where administrators' programs are, or beside the Python that runs us."""
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
    """What is wrong, or nothing."""
    home = {"HOME": directory, "XDG_DATA_HOME": directory, "XDG_CONFIG_HOME": directory}  # Caddy keeps things there
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
        return f"{words[0]} did not end within {_PATIENCE_SECONDS:.0f} s"
    # Who was told to be quiet has a complaint if it says anything: not every wrapper passes on the status.
    if done.returncode == 0 and not (done.stdout.strip() and {"-q", "--quiet"} & set(words)):
        return ""
    return _told(done.stdout.decode(errors="replace")) or f"it ended with status {done.returncode}"


def _told(output: str) -> str:
    """What is wrong, in a line: the first that an engine calls an error, or all where it calls none so."""
    lines = [" ".join(line.split()) for line in output.splitlines()]
    found = next((line for line in lines if _ERROR.search(line)), " ".join(lines))
    return found[:_SAID_MAX]
