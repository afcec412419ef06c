"""A directory listing as a page for a browser: one HTML document with its style and script, written from top to bottom.

The head needs only the first pass over the directory; the rows (:mod:`freight.sources.rows`) are made as they are sent.
All links are relative, so the page works behind a proxy that adds a prefix. Without the script, the listing is
complete, its times are UTC, and the filter asks the server.
"""

from __future__ import annotations

import functools
import os

from freight.http.markup import BASE, BASE_HASH, ICON, policy, text
from freight.http.target import encode
from freight.sources.entries import Directory, Pass
from freight.sources.ordering import Column, Key, cursor
from freight.units import spaced_size

PAGE_ENTRIES = 1000
"""Entries on a page for a browser."""

STYLE_HASH = "sha256-w01FjkCNh/SP5lf1CMXK0I87Tmwrfqf1XEKGq9b4eP0="
SCRIPT_HASH = "sha256-YPcY4sTTHDYzlF0IsLFcJ0brLsGu3gMlvfmElH474/w="
POLICY = policy(BASE_HASH, STYLE_HASH, script=SCRIPT_HASH, form=True)[1]
"""The Content-Security-Policy that a listing needs."""

_CRUMBS_MAX = 8  # the last directories of a path that are shown as links: bounds the head of a deep path

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


def head(directory: Directory, first: Pass, max_entries: int, total_size: int | None) -> str:
    """Return everything before the first entry; less than 64 KiB.

    ``first`` is the first pass of this page, which has at most ``max_entries`` entries. ``total_size`` is that of all
    files together, in bytes, if it is known.
    """
    names = directory.path
    crumbs, form = _crumbs(directory), _form(directory, first)
    columns = "".join(_column(*each, directory) for each in _COLUMNS)
    title = text("/".join((directory.served, *names)))
    return (
        f"{_HEAD}<title>{title}</title>\n{ICON}\n<style>{BASE}</style>\n<style>{asset('listing.css')}</style>\n"
        f"</head>\n<body>\n<h1>{'<i>/</i>'.join(crumbs)}</h1>\n"
        f'<div class="bar">\n<p class="counts">{counts(directory, first, max_entries, total_size)}</p>\n'
        f'<p id="found" role="status"></p>\n'
        f"{form}</div>\n<table>\n<thead><tr>{columns}</tr></thead>\n<tbody>\n{_UP if names else ''}"
    )


def _crumbs(directory: Directory) -> list[str]:
    """Return the path to the directory, each part but the last as a link."""
    names = directory.path
    hidden = max(0, len(names) - _CRUMBS_MAX)
    served = f"<bdi>{text(directory.served)}</bdi>"
    crumbs = [f'<a href="{"../" * len(names)}">{served}</a>' if names else f'<span aria-current="page">{served}</span>']
    if hidden:
        crumbs.append("\u2026")
    for up, name in zip(range(len(names) - hidden - 1, 0, -1), names[hidden:], strict=False):
        crumbs.append(f'<a href="{"../" * up}"><bdi>{text(name)}</bdi></a>')
    if names:
        crumbs.append(f'<span aria-current="page"><bdi>{text(names[-1])}</bdi></span>')
    return crumbs


def foot(directory: Directory, first: Pass, edges: tuple[Key, Key] | None, shown: int) -> str:
    """Return everything after the last entry: links to other pages, if there are any, and the script.

    ``first`` is the first pass of this page, ``edges`` are the keys of its first and last entry, ``shown`` is the
    number of its entries.
    """
    preceding, entries = first.preceding, first.entries
    nav = ""
    if preceding or shown < entries:
        links = []
        if preceding:
            links.append(f'<a href="{_query(directory)}">First</a>')
        if preceding and edges:
            links.append(f'<a rel="prev" href="{_query(directory, before=edges[0])}">Previous</a>')
        if shown:
            links.append(f"<span>{preceding + 1:,}\u2013{preceding + shown:,} of {entries:,}</span>")
        if preceding + shown < entries and edges:
            links.append(f'<a rel="next" href="{_query(directory, after=edges[-1])}">Next</a>')
            links.append(f'<a href="{_query(directory, last=True)}">Last</a>')
        nav = f'<nav id="pages" aria-label="Pages">{"".join(links)}</nav>\n'
    return f"</tbody>\n</table>\n{nav}<script>{asset('listing.js')}</script>\n</body>\n</html>\n"


