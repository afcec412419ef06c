"""``freight fleet haproxy`` and its like on the command line: from flags and a file to a checked configuration."""

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
        fleet = read_description(texts | _given(options, values) | unasked)
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
        params=[*map(_parameter, options), *_common()],
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        short_help=engine.title,
        help=f"""{engine.title}

{engine.about}

The engine's own checker reads what was written before it is printed, where that is installed: {engine.checker}.
Its complaint is an error.

A file of --from has the same options as keys, those of other engines too; the command line comes before it.""",
        epilog=f"""\b
Examples:
  freight fleet {engine.name} --nodes a:8080,b:8080
  freight fleet {engine.name} --from fleet.toml -o fleet{engine.suffix}""",
    )


def _common() -> list[click.Parameter]:
    return [
        click.Option(["--from", "described"], metavar="FILE", type=click.Path(), help="A TOML file of these options."),
        click.Option(["-o", "--out"], metavar="FILE", type=click.Path(), help="Write there, whole or not at all."),
        click.Option(["--check/--no-check", "checked"], default=True, help="Whether the engine is asked what it says."),
    ]


def _parameter(option: Setting) -> click.Option:
    key = option.name.replace("-", "_")
    if option.kind is Kind.FLAG:
        return click.Option([f"{option.option}/{option.off_option}", key], default=None, help=option.help)
    return click.Option(
        [option.option, key],
        help=f"{option.help}  [default: {option.default}]",
        metavar=option.metavar,
        multiple=option.name in LISTS,
        type=click.Path() if option.kind is Kind.FILE else None,  # so that a shell completes it
    )


def _given(options: list[Setting], values: Mapping[str, Any]) -> dict[str, str]:
    """What the command line says, as texts by option name."""
    found = ((option.name, values[option.name.replace("-", "_")]) for option in options)
    return {name: _text(value) for name, value in found if value not in (None, ())}


def _text(value: str | bool | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else value


def _check(engine: Engine, text: str) -> bool:
    """Whether the engine has nothing against it. What it says, or that it is not there, is said on standard error."""
    from freight.fleet.check import check

    verdict = check(engine.checkers, engine.suffix, text)
    if verdict.complaint:
        click.echo(f"freight: {engine.checker} does not accept it: {verdict.complaint}", err=True)
    elif verdict.by:
        click.echo(f"freight: checked by {verdict.by}", err=True)
    else:
        click.echo(f"freight: not checked, as {engine.checker} is not installed here", err=True)
    return not verdict.complaint
