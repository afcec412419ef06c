"""The scenario ``listings``: a directory of 100,000 files, listed whole by each order."""

from __future__ import annotations

import os
import time
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from freight.tools.loadgen.gauge import cpu_seconds, memory_of_tree

from .drive import Run, Sample, TurnFailed
from .launch import MIB, Site, make_site, run_peer
from .peers import NGINX, Peer, freight, reconfigured

ENTRIES = 100_000
DIRECTORY = "many"
ORDERS = ("name", "size", "date")

AUTOINDEX = reconfigured(NGINX, {"root $root;": "root $root; autoindex on;"})
"""nginx, which lists by name whatever it is asked."""

_PATIENCE_SECONDS = 120.0


def fill(root: Path, entries: int) -> None:
    """Create files with sizes and dates in another order than their names. None has content."""
    (root / DIRECTORY).mkdir()
    fd = os.open(root / DIRECTORY, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(entries):
            name = f"measurement-{number * 7919 % entries:06}.parquet"
            file = os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd)
            os.ftruncate(file, number * 104_729 % 1_000_003)
            os.utime(file, ns=(0, 1_700_000_000_000_000_000 + number * 15_485_863 % 1_000_003 * 1_000_000_007))
            os.close(file)
    finally:
        os.close(fd)


def measure_listing(peer: Peer, place: Site, order: str, entries: int) -> Sample:
    """Time the second listing of a server: the first may have to read the directory from the disk."""
    with run_peer(peer, place) as server:
        link = HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE_SECONDS)
        for _ in range(2):
            idle, spent, begin = memory_of_tree(server.pid).unique, cpu_seconds(server.pid), time.monotonic()
            link.request(
                "GET", f"/{DIRECTORY}/?sort={order.partition(' ')[0]}&order={order.partition(' ')[2] or 'asc'}"
            )
            answer = link.getresponse()
            content = answer.read()
            seconds = time.monotonic() - begin
        spent, after = cpu_seconds(server.pid) - spent, memory_of_tree(server.pid).unique
        link.close()
    found = content.count(b'.parquet"')
    if answer.status != 200 or found != entries:
        raise TurnFailed(f"status {answer.status}, {found} of {entries} entries")
    return {"seconds": seconds, "cpu_seconds": spent, "bytes": len(content), "growth_bytes": max(0, after - idle)}


def listings(run: Run) -> None:
    """The whole listing of a large directory as a program gets it, by each column in both directions."""
    entries = ENTRIES // 10 if run.quick else ENTRIES
    run.settings = {"entries": entries}
    with make_site(MIB) as place:
        fill(place.root, entries)
        fit = run.suitable([AUTOINDEX, freight()], place)
        for order in (f"{by}{way}" for by in ORDERS for way in ("", " desc")):
            run.turns(fit, order, partial(measure_listing, place=place, order=order, entries=entries))