@functools.cache
def asset(name: str) -> str:
    """Return a style or a script without its indentation and line comments. Reads the file once."""
    with open(os.path.join(_ASSETS, name), encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def counts(directory: Directory, first: Pass, max_entries: int | None, total_size: int | None) -> str:
    """Return the number of entries, and which of them are on this page, which has at most ``max_entries``."""
    directories, files = first.directories, first.files
    entries = directories + files
    parts = []
    if directories:
        parts.append(f"{directories:,} director{'y' if directories == 1 else 'ies'}")
    if files:
        parts.append(f"{files:,} file{'' if files == 1 else 's'}")
    if files and total_size is not None:
        parts.append(spaced_size(total_size))
    summary = ", ".join(parts)
    if directory.matching:
        named = f"\u201c<bdi>{text(directory.matching)}</bdi>\u201d in the name"
        summary = f"{f'{summary} with' if summary else 'Nothing has'} {named}."
        if max_entries is not None:
            everything = _query(Directory((), directory.order))
            summary += f' <a href="{everything}">Show all</a>'
    elif not entries:
        summary = "This directory is empty."
    end = "" if directory.matching else "."
    preceding = first.preceding
    shown = entries - preceding if max_entries is None else min(max_entries, entries - preceding)
    if not shown and entries:
        summary += f"{end} This page has no entries any more."
    elif shown < entries:
        summary += f'{end} This page has {preceding + 1:,}\u2013{preceding + shown:,}. <a href="#pages">Other pages</a>'
    return summary


def _form(directory: Directory, first: Pass) -> str:
    """Return the filter's form. Without the script it asks the server; with it, it filters the rows of the page."""
    if not first.entries and not directory.matching:
        return ""
    order = directory.order
    kept = "" if order.by == "name" else f'<input type="hidden" name="sort" value="{order.by}">'
    kept += '<input type="hidden" name="order" value="desc">' if order.descending else ""
    return (
        f'<form role="search" data-all="{first.entries}">{kept}<input type="search" name="filter" '
        f'value="{text(directory.matching)}" placeholder="Filter" aria-label="Filter by name" title="Key: /" '
        'autocomplete="off" autocapitalize="off" spellcheck="false"></form>\n'
    )


def _query(directory: Directory, *, after: Key | None = None, before: Key | None = None, last: bool = False) -> str:
    """Return a link to another page of this listing, as an attribute's value."""
    order = directory.order
    pairs: list[tuple[str, str]] = [("sort", order.by)] if order.by != "name" else []
    pairs += [("order", "desc")] if order.descending else []
    pairs += [("filter", directory.matching)] if directory.matching else []
    pairs += [("after", cursor(after, order))] if after else []
    pairs += [("before", cursor(before, order) if before else "")] if before or last else []
    return "?" + "&amp;".join(f"{name}={_escaped(value)}" for name, value in pairs) if pairs else "./"


def _escaped(value: str) -> str:
    """Return a value escaped for a query within an attribute: percent-encode what forms or HTML would interpret."""
    path = encode(value.split("/"), False)[1:]
    return path.replace("&", "%26").replace("+", "%2B").replace("'", "%27")


def _column(column: Column, title: str, attributes: str, directory: Directory) -> str:
    order = directory.order
    current = column == order.by
    # A first click sorts names from A, but sizes and dates from the largest and the latest.
    descending = not order.descending if current else column != "name"
    sorting = f' aria-sort="{"descending" if order.descending else "ascending"}"' if current else ""
    arrow = f' <span aria-hidden="true">{"↓" if order.descending else "↑"}</span>' if current else ""
    kept = f'<input type="hidden" name="order" value="{"desc" if descending else "asc"}">'
    if directory.matching:
        kept += f'<input type="hidden" name="filter" value="{text(directory.matching)}">'
    # A form and not a link, because crawlers follow every link, and would save each order of each directory.
    button = f'<button name="sort" value="{column}">{title}{arrow}</button>'
    return f'<th scope="col"{attributes}{sorting}><form>{kept}{button}</form></th>'
