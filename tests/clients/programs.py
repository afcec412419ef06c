"""Real download programs: how they are run, cut off and judged."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

PATIENCE_SECONDS = 60.0

# As long as the kernel's buffers on loopback, several times over: a cut falls into the middle.
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


def make_content(path: Path, size: int, seed: int = 1) -> str:
    """Write ``size`` bytes in which no two MiB are alike; their digest."""
    path.touch()
    os.truncate(path, 0)
    return overwrite(path, size, seed)


def overwrite(path: Path, size: int, seed: int) -> str:
    """Give a file other content where it is, never shorter meanwhile; its digest."""
    block = hashlib.shake_256(bytes([seed])).digest(1 << 20)
    with path.open("r+b") as file:
        for number in range(0, size, len(block)):
            piece = number.to_bytes(8, "big") + block[8:]
            file.write(piece[: size - number])
    return digest(path)


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(*command: str, within: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end in a directory of its own."""
    return subprocess.run(
        command, cwd=within, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS, check=False
    )


def start(*command: str, within: Path) -> subprocess.Popen[bytes]:
    """Start a program whose words do not matter."""
    return subprocess.Popen(
        command, cwd=within, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def written(path: Path) -> int:
    """How much of a file there is by now, 0 when it is not there."""
    return path.stat().st_size if path.exists() else 0
