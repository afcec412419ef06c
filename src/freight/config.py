"""Where settings come from: flags, before the environment, before a file, before the defaults of the table.

Each text is kept with its origin, so that an error names the place where the mistake was made, and ``freight settings``
shows which place decides. :func:`gather` reads the file again at each call; the environment is what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from freight.errors import Unservable
from freight.kinds import Kind, Setting
from freight.regular import read_regular
from freight.settings import SETTINGS, Settings, conflicts, read_settings

FILE_BYTES_MAX = 64 << 10
CONFIG_OPTION, CONFIG_VARIABLE = "--config", "FREIGHT_CONFIG"

_PREFIX = "FREIGHT_"
_BY_NAME = {setting.name: setting for setting in SETTINGS}

# What Kubernetes puts into FREIGHT_PORT and others for a service called freight. No setting reads such a text.
_SERVICE_LINKS = ("tcp://", "udp://", "sctp://")


@dataclass(frozen=True, slots=True)
class Given:
    """A setting's text, its origin (``--memory``, ``FREIGHT_MEMORY``, ``freight.toml:3``, ``default``), and what an
    error about it begins with: the origin, and the name where that does not say it.
    """

    text: str
    origin: str
    named: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """The settings, where each comes from (by name, all of them), warnings about what was ignored, and the file of
    settings, if there is one.
    """

    settings: Settings
    given: Mapping[str, Given]
    warnings: tuple[str, ...]
    file: str | None = None

    def explain(self, error: Unservable) -> str:
        """What the error says, with the place where its setting was given in front."""
        given = self.given.get(error.setting)
        return str(error) if given is None else f"{given.named}: {error.why}"


def gather(
    flags: Mapping[str, Given],
    environment: Mapping[str, str],
    config: str | None = None,
    fallback: Mapping[str, Given] | None = None,
) -> Gathered:
    """What flags, environment and file say together. ``config`` is the file of ``--config``, else the environment's;
    ``fallback`` comes before the defaults of the table only.

    Raises Unservable, with one line that names the origin, for whatever is wrong.
    """
    file, layers, warnings, errors = _layers(flags, environment, config, fallback or {})
    for error in errors:
        raise Unservable(error)
    given = {name: one for layer in layers for name, one in layer.items()}
    settings = read_settings(
        {name: one.text for name, one in given.items()}, {name: one.named for name, one in given.items()}
    )
    return Gathered(settings, given, warnings, file)


def examine(
    flags: Mapping[str, Given], environment: Mapping[str, str], config: str | None = None
) -> tuple[Gathered | None, tuple[str, ...], list[str]]:
    """What :func:`gather` would give (None where it would raise), its warnings, and all errors, a line each.

    A value that does not count, because another place has the same setting and comes first, must make sense too.
    """
    file, layers, warnings, errors = _layers(flags, environment, config, {})
    given = {name: one for layer in layers for name, one in layer.items()}
    for layer in layers:
        errors += _unreadable(layer.items())
    if any(_unreadable(given.items())):
        return None, warnings, errors
    values: dict[str, Any] = {setting.field: setting.read(given[setting.name].text) for setting in SETTINGS}
    settings = Settings(**values)
    against = list(conflicts(settings, lambda name: given[name].named))
    errors += against
    return None if against else Gathered(settings, given, warnings, file), warnings, errors


def _unreadable(given: Iterable[tuple[str, Given]]) -> Iterator[str]:
    """An error for each text that its setting cannot read."""
    for name, one in given:
        try:
            _BY_NAME[name].read(one.text)
        except ValueError as error:
            yield f"{one.named}: {error}"


def _layers(
    flags: Mapping[str, Given], environment: Mapping[str, str], config: str | None, fallback: Mapping[str, Given]
) -> tuple[str | None, list[Mapping[str, Given]], tuple[str, ...], list[str]]:
    """The file's name, what each place says (each comes before those in front of it), warnings, and errors."""
    named = CONFIG_VARIABLE if config is None else CONFIG_OPTION
    file = environment.get(CONFIG_VARIABLE) if config is None else config
    defaults = {setting.name: Given(setting.default, "default", setting.option) for setting in SETTINGS}
    errors: list[str] = []
    from_file = {} if file is None else _from_file(file, named, errors)
    from_environment, warnings = _from_environment(environment)
    return file, [defaults, fallback, from_file, from_environment, flags], warnings, errors


def reload(running: Settings, fresh: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings from now on, and the names of those that differ but need a restart.

    What is live is taken from ``fresh``, all else stays as it runs.
    """
    live = {setting.field: getattr(fresh, setting.field) for setting in SETTINGS if setting.live}
    fixed = (setting for setting in SETTINGS if not setting.live)
    waiting = (each.name for each in fixed if getattr(running, each.field) != getattr(fresh, each.field))
    return replace(running, **live), tuple(waiting)


def _from_environment(environment: Mapping[str, str]) -> tuple[dict[str, Given], tuple[str, ...]]:
    """The texts of ``FREIGHT_*``, and a warning for each variable that is no setting: others may have set it."""
    by_variable = {setting.variable: setting for setting in SETTINGS}
    given, warnings = {}, []
    for variable in sorted(environment):
        text, setting = environment[variable], by_variable.get(variable)
        if setting is not None and not text.startswith(_SERVICE_LINKS):
            given[setting.name] = Given(text, variable, variable)
        elif setting is not None:
            warnings.append(f"ignoring {variable}: its value is a Kubernetes service link, not a setting")
        elif variable.startswith(_PREFIX) and variable != CONFIG_VARIABLE:
            hint = _closest(variable.removeprefix(_PREFIX).lower().replace("_", "-"))
            meant = f"; did you mean {_BY_NAME[hint].variable}?" if hint else ""
            warnings.append(f"ignoring {variable}: there is no such setting{meant}")
    return given, tuple(warnings)


def _closest(name: str) -> str | None:
    """The setting whose name is most like this one, if any is."""
    from difflib import get_close_matches  # here, as a start without mistakes does without it

    return next(iter(get_close_matches(name, _BY_NAME, n=1)), None)


def _from_file(file: str, named: str, errors: list[str]) -> dict[str, Given]:
    """The texts of a TOML file whose top-level keys are names of settings. What is wrong is added to ``errors``."""
    given = {}
    try:
        toml = _read(file, named)
        parsed = _parsed(file, toml)
    except Unservable as error:
        errors.append(str(error))
        return {}
    # Only what is refused takes more statements than keys, or other than in their order: a table, a dotted key.
    for (name, value), line in zip(parsed.items(), _statement_lines(toml), strict=False):
        origin = f"{file}:{line}"
        setting = _BY_NAME.get(name)
        if setting is None:
            hint = _closest(name)
            meant = f"; did you mean {hint}?" if hint else ""
            errors.append(f"{origin}: there is no setting {name!r}{meant}")
        else:
            try:
                given[name] = Given(_text(setting, value), origin, f"{origin}: {name}")
            except ValueError as error:
                errors.append(f"{origin}: {name}: {error}")
        if _is_table(value):
            break  # it may have taken several statements: the lines of what follows are not known
    return given


def _is_table(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value))


def _read(file: str, named: str) -> str:
    """A file's text. Only a regular file: it must be there when it is read again, and reading a FIFO could block."""
    if not file:
        raise Unservable(f"{named}: must not be empty")
    try:
        data = read_regular(file, FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Unservable(f"{named}: cannot read {file}: {error.strerror}") from None
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
