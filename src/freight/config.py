"""Where settings come from: flags, before the environment, before a file, before the defaults of the table.

Each text is kept with its origin, so that a mistake can be found where it was made, and ``freight settings`` can show
who has the last word. The file is read anew by each call of :func:`gather`, the environment is what it is given.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from freight.errors import Unservable
from freight.kinds import Kind, Setting
from freight.settings import SETTINGS, Settings, read_settings

FILE_BYTES_MAX = 64 << 10
CONFIG_OPTION, CONFIG_VARIABLE = "--config", "FREIGHT_CONFIG"

_PREFIX = "FREIGHT_"
_BY_NAME = {setting.name: setting for setting in SETTINGS}

# What Kubernetes puts into FREIGHT_PORT and others for a service called freight. No setting reads such a text.
_SERVICE_LINKS = ("tcp://", "udp://", "sctp://")


@dataclass(frozen=True, slots=True)
class Given:
    """A setting's text, its origin (``--memory``, ``FREIGHT_MEMORY``, ``freight.toml:3``, ``default``), and what a
    complaint about it begins with: the origin, and the name where that does not say it.
    """

    text: str
    origin: str
    named: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """The settings, where each comes from (by name, all of them), and lines about what was passed over."""

    settings: Settings
    given: Mapping[str, Given]
    warnings: tuple[str, ...]


def gather(flags: Mapping[str, Given], environment: Mapping[str, str], config: str | None = None) -> Gathered:
    """What flags, environment and file say together. ``config`` is the file of ``--config``, else the environment's.

    Raises Unservable, with one line that names the origin, for whatever is wrong.
    """
    named = CONFIG_VARIABLE if config is None else CONFIG_OPTION
    file = environment.get(CONFIG_VARIABLE) if config is None else config
    defaults = {setting.name: Given(setting.default, "default", setting.name) for setting in SETTINGS}
    from_file = {} if file is None else _from_file(file, named)
    from_environment, warnings = _from_environment(environment)
    given = defaults | from_file | from_environment | dict(flags)
    settings = read_settings(
        {name: one.text for name, one in given.items()}, {name: one.named for name, one in given.items()}
    )
    return Gathered(settings, given, warnings)


def reload(running: Settings, fresh: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings from now on, and the names of those that differ but need a restart.

    What is live is taken from ``fresh``, all else stays as it runs.
    """
    live = {setting.field: getattr(fresh, setting.field) for setting in SETTINGS if setting.live}
    fixed = (setting for setting in SETTINGS if not setting.live)
    waiting = (each.name for each in fixed if getattr(running, each.field) != getattr(fresh, each.field))
    return replace(running, **live), tuple(waiting)


def _from_environment(environment: Mapping[str, str]) -> tuple[dict[str, Given], tuple[str, ...]]:
    """The texts of ``FREIGHT_*``, and a line for each variable that is not ours: others may have set it."""
    by_variable = {setting.variable: setting for setting in SETTINGS}
    given, warnings = {}, []
    for variable in sorted(environment):
        text, setting = environment[variable], by_variable.get(variable)
        if setting is not None and not text.startswith(_SERVICE_LINKS):
            given[setting.name] = Given(text, variable, variable)
        elif setting is not None:
            warnings.append(f"{variable}: is passed over, as it links to a service")
        elif variable.startswith(_PREFIX) and variable != CONFIG_VARIABLE:
            hint = _closest(variable.removeprefix(_PREFIX).lower().replace("_", "-"))
            meant = f"; did you mean {_BY_NAME[hint].variable}?" if hint else ""
            warnings.append(f"{variable}: is passed over, as there is no such setting{meant}")
    return given, tuple(warnings)


def _closest(name: str) -> str | None:
    """The setting whose name is most like this one, if any is."""
    from difflib import get_close_matches  # here, as a start without mistakes does without it

    return next(iter(get_close_matches(name, _BY_NAME, n=1)), None)


