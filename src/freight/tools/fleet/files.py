"""Read the description of a fleet from a file, and write a configuration to one."""

from __future__ import annotations

import os
import tempfile
import tomllib
from pathlib import Path

from freight.config.operator_file import read_regular
from freight.config.types import Setting, SettingType
from freight.errors import ConfigurationError
from freight.tools.fleet.options import LISTS, OPTIONS

_BYTES_MAX = 1 << 20


def read_fleet_file(file: str) -> dict[str, str]:
    """Read a TOML file whose keys are names of options; return texts. Raises ConfigurationError."""
    try:
        data = read_regular(file, _BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"--from: cannot read {file}: {error.strerror}") from None
    if len(data) > _BYTES_MAX:
        raise ConfigurationError(f"{file}: is too large for the description of a fleet")
    try:
        found = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file}: is not TOML: {error}") from None
    known = {option.name: option for option in OPTIONS}
    texts = {}
    for name, value in found.items():
        if name not in known:
            raise ConfigurationError(f"{file}: there is no option {name!r}; there are {', '.join(known)}")
        try:
            texts[name] = _text(known[name], value)
        except ValueError as error:
            raise ConfigurationError(f"{file}: {name}: {error}") from None
    return texts


def _text(option: Setting, value: object) -> str:
    """Return a value of TOML as the text for the command line. Raises ValueError."""
    match value:
        case str():
            return value
        case bool() if option.kind is SettingType.FLAG:
            return "true" if value else "false"
        case int() if option.kind in (SettingType.NUMBER, SettingType.SIZE) and not isinstance(value, bool):
            return str(value)
        case list() if option.name in LISTS and all(isinstance(each, str) for each in value):
            return ",".join(value) or "none"
    lists = " or an array of strings" if option.name in LISTS else ""
    raise ValueError("must be true or false" if option.kind is SettingType.FLAG else f"must be a string{lists}")


def write_file(path: Path, text: str) -> None:
    """Write a file completely or not at all, because another program may be reading it. Raises OSError."""
    try:
        fd, made = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
