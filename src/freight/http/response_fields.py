"""Response fields that an operator adds: which names and values are allowed (RFC 9110 section 5). Pure."""

from __future__ import annotations

import re

from freight.rfc9110 import TCHAR

MAX_VALUE = 2048
"""Most characters of a value."""

_TOKEN = re.compile(rf"{TCHAR}{{1,64}}")
_VALUE = re.compile(r"[ -~]++")

_ELSEWHERE = {
    "cache-control": "use cache_control",
    "content-type": "use content_type",
    "content-disposition": "use disposition",
    "vary": "freight sends it where a response depends on the request",
    "x-request-id": "use --request-id",
    "content-encoding": "freight sends it for the compressed forms of --precompressed only",
}
_OWN = frozenset(
    {
        # Framing, and what concerns one connection only (RFC 9110 section 7.6.1, RFC 9113 section 8.2.2).
        *("connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"),
        *("upgrade", "http2-settings"),
        # What freight decides for each response.
        *("accept-ranges", "age", "allow", "content-range", "date", "etag", "last-modified", "location"),
        *("proxy-authenticate", "retry-after", "server", "www-authenticate", "x-content-type-options"),
    }
)


def check_name(name: str) -> str:
    """Return the name. Raise ValueError with a sentence if it is no name, or one of a field that freight decides."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header field")
    lower = name.lower()
    if lower in _ELSEWHERE:
        raise ValueError(f"{name} cannot be set as a header: {_ELSEWHERE[lower]}")
    if lower.startswith("access-control-"):
        raise ValueError(f"{name} cannot be set as a header: use --cors-origin")
    if lower in _OWN:
        raise ValueError(f"{name} cannot be set: freight decides it for each response")
    return name


def check_value(value: str) -> str:
    """Return the value without outer spaces. Raise ValueError with a sentence unless it is visible ASCII and spaces."""
    stripped = value.strip(" ")
    if len(stripped) > MAX_VALUE:
        raise ValueError(f"a value has at most {MAX_VALUE} characters")
    if not _VALUE.fullmatch(stripped):
        why = "is empty" if not stripped else "has a character other than visible ASCII and spaces"
        raise ValueError(f"the value {value!r} {why}")
    return stripped


def read_line(line: str) -> tuple[str, str]:
    """Return name and value of ``Name: value``. Raise ValueError with a sentence."""
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError(f"{line!r} is not a header field; write 'Name: value'")
    return check_name(name), check_value(value)
