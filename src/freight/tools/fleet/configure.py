"""``freight fleet haproxy``, ``caddy`` and so on: flags and a file become a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from freight.config.types import Setting, SettingType
from freight.tools.fleet.engines import Engine
from freight.tools.fleet.fleet_options import read_options
from freight.tools.fleet.options import LISTS, OPTIONS

FAILED = 1


def configure(engine: Engine) -> click.Command:
    """Return the command that writes an engine's configuration."""
    options = [option for option in OPTIONS if option.name in engine.options]

    def run(described: str | None, out: str | None, checked: bool, **values: Any) -> int | None:
        from freight.tools.fleet.files import read_fleet_file, write_file

        texts = {} if described is None else read_fleet_file(described)
        without_agent = {} if "haproxy-agent" in engine.options else {"haproxy-agent": "none"}
        fleet = read_options(dict(engine.defaults) | texts | _given(options, values) | without_agent)
        text = engine.write(fleet)
        if checked and not _check(engine, text):
            return FAILED
        if out is None or out == "-":
            click.echo(text, nl=False)
        else:
            write_file(Path(out), text)
        return None

    return click.Command(
        engine.name,
        callback=run,
        params=[*(_parameter(option, engine.defaults.get(option.name)) for option in options), *_common()],
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        short_help=engine.title,
        help=f"""{engine.title}

{engine.about}

If the engine's own checker ({engine.checker}) is installed, it checks the result before freight prints it. If it
reports an error, this command fails.

The file of --from can set these options. Options of other engines in it are ignored. The command line overrides it.""",
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
        click.Option(
            ["--check/--no-check", "checked"],
            default=True,
            help="Check the result with the engine, if it is installed.",
        ),
    ]


def _parameter(option: Setting, default: str | None) -> click.Option:
    key = option.name.replace("-", "_")
    if option.kind is SettingType.FLAG:
        return click.Option([f"{option.option}/{option.off_option}", key], default=None, help=option.help)
    return click.Option(
        [option.option, key],
        help=f"{option.help}  [{'required' if option.name == 'nodes' else f'default: {default or option.default}'}]",
        metavar=option.metavar,
        multiple=option.name in LISTS,
        type=click.Path() if option.kind is SettingType.FILE else None,  # so that a shell completes it
    )


def _given(options: list[Setting], values: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of the command line, as texts by option name."""
    found = ((option.name, values[option.name.replace("-", "_")]) for option in options)
    return {name: _text(value) for name, value in found if value not in (None, ())}


def _text(value: str | bool | tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else value


def _check(engine: Engine, text: str) -> bool:
    """Return whether the engine accepts the text or is not installed; report it on standard error."""
    from freight.tools.fleet.check import check

    result = check(engine.checkers, engine.suffix, text)
    if result.error:
        click.echo(f"freight: {engine.checker} does not accept it: {result.error}", err=True)
    elif result.checker:
        click.echo(f"freight: checked by {result.checker}", err=True)
    else:
        click.echo(f"freight: not checked: {engine.checker} is not installed", err=True)
    return not result.error
