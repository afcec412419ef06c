"""What a row of the table of settings can say: kinds of values, each read from text and written as text again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from freight.quantities import (
    format_rate,
    format_seconds,
    format_size,
    parse_rate,
    parse_seconds,
    parse_size,
)

PORT_MAX = 65_535


class Kind(Enum):
    """What a setting's text means."""

    PATH = "path"
    FILE = "file"
    TEXT = "text"
    NUMBER = "number"
    SIZE = "size"  # read as bytes; the field ends in _bytes
    RATE = "rate"  # read as bytes per second; the field ends in _bytes_per_second
    TIME = "time"  # read as seconds; the field ends in _seconds
    FLAG = "flag"  # "true" or "false"
    CHOICE = "choice"
    NETWORKS = "networks"  # any number of them, with commas between
    ADDRESS = "address"  # where to listen: a host and a port
    HOST = "host"  # where to listen: a host alone


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a host (a name, or an address without brackets) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Value = Path | str | int | float | bool | Address | tuple[str, ...] | None
"""What a setting's text is read as."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. ``help`` is the manual entry, and ``group`` the heading that it stands under.

    ``low`` and ``high`` bound a number, a size (bytes), a rate (bytes per second) or a time (seconds), both inclusive;
    None is no bound. ``words`` are texts that stand for a value of their own, such as ``none`` and ``auto``. ``off``
    is the option that turns a flag off; empty is ``no-NAME``. A ``live`` setting can change while the server runs.
    ``short`` is a one-letter option, and ``aliases`` are options that other programs have for the same thing.
    """

    name: str
    kind: Kind
    default: str
    metavar: str
    help: str
    low: int = 0
    high: int | None = None
    choices: tuple[str, ...] = ()
    words: Mapping[str, Value] = field(default_factory=dict)
    off: str = ""
    live: bool = False
    group: str = ""
    short: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """The name in :class:`~freight.settings.Settings`, unit included: ``drain`` -> ``drain_seconds``."""
        return self.name.replace("-", "_") + _FORMS[self.kind].suffix

    @property
    def option(self) -> str:
        """What it is called on the command line: ``--idle-timeout``, or ``PATH`` for the argument."""
        return self.metavar if self.kind is Kind.PATH else f"--{self.name}"

    @property
    def off_option(self) -> str:
        """What turns a flag off on the command line: ``--no-hidden``."""
        return f"--{self.off or 'no-' + self.name}"

    @property
    def variable(self) -> str:
        """What it is called in the environment: ``FREIGHT_IDLE_TIMEOUT``."""
        return "FREIGHT_" + self.name.upper().replace("-", "_")

    def read(self, text: str) -> Value:
        """The value a text stands for. Raises ValueError with a sentence for the user."""
        if text in self.words:
            return self.words[text]
        try:
            return self._within(_FORMS[self.kind].read(text))
        except ValueError as error:
            raise ValueError(" or ".join([str(error), *self.words])) from None

    def show(self, value: Value) -> str:
        """A text that :meth:`read` reads as this value."""
        word = next((word for word, meaning in self.words.items() if value == meaning), None)
        return _FORMS[self.kind].show(value) if word is None else word

    def _within(self, value: Any) -> Value:
        shown = _FORMS[self.kind].show
        if self.choices and value not in self.choices:
            raise ValueError(f"{value!r} is not one of {', '.join(self.choices)}")
        if self.kind in _BOUNDED and value < self.low:
            raise ValueError(f"must be at least {shown(self.low)}")
        if self.kind in _BOUNDED and self.high is not None and value > self.high:
            raise ValueError(f"must be at most {shown(self.high)}")
        return value  # type: ignore[no-any-return]


def parse_address(text: str, port: int = 9080) -> Address:
    """``HOST:PORT`` or ``[IPV6]:PORT``. Raises ValueError with a sentence, in which ``port`` stands for an example."""
    host, colon, digits = text.rpartition(":")
    if text and not colon:
        if text.isdecimal():
            raise ValueError(f"{text!r} has no host; write 127.0.0.1:{text}")
        raise ValueError(f"{text!r} has no port; write {text}:{port}")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host.strip("[]") or bracketed != (":" in host):
        raise ValueError(f"{text!r} is not HOST:PORT; write 127.0.0.1:{port} or [::1]:{port}")
    number = _whole(digits)
    if number > PORT_MAX:
        raise ValueError(f"{text!r} has no valid port; it must be at most {PORT_MAX}")
    return Address(_filled(host[1:-1] if bracketed else host), number)


def _host(text: str) -> str:
    """An address or a name, without a port. An IPv6 address may have brackets, as in a URL."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and (":" not in host or host.endswith("]")):
        raise ValueError(f"{text!r} has a port; write --host {host.strip('[]') or '127.0.0.1'} --port {port}")
    return _filled(text[1:-1] if text.startswith("[") and text.endswith("]") else text)


def _networks(text: str) -> tuple[str, ...]:
    import ipaddress  # here, as few servers have a proxy in front and every one pays for what it loads

    networks = []
    for part in text.split(","):
        try:
            networks.append(str(ipaddress.ip_network(part.strip())))
        except ValueError as error:
            if "host bits" in str(error):
                network = ipaddress.ip_network(part.strip(), strict=False)
                raise ValueError(f"{part.strip()!r} has bits set after its prefix; write {network}") from None
            raise ValueError(
                f"{part.strip()!r} is not an address or a network; write 10.0.0.0/8, 192.168.1.1 or fd00::/8"
            ) from None
    return tuple(networks)


def _path(text: str) -> Path:
    return Path(_filled(text))


def _filled(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("must not be empty" if not text else "must not contain NUL")
    return text


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is not one of true, false")
    return text == "true"


class _Form(NamedTuple):
    """How values of a kind are read, written, and what the names of their fields end in."""

    read: Callable[[str], Any]
    show: Callable[[Any], str] = str
    suffix: str = ""


_FORMS = {
    Kind.PATH: _Form(_path),
    Kind.FILE: _Form(_path),
    Kind.TEXT: _Form(_filled),
    Kind.NUMBER: _Form(_whole),
    Kind.SIZE: _Form(parse_size, format_size, "_bytes"),
    Kind.RATE: _Form(parse_rate, format_rate, "_bytes_per_second"),
    Kind.TIME: _Form(parse_seconds, format_seconds, "_seconds"),
    Kind.FLAG: _Form(_flag, lambda value: "true" if value else "false"),
    Kind.CHOICE: _Form(_filled),
    Kind.NETWORKS: _Form(_networks, ",".join),
    Kind.ADDRESS: _Form(parse_address),
    Kind.HOST: _Form(_host),
}
_BOUNDED = {Kind.NUMBER, Kind.SIZE, Kind.RATE, Kind.TIME}
