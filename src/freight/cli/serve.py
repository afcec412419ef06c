"""``freight serve``. The server is imported when it starts."""

from __future__ import annotations

import os
from typing import Any

import click

from freight.cli.output import CONTEXT, DONE, complain
from freight.cli.params import ARGUMENTS, NOTATION, Command, Option, parameters, resolver
from freight.cli.start_up import asyncio_without_ssl
from freight.config.load import ResolvedSettings, SettingValue
from freight.config.table import COMMON
from freight.errors import ConfigurationError

_SAMPLE_OPTION = "--sample"


def _serve(sample_file: str | None, **values: Any) -> int:
    resolve = resolver(values, _default_path(sample_file))
    resolved = resolve()
    if resolved.values["path"].origin == _SAMPLE_OPTION:
        _make_missing_sample(resolved)
    if resolved.settings.users is not None:
        from freight.tools.extras import require

        require("bcrypt", "--users")
    with asyncio_without_ssl():
        from freight.app import run
    try:
        return run(resolved.settings, resolved.warnings, resolve)
    except ConfigurationError as error:
        message = resolved.explain(error)
        if error.setting == "path" and isinstance(error.__cause__, FileNotFoundError):
            message += f"; {_advice(sample_file)}"
        raise ConfigurationError(message) from None


def _default_path(sample_file: str | None) -> dict[str, SettingValue]:
    if sample_file is None:
        return {}
    return {"path": SettingValue(_shortest(sample_file), _SAMPLE_OPTION, _SAMPLE_OPTION)}


def _make_missing_sample(resolved: ResolvedSettings) -> None:
    """Make the sample if it is missing, after everything else has been checked."""
    path = resolved.values["path"].text
    if os.path.lexists(path):
        return
    with asyncio_without_ssl():
        from freight.cli.check import find_problems
    from freight.cli.make_sample import SAMPLE_BYTES, make

    for problem in find_problems(resolved.settings):
        if problem.setting != "path":
            raise ConfigurationError(resolved.explain(problem))
    complain(f"making {path}, 1 GB, to serve (only the first time)", DONE)
    make(path, SAMPLE_BYTES)


def _shortest(path: str) -> str:
    """Return the path relative to the working directory if it is beneath it, otherwise absolute."""
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.startswith("..") else relative


def _advice(sample_file: str | None) -> str:
    """Return what to do about a missing PATH."""
    if sample_file is not None:
        return f"without a PATH, {os.path.basename(sample_file)} (1 GB) is made and served"
    return '"freight make-sample sample.csv" makes a file to try freight with'


serve = Command(
    "serve",
    callback=_serve,
    params=[
        *parameters(),
        Option(
            [_SAMPLE_OPTION, "sample_file"],
            group=COMMON,
            shown=f"{_SAMPLE_OPTION} FILE",
            metavar="FILE",
            type=click.Path(),
            help="Serve FILE when no PATH is given, and make it first (a sample of 1 GB) if it is missing.",
        ),
    ],
    context_settings=CONTEXT,
    short_help="Serve a file or a directory over HTTP.",
    help=f"""Serve a file or a directory over HTTP.

{ARGUMENTS}

The addresses are printed on standard output. The log, a line for each finished request, goes to standard error.

The server starts Python a second time, with PYTHONMALLOC=malloc, to return unused memory to the system. Set
PYTHONMALLOC yourself to prevent that, for a debugger or a profiler.
""",
    epilog=f"""\b
Signals:
  Ctrl-C, SIGTERM  finish downloads within --shutdown-timeout, then stop; a
                   second one stops at once
  SIGHUP           reload the --config file, the certificate, users, tokens;
                   stop, if the terminal was closed and there is no --config
                   file
  SIGUSR2          upgrade: start this command again and hand over to it

{NOTATION}

\b
Examples:
  freight serve huge.csv
  freight serve /data --host 0.0.0.0 --port 80 --memory 256MiB
  freight serve . --port 0 --log-format json
  freight serve --config /etc/freight.toml""",
)
