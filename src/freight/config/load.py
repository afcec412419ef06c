"""Collect the settings: flags come before the environment, that before a file, that before the defaults of the table.

Each text keeps its origin, so that an error names the place of the mistake, and ``freight settings`` shows which place
decides. :func:`resolve` reads the file again at each call; the environment is a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from freight.config.download_settings import NO_PATH
from freight.config.operator_file import read_regular
from freight.config.settings import Settings, conflicts, read_settings, rule_conflicts
from freight.config.table import SETTINGS
from freight.config.types import Setting, SettingType
from freight.errors import ConfigurationError

if TYPE_CHECKING:
    from freight.http.rules import Rule

FILE_BYTES_MAX = 64 << 10
RULE_KEY = "rule"
"""The key of the tables that are rules by path, and no setting."""
CONFIG_OPTION, CONFIG_VARIABLE = "--config", "FREIGHT_CONFIG"

_DEFAULT = "default"
_PREFIX = "FREIGHT_"
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_BY_FORMER_NAME = {setting.former_name: setting for setting in SETTINGS if setting.former_name}

# Kubernetes sets FREIGHT_PORT and others to such values for a service called freight. No setting has such a value.
_SERVICE_LINKS = ("tcp://", "udp://", "sctp://")

_NUMBERS = {SettingType.NUMBER, SettingType.SIZE, SettingType.RATE, SettingType.TIME}
_TOML_INTEGER_BITS = 63  # and a sign: what TOML requires of a reader; Python's integers are larger
_TOML_TYPES = {"bool": "true or false", "int": "a number", "float": "a fraction", "list": "an array", "dict": "a table"}


@dataclass(frozen=True, slots=True)
class SettingValue:
    """The text of a setting, and where it was given.

    ``origin`` is ``--memory``, ``FREIGHT_MEMORY``, ``freight.toml`` or ``default``. ``label`` begins an error about the
    text: the origin, with the setting's name where the origin does not contain it.
    """

    text: str
    origin: str
    label: str


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """The settings, the origin of each by name, warnings about ignored variables, and the file of settings, if any."""

    settings: Settings
    values: Mapping[str, SettingValue]
    warnings: tuple[str, ...]
    file: str | None = None

    def explain(self, error: ConfigurationError) -> str:
        """Return the error's text, with the place where its setting was given in front."""
        value = self.values.get(error.setting)
        return str(error) if value is None else f"{value.label}: {error.why}"


@dataclass(frozen=True, slots=True)
class _Layers:
    """What each place says: a later layer comes before the earlier ones. Mistakes in the file are in ``errors``.

    ``rules`` are those of the file.
    """

    file: str | None
    layers: tuple[Mapping[str, SettingValue], ...]
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    rules: tuple[Rule, ...]

    def values(self) -> dict[str, SettingValue]:
        values = {name: value for layer in self.layers for name, value in layer.items()}
        path, mount = values["path"], values["mount"]
        if path.origin == _DEFAULT and mount.origin != _DEFAULT and mount.text != _BY_NAME["mount"].default:
            values["path"] = replace(path, text=NO_PATH)  # nobody asked for the working directory beside the mounts
        return values


def resolve(
    flags: Mapping[str, SettingValue],
    environment: Mapping[str, str],
    config: str | None = None,
    fallback: Mapping[str, SettingValue] | None = None,
) -> ResolvedSettings:
    """Combine flags, environment and file.

    ``config`` is the file of ``--config``; None: that of the environment, if any. ``fallback`` comes before the
    defaults of the table only. Raise ConfigurationError, one line that names the origin, for the first mistake.
    """
    found = _layers(flags, environment, config, fallback or {})
    for error in found.errors:
        raise ConfigurationError(error)
    values = found.values()
    texts = {name: value.text for name, value in values.items()}
    settings = read_settings(texts, {name: value.label for name, value in values.items()})
    if found.rules:
        settings = replace(settings, rule=found.rules)
        for conflict in rule_conflicts(settings):
            raise ConfigurationError(conflict)
    return ResolvedSettings(settings, values, found.warnings, found.file)


