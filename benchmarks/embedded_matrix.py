#!/usr/bin/env python3
"""Write the matrix of docs/reference/embedded.md: the conformance table against freight in applications, and others.

usage: python -m benchmarks.embedded_matrix        in the environment of ./scripts/setup dev-all, with aiohttp

Each cell is how many requests of a group got the status that RFC 9110 demands, and a 206 the right bytes.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "clients"), str(ROOT)]

from asking import CONTENT, lay_out  # noqa: E402
from selections import SELECTIONS  # noqa: E402

from support.app_servers import COMMANDS, AppServer, app_server  # noqa: E402
from support.servers import Client, IncompleteResponse, ServerProcess  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "embedded.md"
START, END = "<!-- matrix -->\n", "<!-- end of the matrix -->"

OTHERS = {
    "Starlette FileResponse (uvicorn)": ("uvicorn", "benchmarks.embedded_peers:starlette_app"),
    "Django static.serve (gunicorn)": ("gunicorn", "benchmarks.embedded_peers:django_app"),
    "aiohttp FileResponse": ("aiohttp", "benchmarks.embedded_peers:aiohttp_app"),
}

GROUPS = {
    "one range": r"14\.1|14\.2: (an unknown|no unit|two)",
    "several ranges": r"5\.6\.1|17\.15",
    "HEAD, empty, absent": r"14\.2: (of (HEAD|an empty|what)|unsat|a suffix)",
    "If-Match": r"13\.1\.1|13\.2\.1|13\.2\.2",
    "If-None-Match": r"13\.1\.2",
    "dates": r"13\.1\.[34]",
    "If-Range": r"13\.1\.5",
}


def group_of(rule: str) -> str | None:
    """Return the column of a request; None for what only freight has, such as listings."""
    return next((name for name, pattern in GROUPS.items() if re.match(pattern, rule)), None)


def is_right(client: Client, request: bytes, status: int) -> bool:
    """Return whether the response is the one that is demanded."""
    try:
        client.send(request)
        answer = client.read_response("HEAD" if request.startswith(b"HEAD") else "GET")
    except (IncompleteResponse, OSError, ValueError):
        return False
    if answer.status != status:
        return False
    place = re.fullmatch(r"bytes (\d+)-(\d+)/1000", answer.fields.get("content-range", ""))
    return place is None or status != 206 or answer.content == CONTENT[int(place[1]) : int(place[2]) + 1]


def row(server: AppServer | ServerProcess) -> str:
    """Return the cells of one server."""
    etag = server.get("/file.bin").fields.get("etag", '"none"').encode()
    found = {name: [0, 0] for name in GROUPS}
    for rule, request, status in SELECTIONS:
        if (group := group_of(rule)) is not None:
            with server.connect() as client:
                found[group][0] += is_right(client, request.replace(b"{etag}", etag), status)
            found[group][1] += 1
    return " | ".join(f"{right} of {of}" for right, of in found.values())


@contextmanager
def freight_itself(root: Path) -> Iterator[ServerProcess]:
    """Run ``freight serve``."""
    server = ServerProcess((str(root),), "127.0.0.1", None, None)
    try:
        yield server
    finally:
        server.close()


def main() -> None:
    """Ask all, and write the page."""
    lines = [f"| | {' | '.join(GROUPS)} |", "|---" * (len(GROUPS) + 1) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        root = lay_out(Path(folder))
        with freight_itself(root) as server:
            lines.append(f"| `freight serve` | {row(server)} |")
        for name in COMMANDS:
            kind = "wsgi" if name in ("gunicorn", "waitress") else "asgi"
            with app_server(name, ROOT=str(root)) as running:
                lines.append(f"| `freight.{kind}` under {name} | {row(running)} |")
        for title, (name, app) in OTHERS.items():
            with app_server(name, app, ROOT=str(root)) as running:
                lines.append(f"| {title} | {row(running)} |")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(before + START + "\n" + "\n".join(lines) + "\n\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