def _from_file(file: str, named: str) -> dict[str, Given]:
    """The texts of a TOML file whose top-level keys are names of settings."""
    toml = _read(file, named)
    given = {}
    # Only what is refused takes more statements than keys, or other than in their order: a table, a dotted key.
    for (name, value), line in zip(_parsed(file, toml).items(), _statement_lines(toml), strict=False):
        origin = f"{file}:{line}"
        setting = _BY_NAME.get(name)
        if setting is None:
            hint = _closest(name)
            meant = f"; did you mean {hint}?" if hint else ""
            raise Unservable(f"{origin}: there is no setting {name!r}{meant}")
        try:
            given[name] = Given(_text(setting, value), origin, f"{origin}: {name}")
        except ValueError as error:
            raise Unservable(f"{origin}: {name}: {error}") from None
    return given


def _read(file: str, named: str) -> str:
    """A file's text. Only a regular file: it must be there again when it is read anew, and a FIFO would keep us."""
    if not file:
        raise Unservable(f"{named}: must not be empty")
    try:
        with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
            regular = stat.S_ISREG(os.fstat(opened.fileno()).st_mode)
            data = opened.read(FILE_BYTES_MAX + 1) if regular else b""
    except OSError as error:
        raise Unservable(f"{named}: cannot read {file}: {error.strerror}") from None
    if not regular:
        raise Unservable(f"{named}: {file} is not a regular file")
    if len(data) > FILE_BYTES_MAX:
        raise Unservable(f"{named}: {file} is longer than {FILE_BYTES_MAX >> 10}KiB, so not a file of settings")
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unservable(f"{file}:{line}: is not UTF-8") from None


def _parsed(file: str, toml: str) -> dict[str, Any]:
    import tomllib  # here, as most servers have no file

    try:
        return tomllib.loads(toml)
    except RecursionError:
        raise Unservable(f"{file}: is nested too deeply") from None
    except ValueError as error:  # tomllib's own is one, and so is that of a number with too many digits
        at = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        if at is None:
            raise Unservable(f"{file}: is not TOML: a number is too long") from None
        line = at[2] or toml.count("\n") + 1
        raise Unservable(f"{file}:{line}: is not TOML: {at[1][:1].lower()}{at[1][1:]}") from None


# Strings come first: what looks like a comment, a bracket or a line's end in one is none.
_TOKEN = (
    r'"""(?:\\.|[^\\])*?"""(?:""?)?'
    r"|'''.*?'''(?:''?)?"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
    r"|#[^\n]*|\n|[^\s]"
)


def _statement_lines(toml: str) -> Iterator[int]:
    """The line (from 1) of each statement at the top level of what tomllib has found to be TOML: it keeps none."""
    line, depth, begun = 1, 0, False
    for token in re.findall(_TOKEN, toml, re.DOTALL):
        if token == "\n" and not depth:
            begun = False
        elif not begun and not token.startswith(("#", "\n")):
            begun = True
            yield line
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        line += token.count("\n")


def _text(setting: Setting, value: object) -> str:
    """A TOML value as the text that the command line would be given. Raises ValueError with a sentence."""
    match value:
        case str():
            return value
        case bool() if setting.kind is Kind.FLAG:
            return "true" if value else "false"
        case int() if setting.kind in _NUMBERS and not isinstance(value, bool):
            if value.bit_length() > _TOML_INTEGER_BITS:
                raise ValueError("is too large a number")
            return str(value)
        case list() if setting.kind is Kind.NETWORKS and all(isinstance(part, str) for part in value):
            return ",".join(value) or setting.show(())
    wanted = {Kind.FLAG: "true or false", Kind.NETWORKS: "a string, or an array of strings"}.get(setting.kind)
    if wanted is None:
        wanted = "a number or a string" if setting.kind in _NUMBERS else "a string"
    raise ValueError(f"must be {wanted}, not {_TYPES.get(type(value).__name__, 'a date or time')}")


_TOML_INTEGER_BITS = 63  # and a sign: what TOML asks of a reader, while Python's takes any
_NUMBERS = {Kind.NUMBER, Kind.SIZE, Kind.RATE, Kind.TIME}
_TYPES = {"bool": "true or false", "int": "a number", "float": "a fraction", "list": "an array", "dict": "a table"}
