r"""No text of a client can control a terminal, hide, or be displayed in another order, in any output."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.http import markup
from freight.http.printable import HIDDEN, JSON_ESCAPES, printable
from freight.model import Entry, Level, Notice
from freight.observe.log import json_line, json_notice, text_line, text_notice
from freight.tools.top.status import safe_text

ENTRY = Entry(0.0, 0.0, "127.0.0.1", "GET", "/", (1, 1), 200, "", 0, 0, "complete")
OUTPUTS = {
    "page": markup.text,
    "log, text": lambda text: text_line(replace(ENTRY, target=text, range=text)),
    "log, JSON": lambda text: json_line(replace(ENTRY, target=text, range=text)),
    "message, text": lambda text: text_notice(Notice(0.0, Level.INFO, text)),
    "message, JSON": lambda text: json_notice(Notice(0.0, Level.INFO, text)),
    "top": safe_text,
    "listing, JSON": lambda text: json.dumps(text, ensure_ascii=False).translate(JSON_ESCAPES),
}


def test_the_table_has_all_controls_separators_and_bidirectional_marks() -> None:
    """Unicode: categories Cc, Zl and Zp, and the invisible characters of UAX 9."""
    everything = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    controls = {char for char in everything if unicodedata.category(char) in ("Cc", "Zl", "Zp")}
    turning = {"LRM", "RLM", "ALM", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    marks = {char for char in everything if unicodedata.bidirectional(char) in turning} | set("\u061c\u200e\u200f")
    assert controls | marks <= set(map(chr, HIDDEN))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("code", HIDDEN, ids="U+{:04X}".format)
def test_no_output_has_a_hidden_character(output: str, code: int) -> None:
    assert chr(code) not in OUTPUTS[output](f"a{chr(code)}b")


@given(st.text())
def test_json_parses_back_unchanged(text: str) -> None:
    assert json.loads(json.dumps(text, ensure_ascii=False).translate(JSON_ESCAPES)) == text


def test_bytes_that_are_not_utf_8_are_escaped() -> None:
    assert printable(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\\xe9"
