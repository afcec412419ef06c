"""The entries of a listing as text: rows of an HTML table, or elements of a JSON array. Pure.

These run for every entry of directories with a hundred thousand, so the common case comes first: most names need no
escape, and most files have the date of another.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence

from freight.http.markup import text
from freight.http.printable import JSON_ESCAPES
from freight.http.target import reference
from freight.names import shown
from freight.sources.records import DIRECTORY, Item, columns, item
from freight.sources.types import media_type
from freight.units import spaced_size

_TITLE_LENGTH = 100  # the page may truncate a longer name, so its row has the name as a title
_PLAIN = re.compile(r"[A-Za-z0-9._-]+").fullmatch  # such a name is the same in HTML, in JSON and in a link
_ARE_PLAIN = re.compile(r"[A-Za-z0-9._/-]+").fullmatch  # of names with slashes between them
_FRACTION_DIGITS = 9  # of a time in ns: those after the second
_TABLES = frozenset(
    {
        *("text/csv", "text/tab-separated-values", "application/x-ndjson", "application/vnd.apache.parquet"),
        *("application/vnd.apache.arrow.file", "application/vnd.apache.arrow.stream", "application/vnd.sqlite3"),
        *("application/geopackage+sqlite3", "application/vnd.oasis.opendocument.spreadsheet"),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }
)
_ARCHIVES = frozenset(
    {
        *("application/gzip", "application/zstd", "application/x-xz", "application/x-bzip2", "application/zip"),
        *("application/x-7z-compressed", "application/x-tar", "application/vnd.efi.iso", "application/java-archive"),
        *("application/vnd.debian.binary-package", "application/x-rpm", "application/vnd.android.package-archive"),
    }
)
_TEXTS = frozenset(
    {
        *("application/json", "application/geo+json", "application/xml", "application/yaml", "application/toml"),
        *("application/sql", "application/pdf", "application/epub+zip", "application/x-ipynb+json"),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.oasis.opendocument.text",
    }
)
_FIRST_DAY, _END_DAY = -719_528, 2_932_897  # 0000-01-01 and 10000-01-01, in days since 1970
_DAY_SECONDS = 86_400


def lines(records: Sequence[str]) -> str:
    """Return entries as nginx and Apache list them, for programs: a link, the time in UTC, and the bytes."""
    names, sizes, mtimes = columns(records)
    if not _are_usual(sizes, mtimes):
        return "".join(map(_line, names, sizes, mtimes))
    clock = _CLOCK
    return "".join(
        [
            f'<a href="{href}">{name}</a> {_log_date(second // 86_400)} {clock[second % 86_400 // 60]} {size}\n'
            for name, href, size, mtime in zip(*_texts_and_links(names, text), sizes, mtimes, strict=True)
            for second in (int(mtime[:-9]),)
        ]
    )


def _line(raw: str, size: str, mtime: str) -> str:
    slash = "/" if size == DIRECTORY else ""
    if not _PLAIN(raw):
        name, href = text(raw), reference(raw, False)
    else:
        name = href = raw
    if not mtime:
        when = "-"
    else:
        days, second = divmod(int(mtime) // 1_000_000_000, _DAY_SECONDS)
        when = f"{_log_date(days)} {_CLOCK[second // 60]}"
    return f'<a href="{href}{slash}">{name}{slash}</a> {when} {size if size.isdecimal() else "-"}\n'


def _are_usual(sizes: list[str], mtimes: list[str]) -> bool:
    """Return whether all are files with a size and a time, from 1970 to 5138: seconds of 1 to 11 digits."""
    if not "".join(sizes).isdecimal() or not "".join(mtimes).isdecimal():
        return False
    digits = list(map(len, mtimes))
    return min(digits) > _FRACTION_DIGITS and max(digits) <= _FRACTION_DIGITS + 11


def _texts_and_links(names: list[str], escaped: Callable[[str], str]) -> tuple[list[str], list[str]]:
    """Return the names of files as ``escaped`` texts, and as links."""
    if _ARE_PLAIN("/".join(names)):
        return names, names
    return (
        [name if _PLAIN(name) else escaped(name) for name in names],
        [name if _PLAIN(name) else reference(name, False) for name in names],
    )


def html_rows(items: Iterable[Item]) -> str:
    """Return the table rows of entries."""
    return "".join([_row(item) for item in items])


def _row(item: Item) -> str:
    raw, kind, size, mtime_ns = item
    if kind == "directory":
        slash, css_class = "/", ' class="dir"'
    else:
        _, dot, suffix = raw.rpartition(".")
        slash, css_class = "", _file_class(dot + suffix) if dot and kind == "file" else ""
    if _PLAIN(raw):
        name, href = raw, raw + slash
    else:
        name, href = text(raw), reference(raw, kind == "directory")
    title = f' title="{name}"' if len(raw) > _TITLE_LENGTH else ""
    date, clock, second = _split(mtime_ns)
    when = f'<time datetime="{date}T{clock}:{second:02}Z">{date} {clock}</time>' if date else ""
    number = ">" if size is None else f' title="{size:,} bytes">{spaced_size(size)}'
    return (
        f'<tr><th scope="row"><a{css_class} href="{href}"{title}><bdi>{name}{slash}</bdi></a></th>'
        f'<td class="n"{number}</td><td>{when}</td></tr>\n'
    )


def json_elements(records: Sequence[str]) -> str:
    """Return entries as elements of a JSON array, with commas between them."""
    names, sizes, mtimes = columns(records)
    if not _are_usual(sizes, mtimes):
        return ",\n".join([_element(item(record)) for record in records])
    clock, two_digits = _CLOCK, _TWO_DIGITS
    return ",\n".join(
        [
            f'{{"name": "{name}", "type": "file", "size": {size}, "modified": "{_date(second // 86_400)}T'
            f'{clock[second % 86_400 // 60]}:{two_digits[second % 60]}{f".{fraction}" if fraction else ""}Z", '
            f'"href": "{href}"}}'
            for name, href, size, mtime in zip(*_texts_and_links(names, _json_content), sizes, mtimes, strict=True)
            for second, fraction in ((int(mtime[:-9]), mtime[-9:].rstrip("0")),)
        ]
    )


def _element(item: Item) -> str:
    raw, kind, size, mtime_ns = item
    if _PLAIN(raw):
        name, href = f'"{raw}"', f"{raw}/" if kind == "directory" else raw
    else:
        name, href = json_text(raw), reference(raw, kind == "directory")
    when = precise_utc(mtime_ns)
    return (
        f'{{"name": {name}, "type": "{kind}", "size": {"null" if size is None else size}, '
        f'"modified": {f"{chr(34)}{when}{chr(34)}" if when else "null"}, "href": "{href}"}}'
    )


def _json_content(name: str) -> str:
    return json_text(name)[1:-1]


def json_text(name: str) -> str:
    r"""Return a name as a JSON string. Bytes that are not UTF-8 are escaped as ``\xNN`` in the string."""
    return json.dumps(shown(name), ensure_ascii=False).translate(JSON_ESCAPES)


def precise_utc(mtime_ns: int | None) -> str | None:
    """Return a time as RFC 3339 in UTC, to the nanosecond, without zeros at its end.

    None if it is unknown or its year has not four digits.
    """
    date, clock, second = _split(mtime_ns)
    if mtime_ns is None or not date:
        return None
    fraction = mtime_ns % 1_000_000_000
    return f"{date}T{clock}:{second:02}{f'.{fraction:09}'.rstrip('0') if fraction else ''}Z"


def _split(mtime_ns: int | None) -> tuple[str, str, int]:
    """Return date, hours and minutes, and seconds in UTC. The date is "" if it cannot be shown."""
    if mtime_ns is None:
        return "", "", 0
    days, second = divmod(mtime_ns // 1_000_000_000, _DAY_SECONDS)
    minute, second = divmod(second, 60)
    return _date(days), _CLOCK[minute], second


@functools.lru_cache(maxsize=256)
def _date(days: int) -> str:
    if not _FIRST_DAY <= days < _END_DAY:
        return ""
    year, month, day, *_ = time.gmtime(days * _DAY_SECONDS)
    return f"{year:04}-{month:02}-{day:02}"


@functools.lru_cache(maxsize=256)
def _log_date(days: int) -> str:
    year, month, day = (_date(days) or "1970-01-01").split("-")
    return f"{day}-{_MONTHS[int(month) - 1]}-{year}"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CLOCK = tuple(f"{hour:02}:{minute:02}" for hour in range(24) for minute in range(60))
_TWO_DIGITS = tuple(f"{number:02}" for number in range(60))


@functools.lru_cache(maxsize=256)
def _file_class(suffix: str) -> str:
    """Return the attribute for the icon of a file with this suffix; "" for the default icon."""
    type_of = media_type(suffix)
    if type_of in _TABLES:
        name = "table"
    elif type_of in _ARCHIVES:
        name = "archive"
    elif type_of in _TEXTS:
        name = "text"
    else:
        name = type_of.partition("/")[0]
    return f' class="{name}"' if name in {"table", "archive", "text", "image", "audio", "video"} else ""
