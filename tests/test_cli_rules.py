"""``freight rules``: which rule applies to a path, what an answer has, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freight.cli.main import main

RULES = """\
[[rule]]
match = "/maps/*.pmtiles"
headers = { X-A = "1", X-B = "2" }
cache_control = "max-age=60"

[[rule]]
match = "/**"
index = "index.html"
content_type = "text/html"
hidden = [".zgroup", ".well-known/**"]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("freight.toml").write_text(RULES)
    return "freight.toml"


def test_a_path_has_a_rule_and_what_it_sets(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "/maps/a%20b.pmtiles", "--config", config]) == 0
    assert capsys.readouterr().out == (
        "rule           freight.toml:1 (1 of 2)\n"
        "match          /maps/*.pmtiles\n"
        "path           /maps/a b.pmtiles\n"
        "headers        X-A: 1\n"
        "               X-B: 2\n"
        "cache_control  max-age=60\n"
        "content_type   application/vnd.pmtiles (by its name)\n"
        "disposition    attachment (by its type)\n"
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/maps/a.pmtiles", {"rule": "freight.toml:1", "headers": ["X-A: 1", "X-B: 2"], "cache_control": "max-age=60"}),
        ("/docs/", {"rule": "freight.toml:6", "index": "index.html"}),
        ("/a b/\N{LATIN SMALL LETTER E WITH ACUTE}#", {"path": "/a b/\N{LATIN SMALL LETTER E WITH ACUTE}#"}),
        ("/a.csv?query", {"path": "/a.csv", "content_type": "text/html", "disposition": "attachment"}),
        ("/a/.zgroup", {"hidden": "served"}),
        ("/a/.zattrs", {"hidden": "404"}),
    ],
)
def test_json_has_the_values(
    path: str, expected: dict[str, object], config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", path, "--json", "--config", config]) == 0
    assert expected.items() <= json.loads(capsys.readouterr().out).items()


def test_a_path_starts_with_the_prefix(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--json", "--config", config, "--prefix", "/files"]
    assert main(["rules", "/files/maps/a.pmtiles", *options]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == "/maps/a.pmtiles"
    assert main(["rules", "/maps/a.pmtiles", *options]) == 2
    assert "'/maps/a.pmtiles' is outside of the prefix; it starts with /files/" in capsys.readouterr().err


def test_without_a_path_all_rules_are_listed(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--json", "--config", config, "--inline"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["rule"], row["match"]) for row in rows] == [
        ("freight.toml:1", "/maps/*.pmtiles"),
        ("freight.toml:6", "/**"),
        ("--header, --cache-control, --index and --inline", "/**"),
    ]
    assert rows[1]["hidden"] == [".zgroup", ".well-known/**"]
    assert main(["rules", "--config", config]) == 0
    assert capsys.readouterr().out.count("match ") == 2


def test_no_rule_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "/a.csv"]) == 1
    assert capsys.readouterr().out.startswith("rule           there are none\n")
    assert main(["rules"]) == 1


@pytest.mark.parametrize("path", ["maps", "/a%zz", "/a%2Fb", ""])
def test_what_is_no_path_is_a_mistake(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", path]) == 2
    assert capsys.readouterr().err.startswith(f"freight: PATH: {path!r} is not the path of a file")
