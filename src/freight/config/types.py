"""The rows of the table of settings, and the types of their values: how each is read from text and written as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from freight.config.unix_address import (
    UNIX_PREFIX,
    UnixAddress,
    format_mode,
    format_owner,
    parse_mode,
    parse_owner,
    parse_unix_address,
)
from freight.units import (
    format_rate,
    format_seconds,
    format_size,
    parse_rate,
    parse_seconds,
    parse_size,
)

if TYPE_CHECKING:
    from freight.config.mounts import Mount

PORT_MAX = 65_535

COMMON, FILES, LIMITS, ACCESS, HTTPS, PROXY, OPERATION, LOGGING = GROUPS = (
    "Common",
    "Files",
    "Limits",
    "Access",
    "HTTPS",
    "Behind a proxy or load balancer",
    "Operation",
    "Logging",
)
"""The headings of the manual, in its order."""

_ANY_ORIGIN = "*"
_UNIX = UNIX_PREFIX.removesuffix(":")
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._\-]*[A-Za-z0-9_])?")


class SettingType(Enum):
    """The type of a setting's value.

    - SIZE is read as bytes, RATE as bytes per second, TIME as seconds; the names of their fields end in the unit.
    - FLAG is "true" or "false".
    - HOSTS, NETWORKS, NAMES, ORIGINS, DIRECTORIES, MOUNTS and HEADERS are lists: given by several options, a TOML
      array, or one text with separators.
    - HEADERS are header fields, FIELD_VALUE is the value of one.
    - PREFIX is a URL path, read as its names.
    - ADDRESS is a host and a port to listen on, LISTENER that or a Unix socket, HOSTS are hosts alone or Unix sockets.
    - MODE and OWNER are those of a file.
    """

    PATH = "path"
    FILE = "file"
    TEXT = "text"
    NUMBER = "number"
    SIZE = "size"
    RATE = "rate"
    TIME = "time"
    FLAG = "flag"
    CHOICE = "choice"
    NETWORKS = "networks"
    NAMES = "names"
    ORIGINS = "origins"
    DIRECTORIES = "directories"
    HEADERS = "headers"
    FIELD_VALUE = "field-value"
    MOUNTS = "mounts"
    PREFIX = "prefix"
    ADDRESS = "address"
    LISTENER = "listener"
    HOSTS = "hosts"
    MODE = "mode"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Address:
    """A host (a name, or an address without brackets) and a TCP port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Value = (
    Path
    | str
    | int
    | float
    | bool
    | Address
    | UnixAddress
    | tuple[str, ...]
    | tuple[tuple[str, str], ...]
    | tuple["Mount", ...]
    | None
)
"""The value that a setting's text is read as."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table.

    - ``help``: the manual entry; ``group``: its heading.
    - ``minimum``, ``maximum``: the inclusive limits of a number, a size (bytes), a rate (bytes per second) or a time
      (seconds); None is no limit.
    - ``keywords``: texts with a value of their own, such as ``none`` and ``auto``.
    - ``live``: whether the setting can change while the server runs.
    - ``short``: a one-letter option; ``aliases``: options of other programs with the same meaning.
    - ``former_name``: the name before it was renamed, for the hint in an error.
    """

    name: str
    kind: SettingType
    default: str
    metavar: str
    help: str
    minimum: int = 0
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    keywords: Mapping[str, Value] = field(default_factory=dict)
    live: bool = False
    group: str = ""
    short: str = ""
    aliases: tuple[str, ...] = ()
    former_name: str = ""

    @property
    def field(self) -> str:
        """Return the field's name, unit included: ``idle_timeout_seconds`` for ``idle-timeout``."""
        return self.name.replace("-", "_") + _FORMATS[self.kind].suffix

    @property
    def option(self) -> str:
        """Return the name on the command line: ``--idle-timeout``, or ``PATH`` for the argument."""
        return self.metavar if self.kind is SettingType.PATH else f"--{self.name}"

    @property
    def off_option(self) -> str:
        """Return the option that turns a flag off: ``--no-show-hidden``."""
        return f"--no-{self.name}"

    @property
    def variable(self) -> str:
        """Return the name of the environment variable: ``FREIGHT_IDLE_TIMEOUT``."""
        return "FREIGHT_" + self.name.upper().replace("-", "_")

    @property
    def separator(self) -> str:
        """Return what separates the values of a list in one text; "" if the setting is no list."""
        return _FORMATS[self.kind].separator

    def read(self, text: str) -> Value:
        """Return the value of a text. Raise ValueError with a sentence for the user."""
        if text in self.keywords:
            return self.keywords[text]
        try:
            return self._within(_FORMATS[self.kind].read(text))
        except ValueError as error:
            words = () if self.kind in _SENTENCES else self.keywords
            raise ValueError(" or ".join([str(error), *words])) from None

    def show(self, value: Value) -> str:
        """Return a text that :meth:`read` reads as this value."""
        word = next((word for word, meaning in self.keywords.items() if value == meaning), None)
        return _FORMATS[self.kind].show(value) if word is None else word

    def _within(self, value: Any) -> Value:
        shown = _FORMATS[self.kind].show
        if self.choices and value not in self.choices:
            raise ValueError(f"{value!r} is not one of {', '.join(self.choices)}")
        if self.kind in _BOUNDED and value < self.minimum:
            raise ValueError(f"must be at least {shown(self.minimum)}")
        if self.kind in _BOUNDED and self.maximum is not None and value > self.maximum:
            raise ValueError(f"must be at most {shown(self.maximum)}")
        return value  # type: ignore[no-any-return]


