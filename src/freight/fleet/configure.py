"""``freight fleet haproxy`` and its like on the command line: from flags and a file to a checked configuration."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from freight.errors import Unservable
from freight.fleet.description import LISTS, OPTIONS, read_description
from freight.fleet.engines import Engine
from freight.kinds import Kind, Setting

FAILED = 1
_FILE_BYTES_MAX = 1 << 20
_LISTED = LISTS | {"trusted-proxy"}


def configure(engine: Engine) -> click.Command:
    """The command that writes an engine's configuration."""
    options = [option for option in OPTIONS if option.name in engine.options]

    def run(described: str | None, out: str | None, checked: bool, **values: Any) -> int | None:
        texts = {} if described is None else from_file(described)
        fleet = read_description(texts | _given(options, values))
        text = engine.write(fleet)
        if checked and not _check(engine, text):
            return FAILED
        if out is None or out == "-":
            click.echo(text, nl=False)
        else:
            _write(Path(out), text)
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
        multiple=option.name in _LISTED,
        type=click.Path() if option.kind is Kind.FILE else None,  # so that a shell completes it
    )


def _given(options: list[Setting], values: Mapping[str, Any]) -> dict[str, str]:
    """What the command line says, as texts by option name."""
    texts = {}
    for option in options:
        value = values[option.name.replace("-", "_")]
        if value is not None and value != ():
            texts[option.name] = ",".join(value) if isinstance(value, tuple) else _text(option, value)
    return texts


def from_file(file: str) -> dict[str, str]:
    """The texts of a TOML file whose keys are names of options. Raises Unservable, OSError where it cannot be read."""
    with open(file, "rb") as opened:
        data = opened.read(_FILE_BYTES_MAX + 1)
    if len(data) > _FILE_BYTES_MAX:
        raise Unservable(f"{file}: is too long to be the description of a fleet")
    try:
        found = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise Unservable(f"{file}: is not TOML: {error}") from None
    known = {option.name: option for option in OPTIONS}
    texts = {}
    for name, value in found.items():
        if name not in known:
            raise Unservable(f"{file}: there is no option {name!r}; there are {', '.join(known)}")
        try:
            texts[name] = _text(known[name], value)
        except ValueError as error:
            raise Unservable(f"{file}: {name}: {error}") from None
    return texts


def _text(option: Setting, value: object) -> str:
    """A value of TOML, or a flag, as the text that the command line would be given. Raises ValueError."""
    match value:
        case str():
            return value
        case bool() if option.kind is Kind.FLAG:
            return "true" if value else "false"
        case int() if option.kind in (Kind.NUMBER, Kind.SIZE) and not isinstance(value, bool):
            return str(value)
        case list() if option.name in _LISTED and all(isinstance(each, str) for each in value):
            return ",".join(value) or "none"
    lists = " or an array of strings" if option.name in _LISTED else ""
    raise ValueError("must be true or false" if option.kind is Kind.FLAG else f"must be a string{lists}")


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


def _write(path: Path, text: str) -> None:
    """The file appears, or changes, when all of it is there: somebody may be reading it."""
    fd, made = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
