"""Sample files of any size: CSV whose 64-byte lines begin with their own offset, so that any range can be checked.

The content depends only on the offset. It is made in blocks of 15,625 lines, which are 1,000,000 bytes. Within a block
only the last six digits of the offset differ, and every block has the same ones. So a block is a template in which
strided slices overwrite a few columns: the offset's upper digits, and the date. That makes gigabytes in seconds. One
block is also one day of readings, 5.5296 s apart.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache

from freight.errors import ConfigurationError

LINE_BYTES = 64
BLOCK_BYTES = 1_000_000
HEADER = b"offset,time,station,temperature_celsius,relative_humidity,state\n"

_BLOCK_LINES = BLOCK_BYTES // LINE_BYTES
_LOW_DIGITS = 6  # BLOCK_BYTES is 10**6
_HIGH_DIGITS = 10
_LARGEST_BYTES = 10 ** (_HIGH_DIGITS + _LOW_DIGITS)
_DATE_COLUMN = _HIGH_DIGITS + _LOW_DIGITS + 1
_FIRST_DAY = date(2000, 1, 1).toordinal()
_CALENDAR_DAYS = 146_097  # 400 Gregorian years; then the dates repeat, because a year has four digits
_STATIONS = ("berlin-01", "bergen-02", "lisboa-03", "naples-04", "quebec-05", "sydney-06", "taipei-07")


@cache
def _template() -> bytes:
    """Return the lines of a day, with zeros in the columns that change from block to block."""
    return b"".join(_template_line(number) for number in range(_BLOCK_LINES))


def _template_line(number: int) -> bytes:
    second = number * 86_400 // _BLOCK_LINES
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    # A parabola over the day, coldest at midnight, with pseudo-random scatter.
    scatter = number * 7919 % 1000
    celsius = 1600 * number * (_BLOCK_LINES - number) // (_BLOCK_LINES * _BLOCK_LINES // 4) + scatter - 300
    humidity = 950 - 500 * number * (_BLOCK_LINES - number) // (_BLOCK_LINES * _BLOCK_LINES // 4) + scatter % 50
    station = _STATIONS[number % len(_STATIONS)]
    state = "ok" if scatter else "hi"
    sign = "-" if celsius < 0 else "+"
    return (
        f"{number * LINE_BYTES:016},0000-00-00T{clock}Z,{station},"
        f"{sign}{abs(celsius) // 100:02}.{abs(celsius) % 100:02},0.{humidity:03},{state}\n"
    ).encode()


def _block(number: int) -> bytes:
    """Return the bytes ``[number, number + 1) * BLOCK_BYTES``."""
    block = bytearray(_template())
    day = date.fromordinal(_FIRST_DAY + number % _CALENDAR_DAYS).isoformat()
    for column, text in ((0, f"{number:0{_HIGH_DIGITS}}"), (_DATE_COLUMN, day)):
        for place, character in enumerate(text.encode(), start=column):
            if character != ord("0"):
                block[place::LINE_BYTES] = bytes((character,)) * _BLOCK_LINES
    if number == 0:
        block[:LINE_BYTES] = HEADER
    return bytes(block)


def content(start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes ``[start, stop)`` of a sample, in pieces of at most ``BLOCK_BYTES``; ``stop`` <= 10 PB."""
    if not 0 <= start <= stop <= _LARGEST_BYTES:
        raise ValueError(f"the sample has no bytes [{start}, {stop})")
    while start < stop:
        number, skipped = divmod(start, BLOCK_BYTES)
        piece = _block(number)[skipped : skipped + stop - start]
        yield piece
        start += len(piece)


def verify(data: bytes, offset: int) -> bool:
    """Return whether ``data`` is what a sample has from byte ``offset`` on."""
    return b"".join(content(offset, offset + len(data))) == data


def find_difference(path: str | os.PathLike[str]) -> int | None:
    """Return the offset of the first piece of at most ``BLOCK_BYTES`` that differs from a sample; None if none does."""
    offset = 0
    with open(path, "rb", buffering=0) as file:
        while data := file.read(BLOCK_BYTES):
            if not verify(data, offset):
                return offset
            offset += len(data)
    return None


def whole_lines(size_bytes: int) -> int:
    """Return a size rounded up to whole lines, in bytes."""
    return -(-size_bytes // LINE_BYTES) * LINE_BYTES


def write_sample(
    path: str | os.PathLike[str], size_bytes: int, *, force: bool = False, wrote: Callable[[int], None] | None = None
) -> int:
    """Make a sample file of ``size_bytes``, rounded up to whole lines; return its size in bytes.

    ``wrote`` is called with the length of each piece written. The file appears under its name when it is complete. Any
    exception, such as KeyboardInterrupt or OSError for a full disk, leaves no file. Raises
    :class:`~freight.errors.ConfigurationError` if the file exists and ``force`` is False.
    """
    size_bytes = whole_lines(size_bytes)
    if not 0 < size_bytes <= _LARGEST_BYTES:
        raise ConfigurationError("a sample has from 1 byte to 10PB")
    path = os.path.realpath(path)
    _refuse_overwriting(path, force)
    directory = os.path.dirname(path)
    if shutil.disk_usage(directory).free < size_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    partial = os.path.join(directory, f".freight-{os.urandom(8).hex()}.part")
    try:
        # tempfile would set mode 0600, which a server of another user cannot read.
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            for piece in content(0, size_bytes):
                _write_all(fd, piece)
                if wrote is not None:
                    wrote(len(piece))
        finally:
            os.close(fd)
        _refuse_overwriting(path, force)
        os.replace(partial, path)
    except BaseException as error:
        _remove(partial)
        if isinstance(error, OSError):
            error.filename = path  # a failed write names no file, and the user does not know the partial one
        raise
    return size_bytes


def _refuse_overwriting(path: str, force: bool) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"{path}: not a regular file, so it is not replaced")
    if not force:
        raise ConfigurationError(f"{path}: exists; use --force to replace it")


def forget() -> None:
    """Free the cached template, which is one block."""
    _template.cache_clear()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
