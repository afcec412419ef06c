#!/usr/bin/env python3
"""A table of PostgreSQL as CSV, of any size from little memory: COPY ... TO STDOUT, streamed while it is downloaded.

usage: export_postgresql.py PORT DSN

  pip install freight 'psycopg[binary]'
  ./export_postgresql.py 8080 'host=localhost dbname=lab'
  curl --remote-name --remote-header-name localhost:8080/measurements.csv

A row is read from PostgreSQL only when the client has taken those before it: a client that stops reading stops the
query. When a client goes, the query is cancelled. If the query fails, the download breaks off: it never looks complete.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import psycopg

import freight

QUERY = "COPY (SELECT * FROM measurements ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)"
PIECE_BYTES = 64 * 1024


def export(dsn: str) -> Iterator[bytes]:
    """Yield the rows of a query as CSV, in pieces of about 64 KiB. Closing the generator cancels the query."""
    piece = bytearray()
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor, cursor.copy(QUERY) as rows:
        for row in rows:
            piece += row
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
    yield bytes(piece)


def main(port: int, dsn: str) -> None:
    """Serve the export until the program is interrupted."""
    stream = freight.Stream(lambda: export(dsn), media_type="text/csv; charset=utf-8", filename="measurements.csv")
    with freight.Server(routes={"/measurements.csv": stream}, port=port).start() as server:
        print(f"{server.url}measurements.csv", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(int(sys.argv[1]), sys.argv[2])
