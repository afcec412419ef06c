"""``freight make-sample``, and the sample of ``freight serve --sample``. The writer is imported when it runs."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext
from types import FrameType
from typing import NoReturn

import click

from freight.cli.output import CONTEXT, DONE, FAILED, SIGNALLED, complain
from freight.errors import ConfigurationError
from freight.units import brief_size, parse_size

SAMPLE_BYTES = 1_000_000_000


@click.command(
    "make-sample",
    context_settings=CONTEXT,
    short_help="Make a file of any size to try downloads with.",
    epilog="""\b
Examples:
  freight make-sample huge.csv --size 10GB
  freight make-sample huge.csv --check""",
)
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("--size", metavar="SIZE", default="1GB", show_default=True, help="Its size, rounded up to whole lines.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option(
    "--check", is_flag=True, help="Make nothing; check that FILE is an undamaged sample, or the start of one."
)
def make_sample(file: str, size: str, force: bool, check: bool) -> int:
    """Make a CSV file of any size to try downloads with.

    Every line is 64 bytes and begins with its own offset, so any range of the file can be verified. FILE appears when
    it is complete; an interrupted run leaves nothing.
    """
    if check:
        return _check(file)
    try:
        size_bytes = parse_size(size)
    except ValueError as error:
        raise ConfigurationError(f"--size: {error}") from None
    lines = make(file, size_bytes, force)
    click.echo(f"{file}: {brief_size(os.stat(file).st_size)}, {lines:,} lines")
    return DONE


def make(file: str, size_bytes: int, force: bool = False) -> int:
    """Make a sample, with a progress bar on a terminal, and return its number of lines.

    SIGTERM and Ctrl-C remove the unfinished file.
    """
    from freight.tools.sample import LINE_BYTES, forget, whole_lines, write_sample

    before = signal.signal(signal.SIGTERM, _end)  # the default would leave the unfinished file
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
    sys.exit(SIGNALLED + number)


def _check(file: str) -> int:
    from freight.tools.sample import BLOCK_BYTES, find_difference

    offset = find_difference(file)
    if offset is None:
        click.echo(f"{file}: undamaged, {os.stat(file).st_size:,} bytes")
        return DONE
    where = f"in the {BLOCK_BYTES:,} bytes from offset {offset:,}"
    return complain(f"{file}: not a freight sample, or damaged {where}", FAILED)
