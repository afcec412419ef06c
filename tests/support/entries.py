"""A request as the log has it, for tests of its lines."""

from __future__ import annotations

from freight.model import Entry

ENTRY = Entry(
    at=1_767_323_045.9,
    seconds=0.0041,
    client="127.0.0.1",
    method="GET",
    target="/huge.csv",
    version=(1, 1),
    status=206,
    range="bytes=0-9",
    sent=10,
    promised=10,
    ended="complete",
)
