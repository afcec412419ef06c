"""Exit statuses, and the one line on standard error that explains a failure."""

from __future__ import annotations

import os

import click

from freight.runtime import standard_streams

DONE, FAILED, MISUSED = 0, 1, 2
SIGNALLED = 128
"""Added to the number of the signal that ended a command, as shells do."""

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""The context settings of each command."""


def complain(message: str, status: int) -> int:
    """Print a message as one line on standard error, and return the status."""
    try:
        click.echo(f"freight: {' '.join(message.split())}", err=True)
    except OSError:  # standard error cannot be written; the status remains
        standard_streams.redirect_to_null(standard_streams.STDERR)
    return status


def os_error_text(error: OSError) -> str:
    """Return what failed, with the file's name if there is one."""
    why = error.strerror or type(error).__name__
    return why if error.filename is None else f"{os.fsdecode(error.filename)}: {why}"