def parse_address(text: str) -> Address:
    """Read ``HOST:PORT`` or ``[IPV6]:PORT``. Raise ValueError with a sentence and an example."""
    host, colon, digits = text.rpartition(":")
    if text and not colon:
        if text.isdecimal():
            raise ValueError(f"{text!r} has no host; write 127.0.0.1:{text}")
        raise ValueError(f"{text!r} has no port; write {text}:9080")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host.strip("[]") or bracketed != (":" in host):
        raise ValueError(f"{text!r} is not HOST:PORT; write 127.0.0.1:9080 or [::1]:9080")
    number = _integer(digits)
    if number > PORT_MAX:
        raise ValueError(f"{text!r} has no valid port; it must be at most {PORT_MAX}")
    return Address(_nonempty(host[1:-1] if bracketed else host), number)


def parse_listener(text: str) -> Address | UnixAddress:
    """Read ``HOST:PORT``, ``[IPV6]:PORT`` or ``unix:PATH``. Raise ValueError with a sentence."""
    return parse_unix_address(text) if text.startswith(UNIX_PREFIX) else parse_address(text)


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(_host(part.strip()) for part in text.split(","))


def _host(text: str) -> str:
    """Read an address or a name without a port, or a Unix socket. An IPv6 address may have brackets, as in a URL."""
    if text.startswith(UNIX_PREFIX):
        return str(parse_unix_address(text))
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.endswith("]")):
        raise ValueError(f"{text!r} has a port; write --host {host.strip('[]') or '127.0.0.1'} --port {port}")
    return _nonempty(text[1:-1] if text.startswith("[") and text.endswith("]") else text)


def _networks(text: str) -> tuple[str, ...]:
    import ipaddress  # here, because few servers are behind a proxy, and loading it takes time and memory

    networks = []
    for part in text.split(","):
        if part.strip() == _UNIX:
            networks.append(_UNIX)
            continue
        if "%" in part:
            without = part.strip().partition("%")[0]
            raise ValueError(f"{part.strip()!r} has a zone; write {without}, which is trusted on every interface")
        try:
            networks.append(str(ipaddress.ip_network(part.strip())))
        except ValueError as error:
            if "host bits" in str(error):
                network = ipaddress.ip_network(part.strip(), strict=False)
                raise ValueError(f"{part.strip()!r} has bits set after its prefix; write {network}") from None
            raise ValueError(
                f"{part.strip()!r} is not an address or a network; write 10.0.0.0/8, 192.168.1.1, fd00::/8 or {_UNIX}"
            ) from None
    return tuple(networks)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name != "*" and not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a host name without a port; write freight.default.svc, or *")
    return names


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(part.strip()) for part in text.split(","))


