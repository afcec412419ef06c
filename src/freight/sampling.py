"""``freight sample``, and the sample that ``freight serve --sample`` makes. What writes it is loaded when needed."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext
from types import FrameType
from typing import NoReturn

import click

from freight.errors import Unservable
from freight.quantities import brief_size, parse_size

DONE, DAMAGED = 0, 1
SAMPLE_BYTES = 1_000_000_000
_SIGNALLED = 128  # a shell's convention: 128 + the number of the signal that ended the command


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Make a file of any size to try downloads with.",
    epilog="""\b
Examples:
  freight sample huge.csv --size 10GB
  freight sample huge.csv --check""",
)
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--size", metavar="SIZE", default="1GB", show_default=True, help="Its size, rounded up to whole lines.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option(
    "--check", is_flag=True, help="Make nothing; check that FILE is an undamaged sample, or the start of one."
)
def sample(file: str, size: str, force: bool, check: bool) -> int:
    """Make a CSV file of any size to try downloads with.

    Every line is 64 bytes and begins with its own offset, so any range of the file proves itself. FILE appears when it
    is complete; nothing is left of a run that was interrupted.
    """
    if check:
        return _check(file)
    try:
        size_bytes = parse_size(size)
    except ValueError as error:
        raise Unservable(f"--size: {error}") from None
    lines = make(file, size_bytes, force)
    click.echo(f"{file}: {brief_size(os.stat(file).st_size)}, {lines:,} lines")
    return DONE


def make(file: str, size_bytes: int, force: bool = False) -> int:
    """Make a sample, with a progress bar on a terminal; how many lines it has.

    SIGTERM and Ctrl-C leave nothing behind.
    """
    from freight.sample import LINE_BYTES, forget, whole_lines, write_sample

    before = signal.signal(signal.SIGTERM, _end)  # by default it would end us before the unfinished file is removed
    try:
        size_bytes = whole_lines(size_bytes)
        if sys.stderr.isatty():
            label = f"making {os.path.basename(file)}, {brief_size(size_bytes)}"
            bar = click.progressbar(length=size_bytes, label=label, file=sys.stderr, update_min_steps=size_bytes // 200)
        else:
            bar = None
        with nullcontext() if bar is None else bar:
            write_sample(file, size_bytes, force=force, wrote=None if bar is None else bar.update)
    finally:
        signal.signal(signal.SIGTERM, before)
        forget()
    return size_bytes // LINE_BYTES


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(_SIGNALLED + number)


def _check(file: str) -> int:
    from freight.sample import BLOCK_BYTES, find_difference

    offset = find_difference(file)
    if offset is None:
        click.echo(f"{file}: undamaged, {os.stat(file).st_size:,} bytes")
        return DONE
    where = f"in the {BLOCK_BYTES:,} bytes from offset {offset:,}"
    click.echo(f"freight: {file}: not a freight sample, or damaged {where}", err=True)
    return DAMAGED
