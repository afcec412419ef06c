"""The table of settings as parameters of a command, and the settings that its parameters yield."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from click.formatting import HelpFormatter

from freight.config.load import CONFIG_OPTION, ResolvedSettings, SettingValue, resolve
from freight.config.table import COMMON, GROUPS, SETTINGS
from freight.config.types import Setting, SettingType

ARGUMENTS = "\n\n".join(
    f"{setting.option}: {setting.help} [default: {setting.default}]"
    for setting in SETTINGS
    if setting.kind is SettingType.PATH  # click has no place for an argument's manual entry
)

NOTATION = f"""\b
Values:
  SIZE      20MB (powers of 1000), 64MiB (powers of 1024), or bytes
  RATE      10MB/s, or in bits 100Mbit/s
  TIME      500ms, 30s, 2m, 1h
  ADDRESSES 127.0.0.1,::1; the option may also be repeated
  NETWORKS  10.0.0.0/8,192.168.1.1; the option may also be repeated
  NAMES     freight,freight.default.svc; the option may also be repeated
  ORIGINS   https://maps.example; the option may also be repeated
  DIRECTORY /srv/shared:/srv/pool; the option may also be repeated
  HEADER    'Name: value'; the option may also be repeated
  /POINT=   /data=/srv/data; the option may also be repeated

\b
Every option is also an environment variable and a key of the {CONFIG_OPTION} file:
  --queue-timeout 1m   FREIGHT_QUEUE_TIMEOUT=1m    queue-timeout = "1m"
  --show-hidden        FREIGHT_SHOW_HIDDEN=true    show-hidden = true
  --no-show-hidden     FREIGHT_SHOW_HIDDEN=false   show-hidden = false
The command line comes before the environment, and that before the file.
The --no- form turns a flag off.

\b
Also understood:
  --bind, --listen, -b   --host
  --directory, -d        PATH"""

_OTHER = "Other"
_PATHS = {SettingType.PATH, SettingType.FILE, SettingType.DIRECTORIES}
_NAME_WIDTH = 25  # a longer name has its text on the next line
_BLANK = "\x1f"  # a space without a line break


class Command(click.Command):
    """A command whose help lists its options under the headings of their settings."""

    def format_options(self, ctx: click.Context, formatter: HelpFormatter) -> None:
        """Write the options by group, with the texts of all groups in one column.

        :meth:`click.HelpFormatter.write_dl` would break lines within the names of options.
        """
        rows: dict[str, list[tuple[str, str]]] = {group: [] for group in (*GROUPS, _OTHER)}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                rows[parameter.group if isinstance(parameter, Option) else _OTHER].append(record)
        for group, records in rows.items():
            if records:
                with formatter.section(group):
                    for name, text in records:
                        formatter.write(_entry(name, text, formatter.width, formatter.current_indent))


def _entry(name: str, text: str, width: int, indent: int) -> str:
    """Return an option's entry in the manual: its name, and its text in a column."""
    from textwrap import wrap  # here, because a server does not need it

    start = " " * (indent + _NAME_WIDTH + 2)
    lines = wrap(
        text.replace("[default: ", f"[default:{_BLANK}"),
        max(20, width - len(start)),
        break_on_hyphens=False,
        break_long_words=False,
    )
    beside = f"{' ' * indent}{name:{_NAME_WIDTH}}  " if len(name) <= _NAME_WIDTH else f"{' ' * indent}{name}\n{start}"
    return beside + f"\n{start}".join(lines).replace(_BLANK, " ") + "\n"


class Option(click.Option):
    """An option with a heading. ``shown`` is its name in the manual."""

    def __init__(self, names: list[str], *, group: str, shown: str, **more: Any) -> None:
        super().__init__(names, **more)
        self.group = group
        self._shown = shown

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return None if record is None else (self._shown, record[1])


def parameters() -> list[click.Parameter]:
    """Return a parameter for each setting, and ``--config``. None is required, and none has a default.

    A default here would count as given on the command line, and so come before the environment and the file.
    """
    config = Option(
        [CONFIG_OPTION],
        group=COMMON,
        shown=f"{CONFIG_OPTION} FILE",
        metavar="FILE",
        type=click.Path(),
        help="TOML file of settings; its keys are the names of the options. FREIGHT_CONFIG names it too.",
    )
    aliases = [_alias(setting, alias) for setting in SETTINGS for alias in setting.aliases]
    return [*map(_parameter, SETTINGS), *aliases, config]


def _parameter(setting: Setting) -> click.Parameter:
    key = _key(setting)
    if setting.kind is SettingType.PATH:
        return click.Argument([key], required=False, metavar=f"[{setting.metavar}]", type=click.Path())
    if setting.kind is SettingType.FLAG:
        names = [f"{setting.option}/{setting.off_option}", key]
        text = f"{setting.help} [default: on]" if setting.default == "true" else setting.help
        return Option(names, group=setting.group, shown=setting.option, default=None, help=text)
    letter = [setting.short] if setting.short else []
    metavar = "|".join(setting.choices) or setting.metavar
    return Option(
        [*letter, setting.option, key],
        group=setting.group,
        shown=f"{', '.join([*letter, setting.option])} {metavar}",
        help=f"{setting.help} [default: {setting.default}]",
        metavar=metavar,
        type=_type(setting),
        multiple=bool(setting.separator),
    )


def _alias(setting: Setting, name: str) -> click.Option:
    """Return a hidden option with the name that other programs use, so that an error names it as it was written."""
    names = [name, _alias_key(name)]
    return click.Option(
        names, hidden=True, metavar=setting.metavar, type=_type(setting), multiple=bool(setting.separator)
    )


def _type(setting: Setting) -> click.ParamType[Any] | None:
    """Return a type only where a shell can complete it."""
    if setting.choices:
        return click.Choice(setting.choices)
    return click.Path() if setting.kind in _PATHS else None


def given(values: Mapping[str, Any]) -> dict[str, SettingValue]:
    """Return the settings that a command line gives, by name, from the values that click found for its parameters.

    Raise :class:`click.UsageError` if an option and an alias of it are both given.
    """
    return dict(_given(values))


def resolver(
    values: Mapping[str, Any], fallback: Mapping[str, SettingValue] | None = None
) -> Callable[[], ResolvedSettings]:
    """Return a function that resolves the settings of a command line, at the start and at each reload."""
    flags, config = given(values), values["config"]
    return lambda: resolve(flags, os.environ, config, fallback)


def _given(values: Mapping[str, Any]) -> Iterator[tuple[str, SettingValue]]:
    for setting in SETTINGS:
        found = [(setting.option, values[_key(setting)])]
        found += [(alias, values[_alias_key(alias)]) for alias in setting.aliases]
        found = [(option, value) for option, value in found if value is not None and value != ()]
        if len(found) > 1:
            raise click.UsageError(f"{found[1][0]}: means the same as {found[0][0]}; give only one of the two")
        for option, value in found:
            if setting.kind is SettingType.FLAG:
                text, option = setting.show(value), option if value else setting.off_option
            else:
                text = setting.separator.join(value) if setting.separator else value
            yield setting.name, SettingValue(text, option, option)


def _key(setting: Setting) -> str:
    return setting.name.replace("-", "_")


def _alias_key(name: str) -> str:
    return f"alias_{name.lstrip('-')}"
