"""What listings and error pages share: escaping, style, icon, and Content-Security-Policy. Pure.

Styles and scripts are inline, because a page behind a proxy does not know a path to load them from. The policy allows
them by hash. The hashes are constants, because hashlib loads a cryptography library; a test checks them.
"""

from __future__ import annotations

from freight.http.printable import ESCAPES

_MARKUP = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", ord("'"): "&#39;"}
_TEXT = ESCAPES | _MARKUP

ICON = (
    '<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=%27http://www.w3.org/2000/svg%27 viewBox=%270 0 32 32%27%3E'
    "%3Crect width=%2732%27 height=%2732%27 rx=%277%27 fill=%27%231657b8%27/%3E%3Cpath fill=%27%23fff%27"
    ' d=%27M8 9h16v4H12v3h9v4h-9v5H8z%27/%3E%3C/svg%3E">'
)
"""An inline icon: with it a browser does not request /favicon.ico."""

BASE = """
:root{color-scheme:light dark;--text:#1c2128;--quiet:#5b6573;--line:#e6e9ee;--hover:#f4f6f9;--page:#fff;--link:#1657b8}
@media(prefers-color-scheme:dark){:root{--text:#d9dee6;--quiet:#98a2b0;--line:#262c35;--hover:#1b2129;--page:#14181e;\
--link:#84b4f7}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:2.5rem 1.5rem 4rem;background:var(--page);color:var(--text);\
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
h1{margin:0 .75rem 1rem;font-size:1.25rem;font-weight:600}
p{margin:1rem .75rem;max-width:42rem}
a{color:var(--link);text-decoration:none}
a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
.quiet{color:var(--quiet);font-size:.875rem}
@media(max-width:40rem){body{padding:1.25rem .5rem 3rem}h1,p{margin-inline:.5rem}}
"""
BASE_HASH = "sha256-it2wWfj0xXfnpsNpp81uZzkmf4064/nKVJ5qVvT/3sc="


def text(name: str) -> str:
    """Return a name as :func:`freight.http.printable.printable` does, escaped for HTML text and quoted attributes."""
    return name.translate(_TEXT)


def policy(*styles: str, script: str = "", form: bool = False) -> tuple[str, str]:
    """Return the Content-Security-Policy of a page with styles and a script of these hashes.

    ``form``: the page has a form that it submits to this server. The page loads nothing, only has inline images, and no
    page may frame it.
    """
    allowed = [
        "default-src 'none'",
        "style-src " + " ".join(f"'{each}'" for each in styles),
        *([f"script-src '{script}'"] if script else []),
        "img-src data:",
        "base-uri 'none'",
        "form-action 'self'" if form else "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return ("Content-Security-Policy", "; ".join(allowed))
