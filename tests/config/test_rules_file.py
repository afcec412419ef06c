"""``[[rule]]`` tables in the file of settings: what they are read as, and the line of each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from freight.config.load import examine, reload, resolve
from freight.config.settings import read_settings
from freight.errors import ConfigurationError
from freight.http.rules import Rule

GOOD = """\
port = 1

[[rule]]
match = "/maps/*.pmtiles"
headers = { X-Robots-Tag = "noindex", "Link" = '</licence.txt>; rel="license"' }
cache_control = "public, max-age=3600"

[[ rule ]]  # a comment
match = "/**"
content_type = "text/plain; charset=utf-8"
disposition = "inline"
index = "index.html"
hidden = [".zgroup", ".well-known/**"]
"""


def test_tables_are_rules_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "freight.toml"
    file.write_text(GOOD)
    settings = resolve({}, {}, str(file)).settings
    maps, rest = settings.rule
    assert maps == Rule(
        "/maps/*.pmtiles",
        headers=(("X-Robots-Tag", "noindex"), ("Link", '</licence.txt>; rel="license"')),
        cache_control="public, max-age=3600",
    )
    assert rest == Rule(
        content_type="text/plain; charset=utf-8",
        disposition="inline",
        index="index.html",
        hidden=(".zgroup", ".well-known/**"),
    )
    assert [each.origin for each in settings.rule] == [f"{file}:3", f"{file}:8"]
    assert settings.port == 1


def test_options_are_the_last_rule(tmp_path: Path) -> None:
    file = tmp_path / "freight.toml"
    file.write_text(GOOD + '[[rule]]\nmatch = "/a"\n')
    rules = resolve({}, {"FREIGHT_HEADER": "X-A: 1\nX-B: 2,3", "FREIGHT_INLINE": "true"}, str(file)).settings.rules
    assert rules is not None
    assert rules.rules[-1] == Rule(headers=(("X-A", "1"), ("X-B", "2,3")), disposition="inline")
    assert len(rules.rules) == 4


def test_there_are_no_rules_by_default() -> None:
    assert read_settings({}).rules is None
    assert read_settings({"index": "none"}).rules is not None


def test_a_reload_takes_the_new_rules() -> None:
    running, fresh = read_settings({}), read_settings({"cache-control": "no-cache"})
    assert reload(running, fresh) == (fresh, ())


@pytest.mark.parametrize(
    ("rule", "line", "why"),
    [
        ('match = "maps"', 4, "match: 'maps' does not start with /"),
        ('\nmatch = "/a**"', 5, r"match: '/a\*\*': \*\* must stand alone"),
        ("match = 1", 4, "match: must be a string"),
        ('index = "list"', 3, "match is missing"),
        ('match = "/a"\ncolour = "red"', 5, "there is no key 'colour' of a rule; there are match, headers"),
        ('match = "/a"\n\nindex = "home"', 6, "index: 'home' is not one of list, index.html"),
        ('match = "/a"\nindex = []', 5, r"index: \[\] is not one of list, index.html"),
        ('match = "/a"\ndisposition = "shown"', 5, "disposition: 'shown' is not one of inline, attachment"),
        ('match = "/a"\ndisposition = {}', 5, "disposition: {} is not one of inline"),
        ('match = "/a"\ncontent_type = "html"', 5, "content_type: 'html' is not a media type"),
        ('match = "/a"\ncontent_type = "multipart/mixed"', 5, "content_type: 'multipart/mixed' is not a media type"),
        ('match = "/a"\ncontent_type = "a/b\\r\\nX: y"', 5, "content_type: the value .* has a character"),
        ('match = "/a"\ncache_control = "a\\nb"', 5, "cache_control: the value .* has a character"),
        ('match = "/a"\ncache_control = 60', 5, "cache_control: must be a string"),
        ('match = "/a"\nheaders = "X-A: b"', 5, "headers: must be a table"),
        ('match = "/a"\n[rule.headers]\nX-A = "b"\nContent-Length = "3"', 7, "headers: Content-Length cannot be set"),
        ('match = "/a"\nheaders.X-A = "b\\r\\nc"', 5, "headers: X-A: the value .* has a character"),
        ('match = "/a"\nheaders = { X-A = 1 }', 5, "headers: X-A: must be a string"),
        ('match = "/a"\nheaders = { "X A" = "1" }', 5, "headers: 'X A' is not the name"),
        ('match = "/a"\nheaders = { X-A = "1", x-a = "2" }', 5, "headers: x-a is given twice"),
        ('match = "/a"\nhidden = ".zgroup"', 5, "hidden: must be an array of patterns"),
        ('match = "/a"\nhidden = ["zgroup"]', 5, "hidden: 'zgroup' does not start with a dot"),
        ('match = "/a"\nhidden = [".a**"]', 5, r"hidden: '\.a\*\*': \*\* must stand alone"),
    ],
)
def test_a_mistake_names_the_file_and_the_line(rule: str, line: int, why: str, tmp_path: Path) -> None:
    file = tmp_path / "freight.toml"
    file.write_text(f'\n# match = "/x"\n[[rule]]\n{rule}\n\n[[rule]]\nmatch = "/b"\nindex = "list"\n')
    with pytest.raises(ConfigurationError, match=why) as raised:
        resolve({}, {}, str(file))
    assert str(raised.value).startswith(f"{file}:{line}: ")


@pytest.mark.parametrize("toml", ["rule = 1", "rule = [1]", '[rule]\nmatch = "/a"', 'rule = "/a"'])
def test_rules_are_tables(toml: str, tmp_path: Path) -> None:
    file = tmp_path / "freight.toml"
    file.write_text(toml)
    with pytest.raises(ConfigurationError, match=r"rule: write a table for each rule"):
        resolve({}, {}, str(file))


def test_the_plural_is_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "freight.toml"
    file.write_text('[[rules]]\nmatch = "/a"\n')
    with pytest.raises(ConfigurationError, match=r"no setting 'rules'; did you mean \[\[rule\]\]\?"):
        resolve({}, {}, str(file))


def test_without_lines_a_mistake_names_the_number_of_the_rule(tmp_path: Path) -> None:
    file = tmp_path / "freight.toml"
    file.write_text('rule = [{match = "/a"}, {match = "b"}]')
    with pytest.raises(ConfigurationError, match=r"freight\.toml: rule 2: match: 'b' does not start"):
        resolve({}, {}, str(file))


def test_there_are_at_most_256_rules(tmp_path: Path) -> None:
    file = tmp_path / "freight.toml"
    file.write_text('[[rule]]\nmatch = "/a"\n' * 256)
    assert len(resolve({}, {}, str(file)).settings.rule) == 256
    file.write_text('[[rule]]\nmatch = "/a"\n' * 257)
    with pytest.raises(ConfigurationError, match="257 rules; there may be 256"):
        resolve({}, {}, str(file))


def test_every_mistake_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "freight.toml"
    file.write_text('memory = "20Q"\n[[rule]]\nmatch = "a"\n[[rule]]\nmatch = "b"\n')
    assert [line.removeprefix(str(file)).split(": ")[0] for line in examine({}, {}, str(file))[2]] == [":3", ":5", ""]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("header", "X-A", "'X-A' is not a header field; write 'Name: value'"),
        ("header", "Content-Length: 1", "Content-Length cannot be set"),
        ("header", "X-A: a\r\nX-B: b", "the value .* has a character"),
        ("header", "X-A: a\nx-a: b", "x-a is given twice"),
        ("cache-control", "a\r\nb", "the value .* has a character"),
    ],
)
def test_an_option_is_checked_as_a_rule_is(name: str, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}: {why}(?!.* or none)"):
        read_settings({name: text})
