"""The settings: one table, from which the command line is generated, and the frozen value it results in.

To add a setting, add a row to :data:`SETTINGS` and the field it names to :class:`Settings`; a test holds them together.
Defaults are written as a user would write them, and go through the same reading and the same bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, assert_never

from freight.errors import Unservable
from freight.quantities import format_seconds, format_size, parse_seconds, parse_size


class Kind(Enum):
    """What a setting's text means."""

    PATH = "path"
    TEXT = "text"
    NUMBER = "number"
    SIZE = "size"  # read as bytes; the field ends in _bytes
    TIME = "time"  # read as seconds; the field ends in _seconds
    FLAG = "flag"  # "true" or "false"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. ``help`` is the manual entry.

    ``low`` and ``high`` bound a number, a size (bytes) or a time (seconds), both inclusive; None is no bound.
    """

    name: str
    kind: Kind
    default: str
    metavar: str
    help: str
    low: int = 0
    high: int | None = None
    choices: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """The name in :class:`Settings`, unit included: ``idle-timeout`` -> ``idle_timeout_seconds``."""
        suffix = {Kind.SIZE: "_bytes", Kind.TIME: "_seconds"}.get(self.kind, "")
        return self.name.replace("-", "_") + suffix

    def read(self, text: str) -> Path | str | int | float | bool:
        """The value a text stands for. Raises ValueError with a sentence for the user."""
        match self.kind:
            case Kind.PATH:
                return Path(_filled(text))
            case Kind.TEXT:
                return _filled(text)
            case Kind.NUMBER:
                return self._within(_whole(text), str)
            case Kind.SIZE:
                return self._within(parse_size(text), format_size)
            case Kind.TIME:
                return self._within(parse_seconds(text), format_seconds)
            case Kind.FLAG:
                return _one_of(text, ("true", "false")) == "true"
            case Kind.CHOICE:
                return _one_of(text, self.choices)
            case _:
                assert_never(self.kind)

    def _within(self, value: float, shown: Callable[[int], str]) -> float:
        if value < self.low:
            raise ValueError(f"must be at least {shown(self.low)}")
        if self.high is not None and value > self.high:
            raise ValueError(f"must be at most {shown(self.high)}")
        return value


def _filled(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("must not be empty" if not text else "must not contain NUL")
    return text


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _one_of(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
    return text


SETTINGS = (
    Setting(
        name="path",
        kind=Kind.PATH,
        default=".",
        metavar="PATH",
        help="The file or directory to serve. A file answers at / and at /NAME; a directory lists what is in it.",
    ),
    Setting(
        name="host",
        kind=Kind.TEXT,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="The address to listen on. Only this machine can reach the default; 0.0.0.0 is every IPv4 address, "
        ":: every address.",
    ),
    Setting(
        name="port",
        kind=Kind.NUMBER,
        default="8080",
        metavar="NUMBER",
        help="The TCP port to listen on; 0 takes a free one and says which.",
        high=65_535,
    ),
    Setting(
        name="memory",
        kind=Kind.SIZE,
        default="64MiB",
        metavar="SIZE",
        help="The memory that may grow with clients: each connection's window of unsent bytes in the kernel is cut "
        "from it. Less means smaller windows, not failed downloads.",
        low=1 << 20,
    ),
    Setting(
        name="drain",
        kind=Kind.TIME,
        default="30s",
        metavar="TIME",
        help="How long running downloads may take to finish after Ctrl-C or SIGTERM. A second signal ends at once.",
    ),
    Setting(
        name="idle-timeout",
        kind=Kind.TIME,
        default="60s",
        metavar="TIME",
        help="How long a client may stand still, taking or sending nothing, before it is let go. A download that "
        "moves may last for ever.",
        low=1,
    ),
    Setting(
        name="no-length",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Send bodies without stating their length: chunked on HTTP/1.1, until close on HTTP/1.0. Clients then "
        "cannot resume or show how much is left.",
    ),
    Setting(
        name="follow-links",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Follow symbolic links that stay beneath PATH. Links that lead out of it are never followed.",
    ),
    Setting(
        name="hidden",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="List and serve names that begin with a dot.",
    ),
    Setting(
        name="log-format",
        kind=Kind.CHOICE,
        default="text",
        metavar="FORMAT",
        help="How each finished request is logged: a line of text, or a JSON object a line.",
        choices=("text", "json"),
    ),
)
"""Every setting, in the order in which the manual lists them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator asked for, read and checked. The fields are explained in :data:`SETTINGS`."""

    path: Path
    host: str
    port: int
    memory_bytes: int
    drain_seconds: float
    idle_timeout_seconds: float
    no_length: bool
    follow_links: bool
    hidden: bool
    log_format: Literal["text", "json"]


def read_settings(texts: Mapping[str, str]) -> Settings:
    """Settings from texts by setting name (``{"memory": "20MB"}``); what is not given has its default.

    Raises :class:`~freight.errors.Unservable` when a text is not sensible, naming the setting.
    """
    unknown = texts.keys() - {setting.name for setting in SETTINGS}
    if unknown:
        raise Unservable(f"{min(unknown)}: there is no such setting")
    fields: dict[str, Any] = {}  # the table's kinds decide the types; a test compares them with the annotations
    for setting in SETTINGS:
        text = texts.get(setting.name, setting.default)
        try:
            fields[setting.field] = setting.read(text)
        except ValueError as error:
            raise Unservable(f"{setting.name}: {error}") from None
    return Settings(**fields)
