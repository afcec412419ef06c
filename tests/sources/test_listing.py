"""Directory listings: exactly the visible entries, in order and escaped, in memory that does not grow with them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import socket
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freight.errors import FileChanged, ShortRead
from freight.model import NotFound, Resource
from freight.protocols import Reader
from freight.sources import entries, page, rows
from freight.sources.disk_pool import DiskPool
from freight.sources.listing import HTML, JSON, PAGES, ListingLimits, ListingReader
from freight.sources.local import LocalSource
from freight.sources.lookup import SourceOptions
from freight.sources.producer import no_more
from freight.sources.sorted_runs import SortedRuns
from support.many_files import make_files

CLIENT = "192.0.2.1"

pytestmark = pytest.mark.usefixtures("no_leak")


class Page(HTMLParser):
    """A listing as a browser parses it: its rows, its elements, and every attribute."""

    VOID = frozenset({"meta", "link", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[tuple[str, str]] = []  # href, text
        self.attributes: list[tuple[str, str, str | None]] = []
        self.title = self.heading = self.counts = ""
        self.links: dict[str, str] = {}  # rel of a link to another page -> its query
        self.sorted: dict[str, str] = {}
        self.sorts: list[dict[str, str]] = []  # what the form of each column submits
        self.path: list[str] = []
        self.feed(text)
        self.close()
        assert self.path == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.path.append(tag)
        values = dict(attrs)
        if tag == "a" and {"tbody", "pre"} & set(self.path) and values.get("rel") != "up":
            self.rows.append((values["href"] or "", ""))
        if tag == "a" and "nav" in self.path and "rel" in values:
            self.links[values["rel"] or ""] = values["href"] or ""
        if {"thead", "form"} <= set(self.path) and tag in {"form", "input", "button"}:
            if tag == "form":
                self.sorts.append({})
            else:
                self.sorts[-1][values["name"] or ""] = values["value"] or ""
        if tag == "th" and "aria-sort" in values:
            self.sorted["aria-sort"] = values["aria-sort"] or ""

    def handle_endtag(self, tag: str) -> None:
        assert self.path.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"bdi", "tbody"} <= set(self.path) or ({"a", "pre"} <= set(self.path) and data != "../"):
            href, text = self.rows[-1]
            self.rows[-1] = (href, text + data)
        self.title += data if "title" in self.path else ""
        self.heading += data if "h1" in self.path else ""
        self.counts += data if "p" in self.path else ""

    @property
    def names(self) -> list[bytes]:
        return [named(href) for href, _ in self.rows]


def named(href: str) -> bytes:
    """Return the file name that a client requests when it follows a link of the listing at /some/where/."""
    parts = urlsplit(urljoin("http://host/some/where/", href))
    assert parts.netloc == "host" and not parts.query and not parts.fragment
    path = parts.path.removeprefix("/some/where/").removesuffix("/")
    assert path and "/" not in path
    return unquote_to_bytes(path)


async def open_listing(source: LocalSource, target: str, media_type: str) -> Reader:
    found = await source.locate(target, CLIENT)
    assert isinstance(found, Resource)
    reader = await source.open(found, media_type, CLIENT)
    assert not isinstance(reader, NotFound)
    return reader


def pieces(reader: Reader) -> Iterator[bytes]:
    with reader:
        while piece := reader.read(no_more):
            assert len(piece) <= 64 * 1024
            yield piece


def listed(
    root: Path,
    target: str = "/",
    media_type: str = HTML,
    limits: ListingLimits | None = None,
    options: SourceOptions | None = None,
) -> str:
    pool = DiskPool()
    source = LocalSource(root, pool, options, limits)
    try:
        return b"".join(pieces(asyncio.run(open_listing(source, target, media_type)))).decode()
    finally:
        source.close()
        pool.close()


def names(root: Path, target: str = "/", **options: Any) -> list[bytes]:
    """Return the names of the listing, which HTML and JSON must agree on."""
    html = Page(listed(root, target, HTML, **options)).names
    document = json.loads(listed(root, target, JSON, **options))
    assert [named(entry["href"]) for entry in document["entries"]] == html
    return html


NAMES = st.one_of(
    st.text(min_size=1, max_size=40).map(lambda text: text.encode("utf-8", "replace")),
    st.binary(min_size=1, max_size=40),
    st.sampled_from(
        [b"<script>", b"javascript:alert(1)", b"a&b", b'"onclick="x', b"'", b"?sort=size", b"#", b"%2e%2e"]
    ),
)


@given(raw=st.dictionaries(NAMES, st.tuples(st.booleans(), st.integers(0, 10**12)), max_size=12), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_media_types_list_exactly_the_visible_names_in_order(
    raw: dict[bytes, tuple[bool, int]], data: st.DataObject
) -> None:
    by = data.draw(st.sampled_from(["name", "size", "date"]))
    order = data.draw(st.sampled_from(["asc", "desc"]))
    limits = ListingLimits(data.draw(st.sampled_from([1, 2000, 5000, 1 << 20])))
    keys = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, (is_directory, number) in raw.items():
            name = name.replace(b"/", b"_").replace(b"\0", b"_")
            path = os.path.join(os.fsencode(directory), name)
            if name in {b".", b".."} or os.path.lexists(path):
                continue
            if is_directory:
                os.mkdir(path)
            else:
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
                os.truncate(path, number)
            os.utime(path, ns=(0, number))
            if not name.startswith(b"."):
                value = {"name": 0, "size": 0 if is_directory else number, "date": number}[by]
                keys[(is_directory is (order == "desc"), value, *natural_key(os.fsdecode(name)))] = name
        expected = [keys[key] for key in sorted(keys, reverse=order == "desc")]
        query = f"sort={by}&order={order}"
        assert names(Path(directory), f"/?{query}", limits=limits) == expected
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(page, "PAGE_ENTRIES", size := data.draw(st.integers(1, 5)))
            forwards, last = follow(Path(directory), f"?{query}", "next", limits=limits)
            backwards, _ = follow(Path(directory), last, "prev", limits=limits)
        assert forwards == ([expected[at : at + size] for at in range(0, len(expected), size)] or [[]])
        assert backwards == forwards[::-1]


def natural_key(name: str) -> tuple[tuple[tuple[int, int], ...], str]:
    """Return the sort key of a name: characters in lower case, numbers by value; for ties, the name."""
    pieces = re.findall("[0-9]+|[^0-9]", name.casefold(), re.DOTALL)
    return tuple((ord("0"), int(each)) if each[0] in "0123456789" else (ord(each), 0) for each in pieces), name


def follow(root: Path, query: str, rel: str, **options: Any) -> tuple[list[list[bytes]], str]:
    """Return the names on each page, following the links ``next`` or ``prev``, and the query of the last page."""
    found = []
    media_type = PAGES
    while True:
        seen = Page(listed(root, "/" + query, media_type, **options))
        found.append(seen.names)
        if rel not in seen.links:
            return found, query
        query, media_type = seen.links[rel], HTML  # a link to a page leads to a page for every client
        assert len(found) < 100


def test_directories_come_first_whichever_way_it_is_sorted(tmp_path: Path) -> None:
    for name in ("b-dir", "d-dir"):
        (tmp_path / name).mkdir()
    for name in ("a-file", "c-file"):
        (tmp_path / name).write_bytes(b"")
    assert names(tmp_path) == [b"b-dir", b"d-dir", b"a-file", b"c-file"]
    assert names(tmp_path, "/?order=desc") == [b"d-dir", b"b-dir", b"c-file", b"a-file"]


def test_an_entry_that_cannot_be_requested_is_not_listed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_bytes(b"")
    (root / "file").write_bytes(b"")
    (root / ".hidden").write_bytes(b"")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(root / "socket"))
    for name, target in {"link": "file", "out": "../secret", "dangling": "nothing", "loop": "loop"}.items():
        (root / name).symlink_to(target)
    for name in ("file", ".hidden"):
        os.utime(root / name, (0, 0))  # ties are sorted by name
    for sort in ("name", "size", "date"):
        assert names(root, f"/?sort={sort}", options=SourceOptions(follow_symlinks=False)) == [b"file"]
        assert names(root, f"/?sort={sort}", options=SourceOptions(show_hidden=True)) == sorted(
            [b".hidden", b"file", b"link"]
        )
        allowed = SourceOptions(allow_links_to=(str(tmp_path),))
        assert names(root, f"/?sort={sort}", options=allowed) == [b"file", b"link", b"out"]


HOSTILE = [
    "<script>alert(1)<script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "&lt;&amp;",
    "javascript:alert(1)",
    "https:evil.example",
    "\\\\evil.example",
    "?sort=size",
    "#top",
    "line\nbreak\r\ttab\x1b[31m",
    "\u202egnp.exe",
    "<\x2ftitle>".replace("/", "\u2215"),
    "-->",
    "bad\udcff\udcfe",
    "]]>",
]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    inner = tmp_path / HOSTILE[1].replace("/", "")
    inner.mkdir()
    for name in HOSTILE:
        (inner / name).write_bytes(b"")
    html = listed(tmp_path, "/" + "".join(f"%{byte:02X}" for byte in os.fsencode(inner.name)) + "/")
    seen = Page(html)
    assert sorted(seen.names) == sorted(os.fsencode(name) for name in HOSTILE)
    tags = {tag for tag, _, _ in seen.attributes}
    assert tags <= {"html", "meta", "link", "div", "p", "form", "input", "tr", "th", "a", "span", "td", "time"}
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    assert not [c for c in html if c != "\n" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c == "\u202e")]
    assert inner.name in seen.title and seen.heading.endswith(inner.name)


def test_bytes_that_are_not_utf8_are_escaped_in_the_name_and_exact_in_the_link(tmp_path: Path) -> None:
    (tmp_path / "bad\udcff\n").write_bytes(b"")
    assert Page(listed(tmp_path)).rows == [("bad%FF%0A", "bad\\xff\\x0a")]
    (entry,) = json.loads(listed(tmp_path, "/", JSON))["entries"]
    assert (entry["name"], entry["href"]) == ("bad\\xff\n", "bad%FF%0A")


def test_a_link_is_a_plain_name_without_characters_that_programs_misread(tmp_path: Path) -> None:
    """wget and apt know an entry by its name; few programs decode HTML in a link; wget2 takes "./a:b" for a host."""
    for name in ("a+b.txt", "a&b'c", "a:b", "javascript:alert(1)"):
        (tmp_path / name).touch()
    links = ["a%26b%27c", "a+b.txt", "a%3Ab", "javascript%3Aalert(1)"]
    html = listed(tmp_path)
    assert all(f'href="{link}"' in html for link in links)
    assert sorted(entry["href"] for entry in json.loads(listed(tmp_path, "/", JSON))["entries"]) == sorted(links)


def test_json_has_type_size_and_time(tmp_path: Path) -> None:
    (tmp_path / "x" / "sub").mkdir(parents=True)
    (tmp_path / "x" / "data.csv").write_bytes(b"12345")
    for name in ("sub", "data.csv"):
        os.utime(tmp_path / "x" / name, ns=(0, 1_714_550_400_999_900_000))
    assert json.loads(listed(tmp_path, "/x/", JSON)) == {
        "path": "/x/",
        "entries": [
            {
                "name": "sub",
                "type": "directory",
                "size": None,
                "modified": "2024-05-01T08:00:00.9999Z",
                "href": "sub/",
            },
            {
                "name": "data.csv",
                "type": "file",
                "size": 5,
                "modified": "2024-05-01T08:00:00.9999Z",
                "href": "data.csv",
            },
        ],
    }


@pytest.mark.parametrize(
    "ordered",
    [
        ["file1.csv", "file2.csv", "file10.csv", "file100.csv"],
        ["a.txt", "huge.csv", "README.md", "zero"],
        ["part-08", "part-8", "part-9", "part-010"],
        ["1", "2", "10", "20", "100"],
        ["v1.2.9", "v1.2.10", "v1.10.0"],
        ["a", "a 2", "a-1", "a1", "aa"],
        ["x" + "9" * 100, "x1" + "0" * 100],
        ["B", "b", "C"],
    ],
)
def test_names_are_sorted_in_natural_order(tmp_path: Path, ordered: list[str]) -> None:
    for name in ordered:
        (tmp_path / name).write_bytes(b"")
    assert names(tmp_path) == [name.encode() for name in ordered]
    assert names(tmp_path, "/?order=desc") == [name.encode() for name in reversed(ordered)]


def test_a_browser_gets_pages_of_1000_entries_and_other_clients_get_all(tmp_path: Path) -> None:
    fill(tmp_path, 2500)
    first = Page(listed(tmp_path, "/", PAGES))
    assert len(first.names) == 1000 and first.names[0] == b"file-000000.parquet"
    assert first.counts.strip() == "2,500 files. This page has 1\u20131,000. Other pages"
    assert len(names(tmp_path)) == 2500
    last = Page(listed(tmp_path, "/?before=", PAGES))
    assert (last.names[0], last.names[-1]) == (b"file-001500.parquet", b"file-002499.parquet")
    assert last.links.keys() == {"prev"} and "1,501\u20132,500" in last.counts


@pytest.mark.parametrize(
    "query", ["after=", "sort=size&after=file", "sort=date&after=x/file", "sort=size&before=1/", "after=/", "before"]
)
def test_an_invalid_cursor_is_the_edge_of_the_directory(tmp_path: Path, query: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert Page(listed(tmp_path, f"/?{query}", PAGES)).names == [b"file"]


def test_a_cursor_may_have_more_digits_than_a_name_can(tmp_path: Path) -> None:
    for name in ("1", "2", "a"):
        (tmp_path / name).touch()
    assert Page(listed(tmp_path, f"/?after={'1' * 300}", PAGES)).names == [b"a"]


def test_a_page_after_the_last_entry_has_a_link_back(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"")
    seen = Page(listed(tmp_path, "/?after=c", PAGES))
    assert seen.names == [] and "This page has no entries any more." in seen.counts
    assert '<a href="./">First</a>' in listed(tmp_path, "/?after=c", PAGES)


def test_an_entry_that_stays_is_on_one_page_whatever_is_created_or_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGE_ENTRIES", 3)
    for number in range(10):
        (tmp_path / f"{number}").write_bytes(b"")
    first = Page(listed(tmp_path, "/", PAGES))
    for gone in ("0", "2"):  # the first of the page, and the one before the next page
        (tmp_path / gone).unlink()
    (tmp_path / "0-new").write_bytes(b"")
    second = Page(listed(tmp_path, "/" + first.links["next"], PAGES))
    assert (first.names, second.names) == ([b"0", b"1", b"2"], [b"3", b"4", b"5"])


def test_a_filter_matches_names_in_any_case_and_applies_to_every_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGE_ENTRIES", 2)
    for name in ("A+b&1", "xa+B&2", "a+b&3x", "ab", ".a+b&4"):
        (tmp_path / name).write_bytes(b"")
    target = "/?filter=a%2Bb%26"
    assert names(tmp_path, target) == [b"A+b&1", b"a+b&3x", b"xa+B&2"]
    assert follow(tmp_path, target[1:], "next")[0] == [[b"A+b&1", b"a+b&3x"], [b"xa+B&2"]]
    assert Page(listed(tmp_path, target)).counts.strip() == "3 files, 0\xa0B with \u201ca+b&\u201d in the name."
    seen = Page(listed(tmp_path, target, PAGES))
    assert seen.counts.strip().startswith("3 files with \u201ca+b&\u201d in the name. Show all This page has 1\u20132.")
    assert ("input", "value", "a+b&") in seen.attributes
    assert [values["filter"] for values in seen.sorts] == ["a+b&"] * 3
    nothing = Page(listed(tmp_path, "/?filter=%3Cb%3E%FF"))
    assert nothing.names == [] and "Nothing has \u201c<b>\\xff\u201d in the name" in nothing.counts


def test_a_page_allows_only_its_own_script(tmp_path: Path) -> None:
    """The hash is of the whole text of the element (CSP level 3, section 2.3.1)."""
    (tmp_path / "<script>alert(1)<script>").write_bytes(b"")
    html = listed(tmp_path, "/", PAGES)
    allowed = dict(each.split(" ", 1) for each in page.POLICY.split("; "))
    for kind in ("style", "script"):
        texts = re.findall(rf"<{kind}>(.*?)</{kind}>", html, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert allowed[f"{kind}-src"] == " ".join(f"'sha256-{each}'" for each in hashes)
    assert allowed["default-src"] == "'none'"


def test_an_empty_directory_is_a_complete_document(tmp_path: Path) -> None:
    assert "This directory is empty." in listed(tmp_path)
    assert json.loads(listed(tmp_path, "/", JSON)) == {"path": "/", "entries": []}


def test_the_page_states_the_number_of_entries_and_their_size(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * 1024)
    assert Page(listed(tmp_path)).counts.strip() == "1 directory, 2 files, 2.05\xa0kB"


@pytest.mark.parametrize(
    ("query", "direction", "links"),
    [
        ("", "ascending", ["?sort=name&order=desc", "?sort=size&order=desc", "?sort=date&order=desc"]),
        ("?order=desc", "descending", ["?sort=name&order=asc", "?sort=size&order=desc", "?sort=date&order=desc"]),
        ("?sort=size", "ascending", ["?sort=name&order=asc", "?sort=size&order=desc", "?sort=date&order=desc"]),
        (
            "?sort=date&order=desc",
            "descending",
            ["?sort=name&order=asc", "?sort=size&order=desc", "?sort=date&order=asc"],
        ),
    ],
)
def test_column_heads_are_forms_that_sort(tmp_path: Path, query: str, direction: str, links: list[str]) -> None:
    """Not links: wget2 and other crawlers would save each order of each directory."""
    seen = Page(listed(tmp_path, "/" + query, PAGES))
    assert [f"?sort={values['sort']}&order={values['order']}" for values in seen.sorts] == links
    assert seen.sorted == {"aria-sort": direction}
    assert not [value for tag, name, value in seen.attributes if (tag, name) == ("a", "href") and "?" in str(value)]


@pytest.mark.parametrize("query", ["", "?sort=size", "?filter=a", "?filter=nothing"])
def test_the_only_links_for_a_program_are_the_entries_and_the_parent(tmp_path: Path, query: str) -> None:
    (tmp_path / "x" / "a").mkdir(parents=True)
    (tmp_path / "x" / "a.txt").touch()
    seen = Page(listed(tmp_path, f"/x/{query}"))
    hrefs = [value for tag, name, value in seen.attributes if (tag, name) == ("a", "href")]
    assert hrefs == (["../"] if "nothing" in query else ["../", "a/", "a.txt"])
    assert "form" not in {tag for tag, _, _ in seen.attributes} and seen.heading.endswith("/x")


def test_crumbs_lead_to_every_directory_above(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    seen = Page(listed(tmp_path, "/a/b/c/", PAGES))
    hrefs = [value for tag, name, value in seen.attributes if (tag, name) == ("a", "href") and value]
    above = [urlsplit(urljoin("http://host/a/b/c/", href)).path for href in hrefs if href.startswith("..")]
    assert above == ["/", "/a/", "/a/b/", "/a/b/"]
    assert seen.heading == seen.title == f"{tmp_path.name}/a/b/c"


def test_the_root_has_the_name_of_the_served_path(tmp_path: Path) -> None:
    (tmp_path / "my data").mkdir()
    assert Page(listed(tmp_path / "my data")).heading == "my data"
    assert Page(listed(tmp_path / "my data" / "..")).heading == tmp_path.name
    directory = entries.Directory.from_query((), (), "freight")
    with closing(DiskPool()) as pool:
        source = LocalSource("/", pool)
        found = asyncio.run(source.locate("/", CLIENT))
        source.close()
    assert isinstance(found, Resource) and found.key == directory


def test_the_head_is_small_however_deep_the_directory() -> None:
    part = entries.Pass(SortedRuns(1, no_more, lambda: None, descending=False), 0, 10**9, 10**9)
    for names in (("\u202e",) * 1000, ('"' * 255,) * 16):
        directory = entries.Directory(names, served='"' * 255, matching="&" * 255)
        assert len(page.head(directory, part, 1000, 10**18).encode()) < 64 * 1024


@pytest.mark.parametrize(
    ("mtime_ns", "expected"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_714_550_400_123_456_789, "2024-05-01T08:00:00.123456789Z"),
        (253_402_300_799 * 10**9, "9999-12-31T23:59:59Z"),
        (253_402_300_800 * 10**9, ""),
        (-62_167_219_200 * 10**9, "0000-01-01T00:00:00Z"),
        (-62_167_219_201 * 10**9, ""),
        (10**24, ""),
    ],
)
def test_times_are_rfc_3339_while_the_year_has_four_digits(mtime_ns: int, expected: str) -> None:
    assert rows.utc_time(mtime_ns) == expected


def fill(directory: Path, count: int) -> None:
    make_files(directory, [f"file-{number * 7919 % count:06}.parquet" for number in range(count)])


ENTRIES = 40_000
MEMORY_BYTES = 512 * 1024


def test_a_directory_of_many_passes_is_listed_in_order_from_bounded_memory(tmp_path: Path) -> None:
    fill(tmp_path, ENTRIES)
    with closing(DiskPool()) as pool:
        source = LocalSource(tmp_path, pool, listing_limits=ListingLimits(MEMORY_BYTES))
        reader = asyncio.run(open_listing(source, "/", JSON))
        count, tail = 0, b""
        tracemalloc.start()
        try:
            for piece in pieces(reader):
                *lines, tail = (tail + piece).split(b"\n")
                for line in lines:
                    if line.startswith(b'{"name"'):
                        assert line.startswith(b'{"name": "file-%06d.parquet"' % count)
                        count += 1
                # Further passes repeat these, and tracing is slow.
                if count > 20_000 and tracemalloc.is_tracing():
                    _, peak = tracemalloc.get_traced_memory()
                    tracemalloc.stop()
        finally:
            tracemalloc.stop()
        source.close()
    assert count == ENTRIES
    assert peak < 2 * MEMORY_BYTES


def test_a_page_of_a_large_directory_needs_little_memory(tmp_path: Path) -> None:
    fill(tmp_path, 20_000)
    with closing(DiskPool()) as pool:
        source = LocalSource(
            tmp_path, pool, listing_limits=ListingLimits(334 * 700, 32 * 1024)
        )  # as in a budget of 20 MB
        reader = asyncio.run(open_listing(source, "/?before=file-012000.parquet", PAGES))
        tracemalloc.start()
        try:
            sizes = [len(piece) for piece in pieces(reader)]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        source.close()
    assert max(sizes) <= 32 * 1024
    assert peak < 1024**2


SMALL = ListingLimits(50_000)
"""For some hundreds of entries in one pass."""


def fill_six_passes(root: Path) -> None:
    for number in range(3000):
        (root / f"{number:04}").write_bytes(b"")


def test_entries_that_stay_are_listed_once_whatever_is_created_or_removed(tmp_path: Path, pool: DiskPool) -> None:
    fill_six_passes(tmp_path)
    source = LocalSource(tmp_path, pool, listing_limits=SMALL)
    reader = asyncio.run(open_listing(source, "/", JSON))
    text = b""
    for turn, piece in enumerate(pieces(reader)):
        text += piece
        (tmp_path / f"{turn:04}").unlink()
        (tmp_path / f"0000-new-{turn}").write_bytes(b"")
    source.close()
    seen = [entry["name"] for entry in json.loads(text)["entries"]]
    assert len(seen) == len(set(seen))
    assert set(seen) >= {f"{number:04}" for number in range(100, 3000)}
    assert seen == sorted(seen)


def test_a_directory_removed_after_its_last_entry_was_listed_is_an_error_in_place_of_the_end(
    tmp_path: Path, pool: DiskPool
) -> None:
    root = tmp_path / "sub"
    root.mkdir()
    source = LocalSource(tmp_path, pool)
    with asyncio.run(open_listing(source, "/sub/", HTML)) as reader:
        assert b"</html>" in reader.read(no_more)
        root.rmdir()
        with pytest.raises(FileChanged):
            reader.read(no_more)
    source.close()


def test_the_listing_of_a_directory_removed_meanwhile_never_looks_complete(tmp_path: Path, pool: DiskPool) -> None:
    root = tmp_path / "sub"
    root.mkdir()
    fill_six_passes(root)
    source = LocalSource(tmp_path, pool, listing_limits=SMALL)
    with asyncio.run(open_listing(source, "/sub/", HTML)) as reader:
        text = reader.read(no_more)
        for path in root.iterdir():
            path.unlink()
        root.rmdir()
        with pytest.raises(ShortRead):  # noqa: PT012
            while piece := reader.read(no_more):
                text += piece
        assert b"</html>" not in text
    source.close()


class SlowReader(ListingReader):
    """A listing that waits within its first read for ``go``."""

    __slots__ = ("go", "reading")

    def _yield_interpreter(self) -> None:
        self.reading.set()
        self.go.wait(10)
        super()._yield_interpreter()


def test_a_listing_closed_while_it_is_read_keeps_its_descriptor_until_the_read_ends(
    tmp_path: Path, pool: DiskPool
) -> None:
    fill(tmp_path, 1000)  # more than between two yields of the interpreter
    source = LocalSource(tmp_path, pool)
    found = asyncio.run(source.locate("/", CLIENT))
    assert isinstance(found, Resource) and isinstance(found.key, entries.Directory)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    reader = SlowReader(HTML, fd, found.key, root=source._root, show_hidden=False, limits=SMALL)
    reader.go, reader.reading = threading.Event(), threading.Event()
    with reader:
        read = pool.submit(lambda: reader.read(no_more))
        assert reader.reading.wait(10)
    os.fstat(fd)
    reader.go.set()
    with pytest.raises(ShortRead):
        read.result(10)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    with pytest.raises(ShortRead):
        reader.read(no_more)
    source.close()


def test_json_is_as_the_reference_describes_it(tmp_path: Path) -> None:
    page_text = (Path(__file__).parents[2] / "docs" / "reference" / "listings.md").read_text()
    found = re.search(r"<!-- schema -->\n```json\n(.*?)```", page_text, re.DOTALL)
    assert found is not None
    schema = json.loads(found[1])
    entry_schema = schema["properties"]["entries"]["items"]
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_bytes(b"12345")
    document = json.loads(listed(tmp_path, "/", JSON))
    assert document.keys() == schema["properties"].keys() == set(schema["required"])
    types = {"string": str, "integer": int, "null": type(None)}
    for entry in document["entries"]:
        assert entry.keys() == entry_schema["properties"].keys() == set(entry_schema["required"])
        assert entry["type"] in entry_schema["properties"]["type"]["enum"]
        for name in ("name", "size", "modified", "href"):
            allowed = entry_schema["properties"][name]["type"]
            allowed = [allowed] if isinstance(allowed, str) else allowed
            assert isinstance(entry[name], tuple(types[each] for each in allowed)), name
