"""The entries of a listing as text: rows of an HTML table, or elements of a JSON array. Pure.

These run for every entry of directories with a hundred thousand. So the rows for programs are made by columns, and the
common case comes first: most names need no escape, and most files have the date of another.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Sequence
from time import gmtime

from freight.http.markup import text
from freight.http.printable import JSON_ESCAPES
from freight.http.target import reference
from freight.names import shown
from freight.sources.records import DIRECTORY, Item, columns, kind_of
from freight.sources.types import media_type
from freight.units import spaced_size

_TITLE_LENGTH = 100  # the page may truncate a longer name, so its row has the name as a title
_PLAIN = re.compile(r"[A-Za-z0-9._-]+").fullmatch  # such a name is the same in HTML, in JSON and in a link
_ARE_PLAIN = re.compile(r"[A-Za-z0-9._/-]+").fullmatch  # of names with slashes between them
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
_JSON_ROW = '{"name": "%", "type": "%", "size": %, "modified": %, "href": "%"},\n'
_DAY_SECONDS, _DAY_MINUTES = 86_400, 1440
_SECOND_NS = 1_000_000_000


def lines(records: Sequence[str]) -> str:
    """Return entries as nginx and Apache list them, for programs: a link, the time in UTC, and the bytes.

    The times are those of :func:`log_time`.
    """
    names, sizes, times = columns(records)
    texts, links = _texts_and_links(names, text)
    if not _are_sizes(sizes):
        texts, links = _with_slashes(texts, sizes), _with_slashes(links, sizes)
        sizes = [size if size.isdecimal() else "-" for size in sizes]
        times = [time or "-" for time in times]
    return _rows('<a href="%">%</a> % %\n', links, texts, times, sizes)


def _rows(template: str, *columns: list[str]) -> str:
    """Return a row for each entry: the template with the entry's cells, one of each column, in place of ``%``.

    One join of everything takes half the time of a format for each row.
    """
    row = [part for constant in template.split("%") for part in (constant, "")][:-1]
    parts = row * len(columns[0])
    for at, column in enumerate(columns):
        parts[2 * at + 1 :: len(row)] = column
    return "".join(parts)


def _are_sizes(sizes: list[str]) -> bool:
    """Return whether all entries are files that could be examined."""
    return "".join(sizes).isdecimal()


def _with_slashes(texts: list[str], sizes: list[str]) -> list[str]:
    """Return the texts of entries, those of directories with a slash."""
    return [f"{name}/" if size == DIRECTORY else name for name, size in zip(texts, sizes, strict=True)]


def _texts_and_links(names: list[str], escaped: Callable[[str], str]) -> tuple[list[str], list[str]]:
    """Return the names as ``escaped`` texts, and as links: all names in one call, since no escape has a slash."""
    joined = "/".join(names)
    if _ARE_PLAIN(joined):
        return names, names
    return escaped(joined).split("/"), reference(joined).split("/")


def html_rows(items: Iterable[Item]) -> str:
    """Return the table rows of entries. Their times are those of :func:`utc_time`."""
    return "".join([_row(item) for item in items])


def _row(item: Item) -> str:
    raw, kind, size, time = item
    if kind == "directory":
        slash, css_class = "/", ' class="dir"'
    else:
        _, dot, suffix = raw.rpartition(".")
        slash, css_class = "", _file_class(dot + suffix) if dot and kind == "file" else ""
    if _PLAIN(raw):
        name, href = raw, raw + slash
    else:
        name, href = text(raw), reference(raw) + slash
    title = f' title="{name}"' if len(raw) > _TITLE_LENGTH else ""
    when = f'<time datetime="{time[:19]}Z">{time[:10]} {time[11:16]}</time>' if time else ""
    number = ">" if size is None else f' title="{size:,} bytes">{spaced_size(size)}'
    return (
        f'<tr><th scope="row"><a{css_class} href="{href}"{title}><bdi>{name}{slash}</bdi></a></th>'
        f'<td class="n"{number}</td><td>{when}</td></tr>\n'
    )


def json_elements(records: Sequence[str]) -> str:
    """Return entries as elements of a JSON array, with commas between them. The times are those of :func:`utc_time`."""
    names, sizes, times = columns(records)
    texts, links = _texts_and_links(names, _json_content)
    kinds = ["file"] * len(names)
    if not _are_sizes(sizes):
        links, kinds = _with_slashes(links, sizes), [kind_of(size) for size in sizes]
        sizes = [size if size.isdecimal() else "null" for size in sizes]
    times = [f'"{time}"' if time else "null" for time in times]
    return _rows(_JSON_ROW, texts, kinds, sizes, times, links).removesuffix(",\n")


def _json_content(name: str) -> str:
    return json_text(name)[1:-1]


def json_text(name: str) -> str:
    r"""Return a name as a JSON string. Bytes that are not UTF-8 are escaped as ``\xNN`` in the string."""
    return json.dumps(shown(name), ensure_ascii=False).translate(JSON_ESCAPES)


def utc_time(time_ns: int) -> str:
    """Return a time as RFC 3339 in UTC, to the nanosecond, without zeros at its end.

    "" if its year has not four digits.
    """
    second = time_ns // _SECOND_NS
    minute = second // 60
    date = _date(minute // _DAY_MINUTES)
    if not date:
        return ""
    decimals = str(_SECOND_NS + time_ns % _SECOND_NS)[1:].rstrip("0")
    clock = f"{_CLOCK[minute % _DAY_MINUTES]}:{_TWO_DIGITS[second % 60]}"
    return f"{date}T{clock}.{decimals}Z" if decimals else f"{date}T{clock}Z"


def log_time(time_ns: int) -> str:
    """Return a time as nginx and Apache list it, in UTC. The date is 01-Jan-1970 if its year has not four digits."""
    minute = time_ns // _SECOND_NS // 60
    return f"{_log_date(minute // _DAY_MINUTES)} {_CLOCK[minute % _DAY_MINUTES]}"


@functools.lru_cache(maxsize=256)
def _date(days: int) -> str:
    if not _FIRST_DAY <= days < _END_DAY:
        return ""
    year, month, day, *_ = gmtime(days * _DAY_SECONDS)
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
