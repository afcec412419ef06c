"""The combined format: what tools for web logs read, whatever a client sends."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.model import Entry, RequestDetails
from freight.observe.combined import combined_line
from support.entries import ENTRY

DETAILED = replace(ENTRY, details=RequestDetails("curl/8.5.0", "http://a.example/"))
# As tools have it: Apache's documentation, Logstash's COMBINEDAPACHELOG, fluent-bit's parser "apache2".
COMBINED = re.compile(
    r'(?P<host>[^ ]+) - (?P<user>[^ ]+) \[(?P<time>[^\]]+)\] "(?P<request>-|[^" ]+ [^" ]+ HTTP/\d\.\d)" '
    r'(?P<status>\d{3}) (?P<bytes>\d+) "(?P<referer>[^"]+)" "(?P<agent>[^"]+)"'
)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (
            DETAILED,
            (
                '127.0.0.1 - - [02/Jan/2026:03:04:05 +0000] "GET /huge.csv HTTP/1.1" 206 10 "http://a.example/" '
                '"curl/8.5.0"'
            ),
        ),
        (
            replace(DETAILED, client="2001:db8::1", version=(2, 0), user="alice b", details=None),
            '2001:db8::1 - alice\\x20b [02/Jan/2026:03:04:05 +0000] "GET /huge.csv HTTP/2.0" 206 10 "-" "-"',
        ),
        (
            replace(DETAILED, target='/a"b\\c d\x1b[31m\xe9', details=RequestDetails("\xff\r\n", '" 200 0 "')),
            (
                '127.0.0.1 - - [02/Jan/2026:03:04:05 +0000] "GET /a\\x22b\\x5Cc%20d\\x1B[31m\\xE9 HTTP/1.1" 206 10 '
                '"\\x22 200 0 \\x22" "\\xFF\\x0D\\x0A"'
            ),
        ),
        (
            replace(DETAILED, method="-", target="-", status=400, sent=60, ended="refused", details=None),
            '127.0.0.1 - - [02/Jan/2026:03:04:05 +0000] "-" 400 60 "-" "-"',
        ),
    ],
)
def test_a_line(entry: Entry, line: str) -> None:
    assert combined_line(entry) == line


@pytest.mark.parametrize(
    ("ended", "target", "status"),
    [
        ("peer-gone", "/", 499),
        ("stalled", "/", 408),
        ("too-slow", "/", 408),
        ("drained", "/", 503),
        ("disk-timeout", "/", 503),
        ("error: Input/output error", "/", 500),
        ("tls-failed", "-", 400),
        ("proxy-header-failed", "-", 400),
    ],
)
def test_a_request_without_a_response_has_a_status(ended: str, target: str, status: int) -> None:
    line = combined_line(replace(DETAILED, status=0, ended=ended, target=target))
    found = COMBINED.fullmatch(line)
    assert found and found["status"] == str(status)


ANY = st.text()


@given(method=ANY.filter(bool), target=ANY.filter(bool), user=ANY, agent=st.text(max_size=60), referer=ANY)
def test_a_tool_finds_the_same_fields_whatever_a_client_sends(
    method: str, target: str, user: str, agent: str, referer: str
) -> None:
    """No quote, blank or line break of a client ends a field or a line, and each text can be told from any other."""
    entry = replace(DETAILED, method=method, target=target, user=user, details=RequestDetails(agent, referer))
    line = combined_line(entry)
    found = COMBINED.fullmatch(line)
    assert found and found["status"] == "206" and found["bytes"] == "10"
    assert line.isascii() and line.isprintable()
    assert found["agent"] == "-" or plain(found["agent"]) == agent


@pytest.mark.parametrize("character", ["a", '"', "\xff", "%", " ", "\U0001f600"])
def test_a_line_is_shorter_than_what_goaccess_reads(character: str) -> None:
    """Its buffer has 4,096 bytes, and so has PIPE_BUF. The method and the user have limits of their own."""
    long = character * 280
    entry = replace(
        DETAILED, client="::1%" + "e" * 60, method=long, target=character * 1048, user=long,
        details=RequestDetails(long, long),
    )  # fmt: skip
    line = combined_line(entry)
    assert COMBINED.fullmatch(line) and len(line) < 4095
    assert ("..." in line) is (character not in "a%")


def plain(text: str) -> str:
    """Return what was escaped."""
    return re.sub(
        r"\\x([0-9A-Fa-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})",
        lambda each: chr(int(each[1] or each[2] or each[3], 16)),
        text,
    )
