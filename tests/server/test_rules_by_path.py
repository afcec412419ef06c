"""Rules by path, by real requests: fields, types, dispositions, index pages, hidden names, reloads."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.servers import Serve, wait_until

RULES = """\
[[rule]]
match = "/data/*.bin"
headers = { X-Robots-Tag = "noindex" }
cache_control = "public, max-age=60"
content_type = "application/x-thing"

[[rule]]
match = "/none/**"
index = "none"

[[rule]]
match = "/only/**"
index = "index.html-only"

[[rule]]
match = "/**/index.html"
headers = { X-Page = "yes" }

[[rule]]
match = "/**"
index = "index.html"
hidden = [".zgroup", ".well-known/*"]
disposition = "inline"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("data/a.bin", "none/a.bin", "only/a.bin", "page/index.html", "page/b.svg", "list/a.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * 1000)
    for name in ("z/.zgroup", "z/.zother", ".well-known/security.txt", ".well-known/.more"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"hidden")
    (root / "list" / "index.html").mkdir()
    return root


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "freight.toml"
    file.write_text(RULES)
    return file


def test_a_file_has_the_fields_of_its_rule(serve: Serve, folder: Path, config: Path) -> None:
    server = serve(folder, "--config", config, "--cors-origin", "https://a.example")
    some, two = "Range: bytes=0-9", "Range: bytes=0-9,20-29"
    for field, status in (("", 200), (some, 206), (two, 206), ("If-None-Match: *", 304)):
        response = server.get("/data/a.bin", *([field] if field else []))
        assert response.status == status, field
        assert response.fields["x-robots-tag"] == "noindex", field
        assert response.fields["cache-control"] == "public, max-age=60", field
        assert response.fields["vary"] == "Origin", field
        if "," in field:
            assert response.content.count(b"Content-Type: application/x-thing") == 2
        elif status != 304:
            assert response.fields["content-type"] == "application/x-thing", field


def test_an_error_has_none_of_them(serve: Serve, folder: Path, config: Path) -> None:
    server = serve(folder, "--config", config, "--header", "X-Robots-Tag: noindex")
    for status, target, *fields in (
        (404, "/data/none.bin"),
        (416, "/data/a.bin", "Range: bytes=5000-"),
        (308, "/data"),
    ):
        response = server.get(str(target), *map(str, fields))
        assert response.status == status, target
        assert "x-robots-tag" not in response.fields, target
        assert response.fields["cache-control"] == "no-store", target


def test_a_directory_serves_what_its_rule_says(serve: Serve, folder: Path, config: Path) -> None:
    server = serve(folder, "--config", config)
    page = server.get("/page/?query")
    assert (page.status, page.content) == (200, b"x" * 1000)
    assert page.fields["content-type"] == "text/html"
    assert page.fields["content-disposition"].startswith("inline")
    assert page.fields["x-page"] == "yes", "the rule of index.html decides, not that of the directory"
    assert server.get("/page/./", "If-None-Match: " + page.fields["etag"]).status == 304
    assert server.get("/page/").fields["etag"] == server.get("/page/index.html").fields["etag"]
    assert server.get("/page/b.svg").fields["content-disposition"].startswith("inline")
    listing = server.get("/list/", "Accept: application/json")
    assert (listing.status, listing.fields["content-type"]) == (200, "application/json")
    assert server.get("/none/").status == server.get("/only/").status == 404
    assert server.get("/none/a.bin").status == server.get("/only/a.bin").status == 200
    (folder / "only" / "index.html").write_text("page")
    assert server.get("/only/").content == b"page"


def test_hidden_names_are_served_where_a_rule_allows_them(serve: Serve, folder: Path, config: Path) -> None:
    server = serve(folder, "--config", config)
    targets = ("/z/.zgroup", "/z/.zother", "/.well-known/security.txt", "/.well-known/.more", "/.well-known/")
    assert [server.get(target).status for target in targets] == [200, 404, 200, 404, 404]
    assert b".zgroup" not in server.get("/z/").content


def test_without_rules_an_html_file_is_saved_and_a_directory_is_listed(serve: Serve, folder: Path) -> None:
    server = serve(folder)
    assert server.get("/page/index.html").fields["content-disposition"].startswith("attachment")
    assert b"b.svg" in server.get("/page/").content
    assert "cache-control" not in server.get("/data/a.bin").fields
    assert server.get("/z/.zgroup").status == 404


def test_options_are_a_rule_for_every_path(serve: Serve, folder: Path) -> None:
    options = ("--header", "X-A: 1", "--header", "X-B: 2, 3", "--cache-control", "no-cache", "--index", "index.html")
    response = serve(folder, *options, "--inline").get("/page/")
    assert {name: response.fields[name] for name in ("x-a", "x-b", "cache-control")} == {
        "x-a": "1",
        "x-b": "2, 3",
        "cache-control": "no-cache",
    }
    assert response.fields["content-disposition"].startswith("inline")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_reload_reads_the_rules_again(serve: Serve, folder: Path, config: Path, workers: str) -> None:
    server = serve(folder, "--config", config, "--workers", workers)
    config.write_text('[[rule]]\nmatch = "/data/**"\ncache_control = "no-cache"\n')
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: server.get("/data/a.bin").fields.get("cache-control") == "no-cache", "new rules")
    # Each worker reloads by itself.
    wait_until(lambda: "x-robots-tag" not in server.get("/data/a.bin").fields, "the old rule is gone")
