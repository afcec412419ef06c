"""A directory listing as a page: one HTML document, written from top to bottom, its style within, no script.

Nothing in it depends on what comes later, so that it can be written as the directory is read; what is counted stands at
the end. All links are relative: the page works behind a proxy that adds a prefix.
"""

from __future__ import annotations

import time

from freight.core.target import encode
from freight.sources.entries import Column, Item, Order

_CRUMBS_MAX = 8  # the last directories of a path shown as links; keeps the head small however deep the path is

# Text is escaped for HTML; what would hide or rearrange a name (controls, bidirectional overrides, line ends) and bytes
# that are not UTF-8 are spelt out.
_SPELT = [*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF]
_TEXT = {
    **{code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _SPELT},
    **{0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)},
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    ord("'"): "&#39;",
}

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>
:root{color-scheme:light dark;--text:#1c2128;--quiet:#667080;--line:#e6e9ee;--hover:#f4f6f9;--page:#fff;--link:#1657b8}
@media(prefers-color-scheme:dark){:root{--text:#d9dee6;--quiet:#8d97a5;--line:#262c35;--hover:#1b2129;--page:#14181e;\
--link:#84b4f7}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:2.5rem 1.5rem 4rem;background:var(--page);color:var(--text);\
font:1rem/1.5 system-ui,sans-serif}
h1{margin:0 .75rem 1.5rem;font-size:1.25rem;font-weight:600;overflow-wrap:anywhere}
h1 i{margin:0 .35em;font-style:normal;font-weight:400;color:var(--quiet)}
a{color:var(--link);text-decoration:none}
a:hover{text-decoration:underline}
a:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:2px}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.45rem .75rem;border-bottom:1px solid var(--line);text-align:start;vertical-align:top}
thead th{position:sticky;top:0;background:var(--page);font-size:.8125rem;font-weight:500;white-space:nowrap;\
box-shadow:inset 0 -1px var(--line)}
thead a{color:var(--quiet)}
th[aria-sort] a{color:var(--text);font-weight:600}
tbody th{font-weight:400;width:100%;overflow-wrap:anywhere}
td,.n{white-space:nowrap;color:var(--quiet)}
.n{text-align:end}
tbody tr:hover>*{background:var(--hover)}
tbody a{display:flex;align-items:baseline;gap:.7rem}
tbody a::before{content:"";flex:none;width:.9rem;height:.85rem;background:var(--quiet);opacity:.45;translate:0 .1rem;\
clip-path:polygon(10% 0,60% 0,90% 28%,90% 100%,10% 100%)}
a.d{font-weight:500}
a.d::before{background:var(--link);opacity:.75;\
clip-path:polygon(0 6%,42% 6%,54% 22%,100% 22%,100% 94%,0 94%)}
a.u::before{content:"\\2191";background:none;clip-path:none;opacity:1;line-height:1;translate:none;text-align:center}
p{margin:1.25rem .75rem;font-size:.875rem;color:var(--quiet);font-variant-numeric:tabular-nums}
@media(max-width:40rem){body{padding:1.25rem .5rem 3rem}h1{margin-inline:.5rem;font-size:1.1rem}\
th,td{padding-inline:.5rem}td{font-size:.875rem;line-height:1.7}p{margin-inline:.5rem}.w{display:none}}
</style>
"""

_COLUMNS: tuple[tuple[Column, str, str], ...] = (
    ("name", "Name", ""),
    ("size", "Size", ' class="n"'),
    ("date", 'Modified<span class="w"> (UTC)</span>', ""),
)
_UP = '<tr><th scope="row"><a class="u" href="../" rel="up">Parent directory</a></th><td></td><td></td></tr>\n'


def head(names: tuple[str, ...], order: Order) -> str:
    """Everything before the first entry of the directory ``names``; less than 64 KiB."""
    path = text("/" + "".join(name + "/" for name in names))
    hidden = max(0, len(names) - _CRUMBS_MAX)
    crumbs = [f'<a href="{"../" * len(names)}">root</a>' if names else '<span aria-current="page">root</span>']
    if hidden:
        crumbs.append("\u2026")
    for up, name in zip(range(len(names) - hidden - 1, 0, -1), names[hidden:], strict=False):
        crumbs.append(f'<a href="{"../" * up}"><bdi>{text(name)}</bdi></a>')
    if names:
        crumbs.append(f'<span aria-current="page"><bdi>{text(names[-1])}</bdi></span>')
    columns = "".join(_column(column, title, attributes, order) for column, title, attributes in _COLUMNS)
    return (
        f"{_HEAD}<title>Index of {path}</title>\n</head>\n<body>\n<h1>{'<i>/</i>'.join(crumbs)}</h1>\n<table>\n"
        f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{_UP if names else ''}"
    )


def row(item: Item) -> str:
    """One entry."""
    target = "." + encode((item.name,), item.size is None)  # "./": a name with a colon is not a scheme
    if item.size is None:
        name, size = f'<a class="d" href="{_quoted(target)}"><bdi>{text(item.name)}/</bdi></a>', ""
    else:
        name = f'<a href="{_quoted(target)}"><bdi>{text(item.name)}</bdi></a>'
        size = f'<span title="{item.size:,} bytes">{amount(item.size)}</span>'
    return f'<tr><th scope="row">{name}</th><td class="n">{size}</td><td>{_time(item.mtime_ns)}</td></tr>\n'


def foot(directories: int, files: int, size: int) -> str:
    """Everything behind the last entry: the counts, and the files' bytes together."""
    counts = []
    if directories:
        counts.append(f"{directories:,} director{'y' if directories == 1 else 'ies'}")
    if files:
        counts.append(f"{files:,} file{'' if files == 1 else 's'} ({amount(size)})")
    return f"</tbody>\n</table>\n<p>{', '.join(counts) or 'This directory is empty.'}</p>\n</body>\n</html>\n"


def text(name: str) -> str:
    """A file name as HTML text, what cannot be seen in it spelt out."""
    return name.translate(_TEXT)


def amount(size: int) -> str:
    """Bytes as people read them: three digits and a binary unit."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        value /= 1024
        if value < 999.5 or unit == "EiB":
            break
    return f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.1f} {unit}"


def utc(mtime_ns: int) -> str | None:
    """A time as ISO 8601 in UTC, to the second; None when it has no four-digit year."""
    seconds = mtime_ns // 1_000_000_000
    if not -62_167_219_200 <= seconds < 253_402_300_800:
        return None
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def _quoted(target: str) -> str:
    return target.replace("&", "&amp;").replace("'", "&#39;")


def _time(mtime_ns: int) -> str:
    when = utc(mtime_ns)
    if when is None:
        return ""
    return f'<time datetime="{when}">{when[:10]}<span class="w"> {when[11:16]}</span></time>'


def _column(column: Column, title: str, attributes: str, order: Order) -> str:
    current = column == order.by
    # Names are looked for from A on; sizes and dates mostly for the largest and the latest.
    descending = not order.descending if current else column != "name"
    sorting = f' aria-sort="{"descending" if order.descending else "ascending"}"' if current else ""
    arrow = f' <span aria-hidden="true">{"↓" if order.descending else "↑"}</span>' if current else ""
    link = f"?sort={column}&amp;order={'desc' if descending else 'asc'}"
    return f'<th scope="col"{attributes}{sorting}><a href="{link}">{title}{arrow}</a></th>'
