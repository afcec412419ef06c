"""Download a file; run it again after a cut, and it resumes. Two versions of the file are never mixed.

    python examples/resume.py http://127.0.0.1:8080/sample.csv copy.csv

The entity tag is stored beside the file. If the server has another version by now, If-Range (RFC 9110 section 13.1.5)
makes it send the whole file instead of the rest.
"""

from __future__ import annotations

import argparse
import http.client
import sys
from pathlib import Path
from urllib.parse import urlsplit

PIECE_BYTES = 1 << 20


def fetch(url: str, path: Path) -> int:
    """Download ``url`` to ``path``, or the rest of it; return the bytes received. Raises OSError if it is cut."""
    parts = urlsplit(url)
    stored = path.with_name(path.name + ".etag")
    have = path.stat().st_size if path.exists() and stored.exists() else 0
    fields = {"Range": f"bytes={have}-", "If-Range": stored.read_text()} if have else {}
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request("GET", parts.path or "/", headers=fields)
        answer = connection.getresponse()
        if answer.status == 416 and answer.headers["Content-Range"] == f"bytes */{have}":
            return 0  # the file is complete
        if answer.status not in (200, 206):
            raise OSError(f"{url}: {answer.status} {answer.reason}")
        stored.write_text(answer.headers["ETag"] or "")
        return save(answer, path, append=answer.status == 206)
    finally:
        connection.close()


def save(answer: http.client.HTTPResponse, path: Path, append: bool) -> int:
    """Write the body of an answer; return its bytes. Raises OSError if fewer came than Content-Length said."""
    promised, came = answer.length, 0
    with path.open("ab" if append else "wb") as file:
        while piece := answer.read(PIECE_BYTES):
            came += file.write(piece)
    if promised is not None and came < promised:
        raise OSError(f"{path}: cut after {came} of {promised} bytes; run it again")
    return came


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Download a file, or resume a download that was cut.")
    parser.add_argument("url", metavar="URL", help="the file, such as http://127.0.0.1:8080/sample.csv")
    parser.add_argument("path", metavar="FILE", type=Path, help="where to store it")
    given = parser.parse_args()
    try:
        print(f"{fetch(given.url, given.path)} bytes received")
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"{parser.prog}: {error}")
