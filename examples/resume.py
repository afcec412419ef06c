"""Download a file so that a cut costs nothing and two versions are never stitched together.

    python examples/resume.py http://127.0.0.1:8080/huge.csv huge.csv

Run it again after a cut. What is there already is kept when the server still has the same file: the entity tag is
remembered beside it, and If-Range (RFC 9110 section 13.1.5) makes the server send everything where it has changed.
"""

from __future__ import annotations

import http.client
import sys
from pathlib import Path
from urllib.parse import urlsplit

PIECE_BYTES = 1 << 20


def fetch(url: str, path: Path) -> int:
    """Bring ``path`` to the whole of ``url``; how many bytes had to come. Raises OSError when it was cut again."""
    parts = urlsplit(url)
    remembered = path.with_name(path.name + ".etag")
    have = path.stat().st_size if path.exists() and remembered.exists() else 0
    fields = {"Range": f"bytes={have}-", "If-Range": remembered.read_text()} if have else {}
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request("GET", parts.path or "/", headers=fields)
        answer = connection.getresponse()
        if answer.status == 416 and answer.headers["Content-Range"] == f"bytes */{have}":
            return 0  # there is nothing behind what we have
        if answer.status not in (200, 206):
            raise OSError(f"{url}: {answer.status} {answer.reason}")
        remembered.write_text(answer.headers["ETag"] or "")
        return save(answer, path, append=answer.status == 206)
    finally:
        connection.close()


def save(answer: http.client.HTTPResponse, path: Path, append: bool) -> int:
    """Write an answer's content; its bytes. Raises OSError when fewer came than were promised."""
    promised, came = answer.length, 0
    with path.open("ab" if append else "wb") as file:
        while piece := answer.read(PIECE_BYTES):
            came += file.write(piece)
    if promised is not None and came < promised:
        raise OSError(f"{path}: cut after {came} of {promised} bytes; run it again")
    return came


if __name__ == "__main__":
    try:
        print(f"{fetch(sys.argv[1], Path(sys.argv[2]))} bytes came")
    except (OSError, http.client.HTTPException) as error:
        sys.exit(str(error))
