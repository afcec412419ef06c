"""A directory listing as a page: one HTML document, written from top to bottom, its style and script within.

What stands at the top is known from the first look at the directory, and what comes later can be written as it is read.
All links are relative: the page works behind a proxy that adds a prefix. The script only adds to it: without one the
listing is whole, its times are UTC, and the filter asks the server.
"""

from __future__ import annotations

import functools
import os
import time

from freight.core.markup import BASE, BASE_HASH, ICON, policy, text
from freight.core.target import encode
from freight.quantities import spaced_size
from freight.sources.entries import Column, Directory, Item, Key, Window, cursor
from freight.sources.types import media_type

ENTRIES = 1000
"""Entries on a page for a browser."""

STYLE_HASH = "sha256-rNlduV1E0v2KKlXmnFOD3+1gm5Tnz8teKUeuP3TU5JQ="
SCRIPT_HASH = "sha256-4RC4iy/8O+CdSgDp6GerWmmR0w1k2Yqd03n0R0jqlug="
POLICY = policy(BASE_HASH, STYLE_HASH, script=SCRIPT_HASH, form=True)[1]
"""The Content-Security-Policy that a listing needs."""

_CRUMBS_MAX = 8  # the last directories of a path shown as links; keeps the head small however deep the path is
_TITLED = 100  # a name that is longer may be cut on the page, and then has itself as its title

_ASSETS = os.path.join(os.path.dirname(__file__), "assets")
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
"""
_COLUMNS: tuple[tuple[Column, str, str], ...] = (
    ("name", "Name", ""),
    ("size", "Size", ' class="n"'),
    ("date", 'Modified<span class="zone"> (UTC)</span>', ""),
)
_UP = (
    '<tr class="parent"><th scope="row"><a class="up" href="../" rel="up">Parent directory</a></th>'
    '<td class="n"></td><td></td></tr>\n'
)
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
        "application/vnd.debian.binary-package",
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


def head(directory: Directory, first: Window, most: int | None, size: int | None) -> str:
    """Everything before the first entry; less than 64 KiB.

    ``first`` is the first window, of ``most`` entries on this page (None: all that follow); ``size`` is of all files
    together, where that is known.
    """
    names = directory.names
    hidden = max(0, len(names) - _CRUMBS_MAX)
    served = f"<bdi>{text(directory.served)}</bdi>"
    crumbs = [f'<a href="{"../" * len(names)}">{served}</a>' if names else f'<span aria-current="page">{served}</span>']
    if hidden:
        crumbs.append("\u2026")
    for up, name in zip(range(len(names) - hidden - 1, 0, -1), names[hidden:], strict=False):
        crumbs.append(f'<a href="{"../" * up}"><bdi>{text(name)}</bdi></a>')
    if names:
        crumbs.append(f'<span aria-current="page"><bdi>{text(names[-1])}</bdi></span>')
    titled = text("/".join((directory.served, *names)))
    return (
        f"{_HEAD}<title>{titled}</title>\n{ICON}\n<style>{BASE}</style>\n<style>{asset('listing.css')}</style>\n"
        f"</head>\n<body>\n<h1>{'<i>/</i>'.join(crumbs)}</h1>\n"
        f'<div class="bar">\n<p class="counts">{_counts(directory, first, most, size)}</p>\n'
        f'<p id="found" role="status"></p>\n'
        f"{_form(directory, first)}</div>\n<table>\n"
        f"<thead><tr>{''.join(_column(*each, directory) for each in _COLUMNS)}</tr></thead>\n<tbody>\n"
        f"{_UP if names else ''}"
    )


def row(item: Item) -> str:
    """One entry."""
    target = "." + encode((item.name,), item.size is None)  # "./": a name with a colon is not a scheme
    name = text(item.name)
    titled = f' title="{name}"' if len(item.name) > _TITLED else ""
    if item.size is None:
        kind, slash, size = "dir", "/", '<td class="n"></td>'
    else:
        kind, slash = _kind(media_type(item.name)), ""
        size = f'<td class="n" title="{item.size:,} bytes">{spaced_size(item.size)}</td>'
    marked = f' class="{kind}"' if kind else ""
    return (
        f'<tr><th scope="row"><a{marked} href="{_quoted(target)}"{titled}><bdi>{name}{slash}</bdi></a></th>'
        f"{size}<td>{_time(item.mtime_ns)}</td></tr>\n"
    )


def foot(directory: Directory, first: Window, edges: list[Key], shown: int) -> str:
    """Everything behind the last entry: the way to other pages, if there are any, and the script.

    ``first`` is the page's first window, ``edges`` are its first and its last key; ``shown``: how many entries it has.
    """
    ahead, entries = first.ahead, first.directories + first.files
    nav = ""
    if ahead or shown < entries:
        ways = []
        if ahead:
            ways.append(f'<a href="{_query(directory)}">First</a>')
        if ahead and edges:
            ways.append(f'<a rel="prev" href="{_query(directory, before=edges[0])}">Previous</a>')
        if shown:
            ways.append(f"<span>{ahead + 1:,}\u2013{ahead + shown:,} of {entries:,}</span>")
        if ahead + shown < entries and edges:
            ways.append(f'<a rel="next" href="{_query(directory, after=edges[-1])}">Next</a>')
            ways.append(f'<a href="{_query(directory, last=True)}">Last</a>')
        nav = f'<nav id="pages" aria-label="Pages">{"".join(ways)}</nav>\n'
    return f"</tbody>\n</table>\n{nav}<script>{asset('listing.js')}</script>\n</body>\n</html>\n"


@functools.cache
def asset(name: str) -> str:
    """A style or a script as it stands in the page: without what is there for its readers. Reads a file, once."""
    with open(os.path.join(_ASSETS, name), encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def utc(mtime_ns: int) -> str | None:
    """A time as ISO 8601 in UTC, to the second; None when it has no four-digit year."""
    seconds = mtime_ns // 1_000_000_000
    if not -62_167_219_200 <= seconds < 253_402_300_800:
        return None
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def _counts(directory: Directory, first: Window, most: int | None, size: int | None) -> str:
    """How much there is, and how much of it is on this page."""
    directories, files = first.directories, first.files
    entries = directories + files
    counts = []
    if directories:
        counts.append(f"{directories:,} director{'y' if directories == 1 else 'ies'}")
    if files:
        counts.append(f"{files:,} file{'' if files == 1 else 's'}")
    if files and size is not None:
        counts.append(spaced_size(size))
    said = ", ".join(counts)
    if directory.matching:
        named = f"\u201c<bdi>{text(directory.matching)}</bdi>\u201d in the name"
        everything = _query(Directory(directory.names, directory.order))
        said = f'{f"{said} with" if said else "Nothing has"} {named}. <a href="{everything}">Show all</a>'
    elif not entries:
        said = "This directory is empty."
    end = "" if directory.matching else "."
    shown = entries - first.ahead if most is None else min(most, entries - first.ahead)
    if not shown and entries:
        said += f"{end} No entry follows here any more."
    elif shown < entries:
        said += (
            f'{end} This page has {first.ahead + 1:,}\u2013{first.ahead + shown:,}. <a href="#pages">Other pages</a>'
        )
    return said


def _form(directory: Directory, first: Window) -> str:
    """The filter. It asks the server by itself; the script answers at once from what is on the page."""
    if not first.directories + first.files and not directory.matching:
        return ""
    order = directory.order
    kept = "" if order.by == "name" else f'<input type="hidden" name="sort" value="{order.by}">'
    kept += '<input type="hidden" name="order" value="desc">' if order.descending else ""
    return (
        f'<form role="search" data-all="{first.directories + first.files}">{kept}<input type="search" name="filter" '
        f'value="{text(directory.matching)}" placeholder="Filter" aria-label="Filter by name" title="Key: /" '
        'autocomplete="off" autocapitalize="off" spellcheck="false"></form>\n'
    )


def _query(directory: Directory, *, after: Key | None = None, before: Key | None = None, last: bool = False) -> str:
    """A link to another page of this listing, as an attribute's value."""
    order = directory.order
    pairs: list[tuple[str, str]] = [("sort", order.by)] if order.by != "name" else []
    pairs += [("order", "desc")] if order.descending else []
    pairs += [("filter", directory.matching)] if directory.matching else []
    pairs += [("after", cursor(after, order))] if after else []
    pairs += [("before", cursor(before, order) if before else "")] if before or last else []
    return "?" + "&amp;".join(f"{name}={_escaped(value)}" for name, value in pairs) if pairs else "./"


