"""A directory listing for programs: all entries in the lines of nginx's and Apache's listings, which many can read.

Its only links are those to the entries and to the parent: crawlers follow every link, and some programs take every link
for an entry.
"""

from __future__ import annotations

from freight.http.markup import text
from freight.sources.entries import Directory, Pass
from freight.sources.page import counts

FOOT = "</pre>\n</body>\n</html>\n"


def head(directory: Directory, first: Pass, total_size: int | None) -> str:
    """Return everything before the first entry; less than 64 KiB.

    ``total_size`` is that of all files together, in bytes, if it is known.
    """
    title = text("/".join((directory.served, *directory.path)))
    parent = '<a href="../" rel="up">../</a>\n' if directory.path else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n</head>\n<body>\n'
        f"<h1>{title}</h1>\n<p>{counts(directory, first, None, total_size)}</p>\n<pre>\n{parent}"
    )
