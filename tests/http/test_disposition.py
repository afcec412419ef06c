"""Content-Disposition: RFC 6266, RFC 8187."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.http.disposition import header


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data.csv", 'attachment; filename="data.csv"'),
        ("two words.csv", 'attachment; filename="two words.csv"'),
        ("", "attachment"),
        ("100%.csv", 'attachment; filename="100%.csv"'),
        ("naïve.csv", "attachment; filename=\"na_ve.csv\"; filename*=UTF-8''na%C3%AFve.csv"),
        ("€ rates", "attachment; filename=\"_ rates\"; filename*=UTF-8''%E2%82%AC%20rates"),
        ('a"b', "attachment; filename=\"a_b\"; filename*=UTF-8''a%22b"),
        ("50%20off", "attachment; filename=\"50_20off\"; filename*=UTF-8''50%2520off"),
        ("a\\b", 'attachment; filename="a_b"'),
        ("../etc/passwd", 'attachment; filename=".._etc_passwd"'),
        ("..", 'attachment; filename="_"'),
        ("a\r\nSet-Cookie: x", 'attachment; filename="a__Set-Cookie: x"'),
        ("a\x00\x7f\x85", 'attachment; filename="a___"'),
        ("a\udcff", "attachment; filename=\"a_\"; filename*=UTF-8''a%EF%BF%BD"),
        ("gpj\u202eexe", 'attachment; filename="gpj_exe"'),
        (f"a{chr(0xD800)}", "attachment; filename=\"a_\"; filename*=UTF-8''a%EF%BF%BD"),
    ],
)
def test_names_are_made_safe_and_encoded_where_ascii_cannot_hold_them(name: str, value: str) -> None:
    assert header(name, "application/octet-stream") == value


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("text/plain", "inline"),
        ("text/plain; charset=utf-8", "inline"),
        ("image/png", "inline"),
        ("video/mp4", "inline"),
        ("audio/ogg", "inline"),
        ("application/pdf", "inline"),
        ("image/svg+xml", "attachment"),
        ("Image/SVG+XML", "attachment"),
        ("text/html", "attachment"),
        ("text/csv", "attachment"),
        ("application/octet-stream", "attachment"),
        ("text/javascript", "attachment"),
    ],
)
def test_only_types_without_scripts_are_shown(media_type: str, kind: str) -> None:
    assert header("x", media_type) == f'{kind}; filename="x"'


GRAMMAR = re.compile(
    r"attachment(; filename=\"[ !#-\[\]-~]+\"(; filename\*=UTF-8''(%[0-9A-F]{2}|[A-Za-z0-9!#$&+.^_`|~-])+)?)?"
)


@given(st.one_of(st.text(), st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))))
def test_every_name_gives_one_line_of_the_grammar(name: str) -> None:
    value = header(name, "application/octet-stream")
    assert GRAMMAR.fullmatch(value)
    if "filename*=" in value:
        said = unquote(value.partition("UTF-8''")[2], errors="strict")
        assert len(said) == len(name) and not set(said) & set("/\\\r\n\0")
