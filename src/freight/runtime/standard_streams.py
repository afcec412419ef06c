"""The standard streams of a process: it works whether or not anything reads its output."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from freight.observe.line_writer import write_within

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDIN, STDOUT, STDERR = 0, 1, 2
_WRITABLE_SECONDS = 0.5  # how long a reader that stalls may delay a start


class _Dropping(io.FileIO):
    """A file that drops what cannot be written."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return len(memoryview(data).cast("B"))


def prepare() -> None:
    """Open each standard descriptor that is closed, at /dev/null. Let standard error drop what cannot be written.

    Otherwise the first socket or file would get the number, and be sent what is printed. A program that is executed in
    this process inherits the descriptors too.
    """
    for fd in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(fd)
        except OSError:
            redirect_to_null(fd)
    sys.stdout = sys.stdout or os.fdopen(STDOUT, "w", closefd=False)
    if sys.stderr is not None and sys.stderr is not sys.__stderr__:
        return  # replaced by a program that calls the command line
    errors = io.BufferedWriter(_Dropping(STDERR, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(errors, "utf-8", "backslashreplace", line_buffering=True)


def redirect_to_null(fd: int) -> None:
    """Make ``fd`` a descriptor of /dev/null, so that flushing its stream at exit cannot fail.

    Without /dev it is the end of a pipe that has no other end: reading it ends at once, and writing it fails.
    """
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:
        reader, writer = os.pipe()
        null, other = (reader, writer) if fd == STDIN else (writer, reader)
        os.close(other)
    if null == fd:
        os.set_inheritable(fd, True)
    else:
        os.dup2(null, fd)
        os.close(null)


def print_lines(lines: list[str]) -> str:
    """Print lines on standard output; return "", or why that failed.

    The server must start in spite of a pipe without a reader, a full disk, or a reader that stalls. The lines are UTF-8
    in every locale, and names are the bytes that they are.
    """
    text = "".join(f"{line}\n" for line in lines)
    return write_within(STDOUT, text.encode("utf-8", "surrogateescape"), _WRITABLE_SECONDS)
