"""The table of settings as parameters of a command: what click is told of each row, and what it has found of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click
from click.formatting import HelpFormatter

from freight.config import CONFIG_OPTION, Given
from freight.kinds import Kind, Setting
from freight.settings import COMMON, GROUPS, SETTINGS

ARGUMENTS = "\n\n".join(
    f"{setting.option}: {setting.help} [default: {setting.default}]"
    for setting in SETTINGS
    if setting.kind is Kind.PATH  # click has no place for an argument's manual entry
)

NOTATION = f"""\b
Values:
  SIZE      20MB (powers of 1000), 64MiB (powers of 1024), or bytes
  RATE      10MB/s, or in bits 100Mbit/s
  TIME      500ms, 30s, 2m, 1h
  NETWORKS  10.0.0.0/8,192.168.1.1; the option may also be repeated

\b
Every option is also an environment variable and a key of the {CONFIG_OPTION} file:
  --max-wait 1m    FREIGHT_MAX_WAIT=1m    max-wait = "1m"
  --hidden         FREIGHT_HIDDEN=true    hidden = true
  --no-hidden      FREIGHT_HIDDEN=false   hidden = false
The command line comes before the environment, and that before the file.
The --no- form turns a flag off; for --no-length that is --length.

\b
Also understood:
  --bind, --listen, -b   --host
  --directory, -d        PATH"""

_OTHER = "Other"
_NAME_WIDTH = 25  # the longest that stands beside its text
_BLANK = "\x1f"  # a space at which no line is broken


class Command(click.Command):
    """A command whose options stand under the headings of their settings."""

    def format_options(self, ctx: click.Context, formatter: HelpFormatter) -> None:
        """Write the options, group by group, with the texts of all groups in one column.

        Not by :meth:`click.HelpFormatter.write_dl`, which breaks lines within the names of options.
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
    """An option's entry in the manual: its name, and its text beside that in a column."""
    from textwrap import wrap  # here, as a start does without it

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
    """An option that stands under a heading. ``shown`` is how the manual names it."""

    def __init__(self, names: list[str], *, group: str, shown: str, **more: Any) -> None:
        super().__init__(names, **more)
        self.group = group
        self._shown = shown

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """See :meth:`click.Option.get_help_record`."""
        record = super().get_help_record(ctx)
        return None if record is None else (self._shown, record[1])


def parameters() -> list[click.Parameter]:
    """Parameters for each row of the table, and ``--config``. None is required, and none has a default.

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
    """The option, or the argument, that a row describes."""
    key = _key(setting)
    if setting.kind is Kind.PATH:
        return click.Argument([key], required=False, metavar=f"[{setting.metavar}]", type=click.Path())
    if setting.kind is Kind.FLAG:
        names = [f"{setting.option}/{setting.off_option}", key]
        return Option(names, group=setting.group, shown=setting.option, default=None, help=setting.help)
    letter = [setting.short] if setting.short else []
    metavar = "|".join(setting.choices) or setting.metavar
    return Option(
        [*letter, setting.option, key],
        group=setting.group,
        shown=f"{', '.join([*letter, setting.option])} {metavar}",
        help=f"{setting.help} [default: {setting.default}]",
        metavar=metavar,
        type=_type(setting),
        multiple=setting.kind is Kind.NETWORKS,
    )


def _alias(setting: Setting, name: str) -> click.Option:
    """An option that other programs have for a row, hidden: an error about it can name it as it was written."""
    return click.Option([name, _alias_key(name)], hidden=True, metavar=setting.metavar, type=_type(setting))


def _type(setting: Setting) -> click.ParamType[Any] | None:
    if setting.choices:
        return click.Choice(setting.choices)
    return click.Path() if setting.kind in (Kind.FILE, Kind.PATH) else None  # so that a shell completes it


def given(values: Mapping[str, Any]) -> dict[str, Given]:
    """What a command line says of each setting, by name, from what click has found by parameter.

    Raises :class:`click.UsageError` where an option and one that means the same are both given.
    """
    return dict(_given(values))


def _given(values: Mapping[str, Any]) -> Iterator[tuple[str, Given]]:
    for setting in SETTINGS:
        found = [(setting.option, values[_key(setting)])]
        found += [(alias, values[_alias_key(alias)]) for alias in setting.aliases]
        found = [(option, value) for option, value in found if value is not None and value != ()]
        if len(found) > 1:
            raise click.UsageError(f"{found[1][0]}: means the same as {found[0][0]}; give only one of the two")
        for option, value in found:
            if setting.kind is Kind.FLAG:
                text, option = setting.show(value), option if value else setting.off_option
            else:
                text = ",".join(value) if setting.kind is Kind.NETWORKS else value
            yield setting.name, Given(text, option, option)


def _key(setting: Setting) -> str:
    return setting.name.replace("-", "_")


def _alias_key(name: str) -> str:
    return f"alias_{name.lstrip('-')}"
