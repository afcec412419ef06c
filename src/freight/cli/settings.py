"""``freight settings``: show the settings of a server, or check them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from freight.cli.output import CONTEXT, DONE, MISUSED, complain
from freight.cli.params import ARGUMENTS, NOTATION, Command, given, parameters, resolver
from freight.config.load import ResolvedSettings, examine
from freight.config.table import SETTINGS

_WIDTH, _VALUE_WIDTH = 80, 30


def _settings(as_json: bool, check: bool, **values: Any) -> int:
    if check:
        return _check(values)
    resolved = resolver(values)()
    _warn(resolved.warnings)
    rows = dict(_rows(resolved))
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo("\n".join(_columns(rows)))
    return DONE


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        click.echo(f"freight: {warning}", err=True)


def _check(values: Mapping[str, Any]) -> int:
    """Print every problem, a line each, or "ok"."""
    from freight.cli.check import find_problems
    from freight.server.binding import is_in_use

    resolved, warnings, errors = examine(given(values), os.environ, values["config"])
    _warn(warnings)
    if resolved is not None:
        errors += [resolved.explain(each) for each in find_problems(resolved.settings) if not is_in_use(each)]
    for error in errors:
        complain(error, MISUSED)
    if errors:
        return MISUSED
    click.echo("ok")
    return DONE


def _rows(resolved: ResolvedSettings) -> Iterator[tuple[str, dict[str, Any]]]:
    for setting in SETTINGS:
        yield (
            setting.name,
            {
                "value": setting.show(getattr(resolved.settings, setting.field)),
                "origin": resolved.values[setting.name].origin,
                "live": setting.live,
                "help": setting.help,
            },
        )


def _columns(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield name, value and origin in columns, and the meaning below, within 80 columns unless a value is longer."""
    from textwrap import fill

    values = {name: row["value"] if row["value"].isprintable() else repr(row["value"]) for name, row in rows.items()}
    name_width, value_width = max(map(len, values)), min(_VALUE_WIDTH, max(map(len, values.values())))
    indent = " " * 4
    for name, row in rows.items():
        yield f"{name:{name_width}}  {values[name]:{value_width}}  {row['origin']}"
        yield fill(row["help"], _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


settings = Command(
    "settings",
    callback=_settings,
    params=[
        *parameters(),
        click.Option(["--check"], is_flag=True, help='Find everything that "freight serve" would refuse.'),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the settings as a JSON object."),
    ],
    context_settings=CONTEXT,
    short_help="Show the settings and where each comes from, or check them.",
    help=f"""Show the settings that "freight serve" would have with the same options: each with its value, where the
value comes from, and what it means. Nothing is served.

With --check, print everything that "freight serve" would refuse, one line each, with status 2; or "ok". That includes a
missing PATH or certificate, too little memory, addresses that this machine does not have, and wrong values in the file
that another place overrides. Whether ports are free is not checked.

{ARGUMENTS}""",
    epilog=f"""{NOTATION}

\b
Examples:
  freight settings --config /etc/freight.toml
  freight settings --check --config /etc/freight.toml
  FREIGHT_MEMORY=20MB freight settings --json""",
)
