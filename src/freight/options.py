"""The table of settings as parameters of a command: what click is told of each row, and what it has found of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from freight.config import CONFIG_OPTION, Given
from freight.kinds import Kind, Setting
from freight.settings import SETTINGS

ARGUMENTS = "\n\n".join(
    f"{setting.option}: {setting.help} [default: {setting.default}]"
    for setting in SETTINGS
    if setting.kind is Kind.PATH  # click has no place for an argument's manual entry
)

NOTATION = f"""A SIZE is 20MB (powers of 1000), 64MiB (powers of 1024) or a number of bytes; a RATE is a SIZE per
second, 10MB/s, or bits, 100Mbit/s. A TIME is 500ms, 30s, 2m or 1h. NETWORKS are 10.0.0.0/8,192.168.1.1: commas between
them, or the option again.

Each setting is also a variable of the environment and a key of the TOML file that {CONFIG_OPTION} names. The command
line comes before the environment, the environment before the file.

\b
  --max-wait 1m    FREIGHT_MAX_WAIT=1m    max-wait = "1m"
  --hidden         FREIGHT_HIDDEN=true    hidden = true
  --no-hidden      FREIGHT_HIDDEN=false   hidden = false"""


def parameters() -> list[click.Parameter]:
    """A parameter for each row of the table, and ``--config``. None is required, and none has a default.

    A default here would be the command line's word, and so come before the environment and the file.
    """
    config = click.Option(
        [CONFIG_OPTION],
        metavar="FILE",
        type=click.Path(),
        help="A TOML file of settings. Its keys are the names of the options. There is none unless it is named, here "
        "or by FREIGHT_CONFIG.",
    )
    return [*map(_parameter, SETTINGS), config]


def _parameter(setting: Setting) -> click.Parameter:
    """The option, or the argument, that a row describes."""
    key = _key(setting)
    if setting.kind is Kind.PATH:
        return click.Argument([key], required=False, metavar=f"[{setting.metavar}]", type=click.Path())
    if setting.kind is Kind.FLAG:
        return click.Option([f"{setting.option}/{setting.off_option}", key], default=None, help=setting.help)
    return click.Option(
        [setting.option, key],
        help=f"{setting.help}  [default: {setting.default}]",
        metavar=None if setting.choices else setting.metavar,
        type=_type(setting),
        multiple=setting.kind is Kind.NETWORKS,
    )


def _type(setting: Setting) -> click.ParamType[Any] | None:
    if setting.choices:
        return click.Choice(setting.choices)
    return click.Path() if setting.kind is Kind.FILE else None  # so that a shell completes it


def given(values: Mapping[str, Any]) -> dict[str, Given]:
    """What a command line says of each setting, by name, from what click has found by parameter."""
    return dict(_given(values))


def _given(values: Mapping[str, Any]) -> Iterator[tuple[str, Given]]:
    for setting in SETTINGS:
        value, option = values[_key(setting)], setting.option
        if value is None or value == ():
            continue
        if setting.kind is Kind.FLAG:
            text, option = setting.show(value), option if value else setting.off_option
        else:
            text = ",".join(value) if setting.kind is Kind.NETWORKS else value
        yield setting.name, Given(text, option, option)


def _key(setting: Setting) -> str:
    return setting.name.replace("-", "_")
