"""Run real download programs, interrupt them, and compare their files."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from support import processes
from support.processes import kill_process_group, start_process

PATIENCE_SECONDS = 60.0

# Several times the kernel's buffers on loopback, so that an interruption comes in the middle.
LARGE_BYTES = 48 * 1024 * 1024

ODD_NAMES = (
    "with space.bin",
    "ümläut.bin",
    "hash#mark.bin",
    "what?.bin",
    "per%41cent.bin",
    "a+b&c;d=e.bin",
    "\u65e5.bin",
)


_started: list[subprocess.Popen[bytes]] = []


def make_content(path: Path, size: int, seed: int = 1) -> str:
    """Write ``size`` bytes in which no two MiB are equal. Return their digest."""
    path.touch()
    os.truncate(path, 0)
    return overwrite(path, size, seed)


def overwrite(path: Path, size: int, seed: int) -> str:
    """Overwrite a file in place, never truncating it. Return its digest."""
    block = hashlib.shake_256(bytes([seed])).digest(1 << 20)
    with path.open("r+b") as file:
        for number in range(0, size, len(block)):
            piece = number.to_bytes(8, "big") + block[8:]
            file.write(piece[: size - number])
    return digest(path)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(*command: str, within: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end in a directory."""
    return subprocess.run(
        command, cwd=within, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS, check=False
    )


def start(*command: str, within: Path) -> subprocess.Popen[bytes]:
    """Start a program and discard its output. :func:`kill_started` kills it."""
    nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    _started.append(start_process(command, cwd=within, **nowhere))
    return _started[-1]


def kill_started() -> None:
    """Kill all programs of :func:`start` that still run, with their descendants."""
    while _started:
        kill_process_group(_started.pop())


def written(path: Path) -> int:
    """Return the size of a file, 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def done(*words: str | os.PathLike[str], within: Path, **variables: str) -> str:
    """Run a program at home in a directory, check that it succeeds, and return its standard output."""
    ended = processes.run(*words, cwd=within, env=os.environ | {"HOME": str(within)} | variables)
    assert ended.returncode == 0, f"{words}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def make_wheel(packages: Path, work: Path) -> Path:
    """Build a wheel with one file of content."""
    about = work / "tree" / "sample_wheel-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sample-wheel\nVersion: 1.0\n")
    (about / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (about / "RECORD").write_text("")
    make_content(work / "tree" / "sample_content.bin", 200_000)
    shutil.make_archive(str(work / "made"), "zip", work / "tree")
    packages.mkdir()
    return (work / "made.zip").rename(packages / "sample_wheel-1.0-py3-none-any.whl")


def apt_get(here: Path, source: str) -> tuple[str, ...]:
    """Return the start of a command of apt with ``source``, and with directories of its own below ``here``."""
    for name in ("state/lists/partial", "cache/archives/partial", "etc"):
        (here / name).mkdir(parents=True)
    (here / "status").touch()
    (here / "sources.list").write_text(f"deb [trusted=yes] {source}\n")
    options = {
        "Dir::Etc": here / "etc",
        "Dir::Etc::sourcelist": here / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": here / "state",
        "Dir::State::status": here / "status",
        "Dir::Cache": here / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::http::Proxy": "false",
        "Acquire::Languages": "none",
    }
    return ("apt-get", *(word for name, value in options.items() for word in ("-o", f"{name}={value}")))
