"""Settings as keyword arguments: ``memory="20MB"``, ``queue_size=10``, ``cors_origin=["https://example.org"]``."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from difflib import get_close_matches
from typing import TypedDict

from freight.config.load import ResolvedSettings, SettingValue, resolve
from freight.config.table import SETTINGS
from freight.config.types import Setting, SettingType
from freight.errors import ConfigurationError
from freight.library.routes import Routes
from freight.units import format_seconds

Path = str | os.PathLike[str]
Number = int | str
Time = float | timedelta | str
Flag = bool | str
Texts = str | Sequence[str]
Paths = str | Sequence[Path]
Pairs = str | Sequence[str] | Mapping[str, str]
Mounts = str | Sequence[str] | Mapping[str, Path]


class Options(TypedDict, total=False):
    """The settings by name, each with the types of its value. A text is what ``freight serve`` takes.

    A test compares them with the table of settings.
    """

    host: Texts
    port: Number
    memory: Number | None
    workers: Number | None
    mount: Mounts | None
    prefix: str | None
    show_hidden: Flag
    follow_symlinks: Flag
    allow_links_to: Paths | None
    chunked: Flag
    precompressed: Flag
    cors_origin: Texts | None
    header: Pairs | None
    cache_control: str | None
    index: str
    inline: Flag
    queue_size: Number
    queue_timeout: Time
    max_per_client: Number | None
    rate_limit: Number | None
    client_rate_limit: Number | None
    min_rate: Number | None
    idle_timeout: Time
    pause_timeout: Time | None
    keep_alive_timeout: Time
    disk_timeout: Time
    users: Path | None
    tokens: Path | None
    access: str
    signing_keys: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_self_signed: Flag
    redirect_port: Number | None
    trusted_proxy: Texts | None
    proxy_protocol: Flag
    haproxy_agent: str | None
    admin: str | None
    admin_token_file: Path | None
    admin_allow_host: Texts | None
    socket_mode: Number
    socket_owner: str | None
    shutdown_timeout: Time
    shutdown_delay: Time
    log_format: str
    log_file: Path | None
    log_file_size: Number | None
    log_files: Number
    request_id: Flag


_BY_NAME = {setting.name: setting for setting in SETTINGS}
_NUMBERS = {SettingType.NUMBER, SettingType.SIZE, SettingType.RATE, SettingType.TIME}
_PAIRS = {SettingType.MOUNTS: "=", SettingType.HEADERS: ": "}
OWN_DEFAULTS = {"path": "none", "admin": "none", "workers": "1"}


def resolve_options(
    path: Path | None, config: Path | None, options: Mapping[str, object], routes: Routes | None = None
) -> ResolvedSettings:
    """Return the settings of a server in an application: its arguments come before the file ``config``.

    The environment says nothing, and nothing listens that the application has not asked for. Raise ConfigurationError.
    """
    if routes is not None:
        if path is not None or "mount" in options:
            raise ConfigurationError("routes: they are in place of a path and of mounts; give only one of the two")
        path, options = routes.path, {**options, "mount": routes.mounts}
    has_only_code = routes is not None and bool(routes.code) and path is None and not routes.mounts
    if has_only_code:
        path = os.curdir  # there must be something to serve; it is removed below
    given = {} if path is None else {"path": _value(_BY_NAME["path"], path)}
    for name, value in options.items():
        given[_named(name).name] = _value(_named(name), value)
    own = {
        each.name: SettingValue(OWN_DEFAULTS.get(each.name, each.default), "default", _label(each)) for each in SETTINGS
    }
    resolved = resolve(given, {}, None if config is None else os.fspath(config), own)
    if resolved.settings.workers != 1:
        raise ConfigurationError(
            "workers: a server in an application is one process; start freight serve for several, or several servers"
        )
    return replace(resolved, settings=replace(resolved.settings, path=None)) if has_only_code else resolved


def _named(name: str) -> Setting:
    setting = _BY_NAME.get(name.replace("_", "-"))
    if setting is None or "-" in name or setting.kind is SettingType.PATH:
        close = get_close_matches(name.replace("_", "-"), _BY_NAME, n=1)
        hint = f"; did you mean {close[0].replace('-', '_')}?" if close else ""
        raise ConfigurationError(f"{name}: there is no such setting{hint}")
    return setting


def _label(setting: Setting) -> str:
    return setting.name.replace("-", "_")


def _value(setting: Setting, value: object) -> SettingValue:
    label = _label(setting)
    try:
        return SettingValue(text_of(setting, value), label, label)
    except ValueError as error:
        raise ConfigurationError(f"{label}: {error}") from None


def text_of(setting: Setting, value: object) -> str:
    """Return a Python value as the text of a setting. Raise ValueError with a sentence."""
    match value:
        case None if setting.keywords:
            return "none" if "none" in setting.keywords else next(iter(setting.keywords))
        case str() if setting.kind is not SettingType.PATH:
            return value
        case str() | os.PathLike():
            return _path(setting, value)
        case bool() if setting.kind is SettingType.FLAG:
            return "true" if value else "false"
        case bool():
            pass
        case int() if setting.kind is SettingType.MODE:
            return setting.show(value)
        case int() if setting.kind in _NUMBERS:
            return str(value)
        case float() | timedelta() if setting.kind is SettingType.TIME:
            return _seconds(value)
        case Mapping() if setting.kind in _PAIRS:
            between = _PAIRS[setting.kind]
            return _joined(setting, [f"{name}{between}{os.fspath(each)}" for name, each in value.items()])
        case list() | tuple() if setting.separator:
            return _joined(setting, [os.fspath(each) for each in value])
    raise ValueError(f"must be {_wanted(setting)}, not {type(value).__name__}")


def _path(setting: Setting, value: str | os.PathLike[str]) -> str:
    text = os.fspath(value)
    return os.path.join(os.curdir, text) if text in setting.keywords else text


def _seconds(value: float | timedelta) -> str:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{value} is no time")
    return format_seconds(seconds)


def _joined(setting: Setting, parts: list[str]) -> str:
    for part in parts:
        if setting.separator in part:
            raise ValueError(f"{part!r} has a {setting.separator!r}, which separates values")
    return setting.separator.join(parts) or setting.show(())


def _wanted(setting: Setting) -> str:
    if setting.kind is SettingType.FLAG:
        return "True or False"
    if setting.kind in _PAIRS:
        return "a text, a list of texts or a mapping"
    if setting.separator:
        return "a text or a list of texts"
    if setting.kind is SettingType.TIME:
        return "a number of seconds, a timedelta or a text"
    return "a number or a text" if setting.kind in _NUMBERS else "a text"
