"""Content-Disposition (RFC 6266): whether a browser shows or saves a file, and under which name. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

# Types that a browser shows without running scripts in our origin. SVG and HTML run scripts, so they are saved.
_PASSIVE = frozenset({"text/plain", "application/pdf"})
_PASSIVE_KINDS = ("image/", "audio/", "video/")

# Controls, both slashes, and the marks that reverse the displayed order ("exe.txt" for "txt.exe").
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f/\\\\\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNDECODED = re.compile("[\ud800-\udfff]")
_NOT_ASCII = re.compile(r"[^ -~]")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_ATTR_CHARS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`|~")


@lru_cache(maxsize=256)
def header(name: str, media_type: str, kind: str = "") -> str:
    """Return the field's value for a file of any name, in visible ASCII and spaces.

    ``kind`` is "inline" or "attachment"; "" decides by the media type.

    Unsafe characters become "_", bytes that are not UTF-8 become U+FFFD. If ``filename`` cannot hold the whole name, or
    would be ambiguous (quotes, percent signs: RFC 6266 appendix D), the value also has ``filename*`` (RFC 8187).
    """
    kind = kind or ("inline" if _passive(media_type) else "attachment")
    safe = _UNSAFE.sub("_", _UNDECODED.sub("\ufffd", name))
    if not safe:
        return kind
    if safe in (".", ".."):
        safe = "_"
    plain = _ESCAPED.sub(lambda found: "_" + found[0][1:], _NOT_ASCII.sub("_", safe).replace('"', "_"))
    if plain == safe:
        return f'{kind}; filename="{plain}"'
    encoded = "".join(chr(byte) if byte in _ATTR_CHARS else f"%{byte:02X}" for byte in safe.encode("utf-8"))
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _passive(media_type: str) -> bool:
    essence = media_type.partition(";")[0].strip().lower()
    return essence in _PASSIVE or (essence.startswith(_PASSIVE_KINDS) and essence != "image/svg+xml")
