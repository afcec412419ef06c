"""``freight fleet haproxy``, ``caddy`` and so on: from flags and a file to a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from freight.fleet.description import LISTS, OPTIONS, read_description
from freight.fleet.engines import Engine
from freight.kinds import Kind, Setting

FAILED = 1


def configure(engine: Engine) -> click.Command:
    """The command that writes an engine's configuration."""
    options = [option for option in OPTIONS if option.name in engine.options]

    def run(described: str | None, out: str | None, checked: bool, **values: Any) -> int | None:
        from freight.fleet.files import from_file, write

        texts = {} if described is None else from_file(described)
        unasked = {} if "agent" in engine.options else {"agent": "none"}
        fleet = read_description(dict(engine.defaults) | texts | _given(options, values) | unasked)
        text = engine.write(fleet)
        if checked and not _check(engine, text):
            return FAILED
        if out is None or out == "-":
            click.echo(text, nl=False)
        else:
            write(Path(out), text)
        return None

    return click.Command(
        engine.name,
        callback=run,
        params=[*(_parameter(option, engine.defaults.get(option.name)) for option in options), *_common()],
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        short_help=engine.title,
        help=f"""{engine.title}

{engine.about}

If the engine's own checker ({engine.checker}) is installed, it checks the result before freight prints it; an error
that it reports is an error of this command.

The file of --from can set the same options, and those of the other engines, which are ignored. The command line
overrides it.""",
        epilog=f"""\b
Examples:
  freight fleet {engine.name} --nodes a:8080,b:8080
  freight fleet {engine.name} --from fleet.toml -o fleet{engine.suffix}""",
    )


def _common() -> list[click.Parameter]:
    return [
        click.Option(["--from", "described"], metavar="FILE", type=click.Path(), help="TOML file with these options."),
        click.Option(
            ["-o", "--out"], metavar="FILE", type=click.Path(), help="Write to this file, completely or not at all."
        ),
        click.Option(["--check/--no-check", "checked"], default=True, help="Let the engine check the result."),
    ]


def _parameter(option: Setting, default: str | None) -> click.Option:
    key = option.name.replace("-", "_")
    if option.kind is Kind.FLAG:
        return click.Option([f"{option.option}/{option.off_option}", key], default=None, help=option.help)
    return click.Option(
        [option.option, key],
        help=f"{option.help}  [{'required' if option.name == 'nodes' else f'default: {default or option.default}'}]",
        metavar=option.metavar,
        multiple=option.name in LISTS,
        type=click.Path() if option.kind is Kind.FILE else None,  # so that a shell completes it
    )


def _given(options: list[Setting], values: Mapping[str, Any]) -> dict[str, str]:
    """The options of the command line, as texts by option name."""
    found = ((option.name, values[option.name.replace("-", "_")]) for option in options)
    return {name: _text(value) for name, value in found if value not in (None, ())}


def _text(value: str | bool | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else value


def _check(engine: Engine, text: str) -> bool:
    """Whether the engine accepts the text, or is not installed; either is reported on standard error."""
    from freight.fleet.check import check

    verdict = check(engine.checkers, engine.suffix, text)
    if verdict.complaint:
        click.echo(f"freight: {engine.checker} does not accept it: {verdict.complaint}", err=True)
    elif verdict.by:
        click.echo(f"freight: checked by {verdict.by}", err=True)
    else:
        click.echo(f"freight: not checked: {engine.checker} is not installed", err=True)
    return not verdict.complaint