def _origin(text: str) -> str:
    """Read an origin in the form in which browsers send it: scheme, host, and the port unless it is the default.

    ``null``, the origin of sandboxed pages and of files, is refused: any
    page can have it.
    """
    from urllib.parse import urlsplit  # here, because few servers have pages of other origins

    if text == _ANY_ORIGIN:
        return text
    hint = f"{text!r} is not an origin; write https://maps.example.org, http://localhost:3000 or {_ANY_ORIGIN}"
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(hint)
    if not text.isascii() or _ANY_ORIGIN in text:
        raise ValueError(f"{text!r} is not one origin; write each in full, a name with other letters as xn--...")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{text!r} has a path; an origin is {parts.scheme}://{parts.netloc.lower()}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    try:
        port = parts.port
    except ValueError:
        raise ValueError(hint) from None
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None and port != default else "")


def _directories(text: str) -> tuple[str, ...]:
    return tuple(map(_nonempty, text.split(":")))


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    from freight.config.rules import check_headers  # here, because few servers add headers
    from freight.http.response_fields import read_line

    return check_headers(tuple(read_line(line) for line in text.split("\n")))


def _show_headers(headers: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers)


def _field_value(text: str) -> str:
    from freight.http.response_fields import check_value

    return check_value(text)


def _path(text: str) -> Path:
    return Path(_nonempty(text))


def _nonempty(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("must not be empty" if not text else "must not contain NUL")
    return text


def _integer(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is not one of true, false")
    return text == "true"


class _Format(NamedTuple):
    """How a type's values are read and written, the suffix of its fields' names, and what separates values."""

    read: Callable[[str], Any]
    show: Callable[[Any], str] = str
    suffix: str = ""
    separator: str = ""


def _of_mounts(name: str) -> Callable[[Any], Any]:
    """Return a function of :mod:`freight.config.mounts`, which is loaded when that is called: few servers need it."""

    def call(value: Any) -> Any:
        from freight.config import mounts

        return getattr(mounts, name)(value)

    return call


_FORMATS = {
    SettingType.PATH: _Format(_path),
    SettingType.FILE: _Format(_path),
    SettingType.TEXT: _Format(_nonempty),
    SettingType.NUMBER: _Format(_integer),
    SettingType.SIZE: _Format(parse_size, format_size, "_bytes"),
    SettingType.RATE: _Format(parse_rate, format_rate, "_bytes_per_second"),
    SettingType.TIME: _Format(parse_seconds, format_seconds, "_seconds"),
    SettingType.FLAG: _Format(_flag, lambda value: "true" if value else "false"),
    SettingType.CHOICE: _Format(_nonempty),
    SettingType.NETWORKS: _Format(_networks, ",".join, separator=","),
    SettingType.DIRECTORIES: _Format(_directories, ":".join, separator=":"),
    SettingType.HEADERS: _Format(_headers, _show_headers, separator="\n"),
    SettingType.FIELD_VALUE: _Format(_field_value),
    SettingType.MOUNTS: _Format(_of_mounts("read_mounts"), _of_mounts("show_mounts"), separator=":"),
    SettingType.PREFIX: _Format(_of_mounts("read_prefix"), _of_mounts("show_point")),
    SettingType.NAMES: _Format(_names, ",".join, separator=","),
    SettingType.ORIGINS: _Format(_origins, ",".join, separator=","),
    SettingType.ADDRESS: _Format(parse_address),
    SettingType.LISTENER: _Format(parse_listener),
    SettingType.MODE: _Format(parse_mode, format_mode),
    SettingType.OWNER: _Format(parse_owner, format_owner),
    SettingType.HOSTS: _Format(_hosts, ",".join, separator=","),
}
_BOUNDED = {SettingType.NUMBER, SettingType.SIZE, SettingType.RATE, SettingType.TIME}
_SENTENCES = {SettingType.HEADERS, SettingType.FIELD_VALUE}  # whose errors do not end with what to write