def _escaped(value: str) -> str:
    """A value as a query has it, and as an attribute: without what is a sign of forms or of HTML."""
    path = encode(value.split("/"), False)[1:]
    return path.replace("&", "%26").replace("+", "%2B").replace("'", "%27")


def _kind(media_type: str) -> str:
    """The class that gives a file its icon; "" for the plain one."""
    if media_type in _TABLES:
        return "table"
    if media_type in _ARCHIVES:
        return "archive"
    if media_type in _TEXTS:
        return "text"
    kind = media_type.partition("/")[0]
    return kind if kind in ("text", "image", "audio", "video") else ""


def _quoted(target: str) -> str:
    return target.replace("&", "&amp;").replace("'", "&#39;")


def _time(mtime_ns: int) -> str:
    when = utc(mtime_ns)
    return "" if when is None else f'<time datetime="{when}">{when[:10]} {when[11:16]}</time>'


def _column(column: Column, title: str, attributes: str, directory: Directory) -> str:
    order = directory.order
    current = column == order.by
    # Names are looked for from A on; sizes and dates mostly for the largest and the latest.
    descending = not order.descending if current else column != "name"
    sorting = f' aria-sort="{"descending" if order.descending else "ascending"}"' if current else ""
    arrow = f' <span aria-hidden="true">{"↓" if order.descending else "↑"}</span>' if current else ""
    link = f"?sort={column}&amp;order={'desc' if descending else 'asc'}"
    if directory.matching:
        link += f"&amp;filter={_escaped(directory.matching)}"
    return f'<th scope="col"{attributes}{sorting}><a href="{link}">{title}{arrow}</a></th>'
