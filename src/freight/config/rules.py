"""Read the rules by path from the ``[[rule]]`` tables of the settings file. Imported only where there are some."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from freight.http.access import EVERYONE, USERS, Access
from freight.http.globs import compile_glob
from freight.http.response_fields import check_name, check_value
from freight.http.rules import INDEXES, MAX_RULES, Rule
from freight.model import Fields
from freight.rfc9110 import TCHAR

_MAX_HEADERS, _MAX_HIDDEN, _MAX_NAMES = 32, 32, 1000
_MAX_FIELD_BYTES = 4096  # of one rule, since each response of it has them
_HEADING = re.compile(r"""\s*\[\[\s*(?:rule|"rule"|'rule')\s*\]\]""")
_TYPE = re.compile(rf"{TCHAR}+/{TCHAR}+(?: *;[ -~]+)?")


def read_rules(file: str, toml: str, tables: object, errors: list[str]) -> tuple[Rule, ...]:
    """Return the rules of a parsed file. Add a line for each mistake to ``errors``; it names the file and the line.

    ``toml`` is the text of the file, in which the lines are looked up, and ``tables`` the value of its key "rule".
    """
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        errors.append(f"{file}: rule: write a table for each rule, under the heading [[rule]]")
        return ()
    if len(tables) > MAX_RULES:
        errors.append(f"{file}: {len(tables)} rules; there may be {MAX_RULES}")
        return ()
    places = _Places(file, toml, len(tables))
    rules = []
    for at, table in enumerate(tables):
        try:
            rules.append(_rule(table, places.heading(at)))
        except _Mistake as mistake:
            errors.append(f"{places.line_of(at, *mistake.keys)}: {mistake}")
    return tuple(rules)


def rule_of_options(headers: Fields, cache_control: str | None, index: str, *, inline: bool) -> Rule:
    """Return the rule of the options --header, --cache-control, --index and --inline, for every path."""
    return Rule(
        headers=headers,
        cache_control=cache_control or "",
        index=_index(index),
        disposition="inline" if inline else "",
        origin="--header, --cache-control, --index and --inline",
    )


def check_headers(headers: Fields) -> Fields:
    """Return header fields. Raise ValueError if there are too many, or two of one name."""
    names = [name.lower() for name, _ in headers]
    if len(names) > _MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > _MAX_FIELD_BYTES:
        raise ValueError(f"there may be {_MAX_HEADERS} headers, of {_MAX_FIELD_BYTES} bytes together")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is given twice")
    return headers


class _Mistake(Exception):
    """A sentence for the user, and the keys whose line to show."""

    def __init__(self, sentence: str, *keys: str) -> None:
        super().__init__(sentence)
        self.keys = keys


def _rule(table: Mapping[str, Any], origin: str) -> Rule:
    for key in table:
        if key not in _KEYS:
            raise _Mistake(f"there is no key {key!r} of a rule; there are {', '.join(_KEYS)}", key)
    if "match" not in table:
        raise _Mistake('match is missing; write match = "/**" for every path')
    values = {}
    for key, value in table.items():
        try:
            values[key] = _KEYS[key](value)
        except ValueError as error:
            raise _Mistake(f"{key}: {error}", key) from None
    return Rule(**values, origin=origin)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _pattern(value: object) -> str:
    text = _text(value)
    compile_glob(text)
    return text


def _headers(value: object) -> Fields:
    if not isinstance(value, dict):
        raise ValueError('must be a table; write headers = { Name = "value" }')
    headers = []
    for name, text in value.items():
        try:
            headers.append((check_name(name), check_value(_text(text))))
        except ValueError as error:
            prefix = "" if str(error).startswith((repr(name), name)) else f"{name}: "
            raise _Mistake(f"headers: {prefix}{error}", "headers", name) from None
    return check_headers(tuple(headers))


def _field_value(value: object) -> str:
    return check_value(_text(value))


def _content_type(value: object) -> str:
    text = check_value(_text(value))
    if not _TYPE.fullmatch(text) or text.lower().startswith("multipart/"):
        raise ValueError(f"{text!r} is not a media type; write application/json or text/plain; charset=utf-8")
    return text


def _disposition(value: object) -> str:
    if value not in ("inline", "attachment"):
        raise ValueError(f"{value!r} is not one of inline, attachment")
    return str(value)


def _index(value: object) -> Any:
    if value not in INDEXES:
        raise ValueError(f"{value!r} is not one of {', '.join(INDEXES)}")
    return value


def _hidden(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("must be an array of patterns")
    if len(value) > _MAX_HIDDEN:
        raise ValueError(f"{len(value)} patterns; there may be {_MAX_HIDDEN}")
    for pattern in value:
        if not pattern.startswith("."):
            raise ValueError(f"{pattern!r} does not start with a dot; write .zgroup or .well-known/**")
        try:
            compile_glob(f"/{pattern}")
        except ValueError as error:
            raise ValueError(str(error).replace(repr(f"/{pattern}"), repr(pattern))) from None
    return tuple(value)


def _access(value: object) -> Access:
    if value in ("everyone", "users"):
        return EVERYONE if value == "everyone" else USERS
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise ValueError('must be "everyone", "users", or an array of names of users and tokens')
    if len(value) > _MAX_NAMES:
        raise ValueError(f"{len(value)} names; there may be {_MAX_NAMES}")
    return Access(names=frozenset(value))


_KEYS: dict[str, Callable[[Any], Any]] = {
    "match": _pattern,
    "headers": _headers,
    "cache_control": _field_value,
    "content_type": _content_type,
    "disposition": _disposition,
    "index": _index,
    "hidden": _hidden,
    "access": _access,
}


class _Places:
    """The lines of a file at which rules and their keys stand; tomllib does not tell them."""

    def __init__(self, file: str, toml: str, count: int) -> None:
        self._file = file
        self._lines = toml.splitlines()
        self._headings = [at for at, line in enumerate(self._lines) if _HEADING.match(line)]
        if len(self._headings) != count:  # an array of inline tables, or a heading within a string
            self._headings = []

    def heading(self, rule: int) -> str:
        """Return the file and the line of a rule's heading, or its number if that is not known."""
        return f"{self._file}:{self._headings[rule] + 1}" if self._headings else f"{self._file}: rule {rule + 1}"

    def line_of(self, rule: int, *keys: str) -> str:
        """Return the file and the line of the last of these keys that is found, or else that of the rule."""
        if not self._headings:
            return self.heading(rule)
        at = self._headings[rule]
        stop = next((heading for heading in self._headings if heading > at), len(self._lines))
        for key in keys:
            assigned = re.compile(rf"""(?:[^#]*[\s\[{{,."'])?{re.escape(key)}["']?\s*[=.\]]""")
            at = next((line for line in range(at, stop) if assigned.match(self._lines[line])), at)
        return f"{self._file}:{at + 1}"