def examine(
    flags: Mapping[str, SettingValue], environment: Mapping[str, str], config: str | None = None
) -> tuple[ResolvedSettings | None, tuple[str, ...], list[str]]:
    """Return what :func:`resolve` returns (None where it would raise), its warnings, and all errors, a line each.

    A value that another place overrides must be valid too.
    """
    found = _layers(flags, environment, config, {})
    values = found.values()
    errors = [*found.errors, *(error for layer in found.layers for error in _invalid(layer.items()))]
    if any(_invalid(values.items())):
        return None, found.warnings, errors
    fields: dict[str, Any] = {setting.field: setting.read(values[setting.name].text) for setting in SETTINGS}
    settings = Settings(**fields, rule=found.rules)
    contradictions = [*conflicts(settings, lambda name: values[name].label), *rule_conflicts(settings)]
    resolved = None if contradictions else ResolvedSettings(settings, values, found.warnings, found.file)
    return resolved, found.warnings, errors + contradictions


def reload(running: Settings, fresh: Settings) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings after a reload, and the names of those that differ but need a restart.

    Live settings and the rules come from ``fresh``, the others from ``running``.
    """
    live = {setting.field: getattr(fresh, setting.field) for setting in SETTINGS if setting.live}
    fixed = (setting for setting in SETTINGS if not setting.live)
    waiting = (each.name for each in fixed if getattr(running, each.field) != getattr(fresh, each.field))
    return replace(running, **live, rule=fresh.rule), tuple(waiting)


def _invalid(values: Iterable[tuple[str, SettingValue]]) -> Iterator[str]:
    """Yield an error for each text that its setting cannot read."""
    for name, value in values:
        try:
            _BY_NAME[name].read(value.text)
        except ValueError as error:
            yield f"{value.label}: {error}"


def _layers(
    flags: Mapping[str, SettingValue],
    environment: Mapping[str, str],
    config: str | None,
    fallback: Mapping[str, SettingValue],
) -> _Layers:
    source = CONFIG_VARIABLE if config is None else CONFIG_OPTION
    file = environment.get(CONFIG_VARIABLE) if config is None else config
    defaults = {setting.name: SettingValue(setting.default, _DEFAULT, setting.option) for setting in SETTINGS}
    errors: list[str] = []
    from_file, rules = ({}, ()) if file is None else _from_file(file, source, errors)
    from_environment, warnings = _from_environment(environment)
    return _Layers(file, (defaults, fallback, from_file, from_environment, flags), warnings, tuple(errors), rules)


def _from_environment(environment: Mapping[str, str]) -> tuple[dict[str, SettingValue], tuple[str, ...]]:
    """Return the texts of ``FREIGHT_*``, and a warning for each that is no setting: another program may have set it."""
    by_variable = {setting.variable: setting for setting in SETTINGS}
    values, warnings = {}, []
    for variable in sorted(environment):
        text, setting = environment[variable], by_variable.get(variable)
        if setting is not None and not text.startswith(_SERVICE_LINKS):
            values[setting.name] = SettingValue(text, variable, variable)
        elif setting is not None:
            warnings.append(f"ignoring {variable}: its value is a Kubernetes service link, not a setting")
        elif variable.startswith(_PREFIX) and variable != CONFIG_VARIABLE:
            meant = _closest(variable.removeprefix(_PREFIX).lower().replace("_", "-"))
            hint = f"; did you mean {meant.variable}?" if meant else ""
            warnings.append(f"ignoring {variable}: there is no such setting{hint}")
    return values, tuple(warnings)


def _closest(name: str) -> Setting | None:
    """Return the setting that had this name, or has the most similar one, if any."""
    if name in _BY_FORMER_NAME:
        return _BY_FORMER_NAME[name]
    from difflib import get_close_matches  # here, because a start without mistakes does not need it

    return next((_BY_NAME[close] for close in get_close_matches(name, _BY_NAME, n=1)), None)


def _from_file(file: str, source: str, errors: list[str]) -> tuple[dict[str, SettingValue], tuple[Rule, ...]]:
    """Return the texts and the rules of a TOML file. Its other keys are names of settings.

    Add what is wrong to ``errors``.
    """
    try:
        toml = _read(file, source)
        parsed = _parse(file, toml)
    except ConfigurationError as error:
        errors.append(str(error))
        return {}, ()
    rules: tuple[Rule, ...] = ()
    if RULE_KEY in parsed:
        from freight.config.rules import read_rules

        rules = read_rules(file, toml, parsed.pop(RULE_KEY), errors)
    return _texts(file, parsed, errors), rules


def _texts(file: str, parsed: Mapping[str, Any], errors: list[str]) -> dict[str, SettingValue]:
    """Return the texts of settings by name. Add what is wrong to ``errors``."""
    values = {}
    for name, value in parsed.items():
        setting = _BY_NAME.get(name)
        if setting is None:
            errors.append(f"{file}: {_unknown(name, value)}")
            continue
        label = f"{file}: {name}"
        try:
            values[name] = SettingValue(_text(setting, value), file, label)
        except ValueError as error:
            errors.append(f"{label}: {error}")
    return values


def _unknown(name: str, value: object) -> str:
    """Return what is wrong with a key of a file that is no setting."""
    if name == "rules":
        return f"there is no setting {name!r}; did you mean [[{RULE_KEY}]]?"
    if isinstance(value, dict) and value:
        return f"there is no table {name!r}; write {next(iter(value))!r} outside of any table"
    meant = _closest(name)
    hint = f"; did you mean {meant.name}?" if meant else ""
    return f"there is no setting {name!r}{hint}"


def _read(file: str, source: str) -> str:
    """Return the text of a regular file: it must still exist at a reload, and reading a FIFO could block."""
    if not file:
        raise ConfigurationError(f"{source}: must not be empty")
    try:
        data = read_regular(file, FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{source}: cannot read {file}: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigurationError(
            f"{source}: {file} is longer than {FILE_BYTES_MAX >> 10}KiB, so not a file of settings"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{file}:{line}: is not UTF-8") from None


def _parse(file: str, toml: str) -> dict[str, Any]:
    import tomllib  # here, because most servers have no file

    try:
        return tomllib.loads(toml)
    except RecursionError:
        raise ConfigurationError(f"{file}: is nested too deeply") from None
    except ValueError as error:  # of tomllib, or of int() for a number with too many digits
        at = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        if at is None:
            raise ConfigurationError(f"{file}: is not TOML: a number is too long") from None
        line = at[2] or toml.count("\n") + 1
        raise ConfigurationError(f"{file}:{line}: is not TOML: {at[1][:1].lower()}{at[1][1:]}") from None


def _text(setting: Setting, value: object) -> str:
    """Return a TOML value as the text for the command line. Raise ValueError with a sentence."""
    match value:
        case str():
            return value
        case bool() if setting.kind is SettingType.FLAG:
            return "true" if value else "false"
        case int() if setting.kind in _NUMBERS and not isinstance(value, bool):
            if value.bit_length() > _TOML_INTEGER_BITS:
                raise ValueError("is too large a number")
            return str(value)
        case list() if setting.separator and all(isinstance(part, str) for part in value):
            return setting.separator.join(value) or setting.show(())
    raise ValueError(f"must be {_wanted(setting)}, not {_TOML_TYPES.get(type(value).__name__, 'a date or time')}")


def _wanted(setting: Setting) -> str:
    if setting.kind is SettingType.FLAG:
        return "true or false"
    if setting.separator:
        return "a string, or an array of strings"
    return "a number or a string" if setting.kind in _NUMBERS else "a string"
