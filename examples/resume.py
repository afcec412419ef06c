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
    """Download ``url`` to ``path``, or the rest of it. Return the bytes received. Raise OSError if it is cut."""
    parts = urlsplit(url)
    stored = path.with_name(path.name + ".etag")
    have = path.stat().st_size if path.exists() and stored.exists() else 0
    fields = {"Range": f"bytes={have}-", "If-Range": stored.read_text()} if have else {}
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        connection.request("GET", parts.path or "/", headers=fields)
        response = connection.getresponse()
        if response.status == 416 and response.headers["Content-Range"] == f"bytes */{have}":
            return 0  # the file is complete
        if response.status not in (200, 206):
            raise OSError(f"{url}: {response.status} {response.reason}")
        stored.write_text(response.headers["ETag"] or "")
        return save(response, path, append=response.status == 206)
    finally:
        connection.close()


def save(response: http.client.HTTPResponse, path: Path, append: bool) -> int:
    """Write the body of a response. Return its length. Raise OSError if it is shorter than Content-Length."""
    promised, received = response.length, 0
    with path.open("ab" if append else "wb") as file:
        while piece := response.read(PIECE_BYTES):
            received += file.write(piece)
    if promised is not None and received < promised:
        raise OSError(f"{path}: cut after {received} of {promised} bytes; run it again")
    return received


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Download a file, or resume a download that was cut.")
    parser.add_argument("url", metavar="URL", help="the file, such as http://127.0.0.1:8080/sample.csv")
    parser.add_argument("path", metavar="FILE", type=Path, help="where to store it")
    given = parser.parse_args()
    try:
        print(f"{fetch(given.url, given.path)} bytes received")
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"{parser.prog}: {error}")
