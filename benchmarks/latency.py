"""Scenarios of time: the first byte after a start, and hot ranges while a disk is busy."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import time
from pathlib import Path

from . import peers
from .client import Spec
from .drive import EventLost, Run, Sample, crowd
from .gauge import uss_bytes
from .launch import HOT, MIB, Site, running, site, write_random
from .peers import NGINX, NGINX_DEFAULT, Peer, freight

COLD_FILES = 32
PAGE = os.sysconf("SC_PAGE_SIZE")
PACE = 100.0  # a second: one client that looks things up; more than it can be answered would measure its own queue
PASSES = 4
"""How often the cold files are downloaded in a turn, at most: about a second each."""


def started(peer: Peer, place: Site) -> Sample:
    """Seconds from the command to the first byte of an answer, and the memory of the process a second later."""
    start = time.monotonic()
    with running(peer, place, ready=False) as server:
        while time.monotonic() < start + 10:
            try:
                with socket.create_connection(("127.0.0.1", server.port), 5) as link:
                    link.sendall(f"HEAD /{HOT} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                    first = link.recv(1)
                break
            except ConnectionRefusedError:
                time.sleep(0.001)
        else:
            raise EventLost("nothing listened within 10 s")
        seconds = time.monotonic() - start
        if not first:
            raise EventLost("the connection ended without an answer")
        time.sleep(1)
        return {"first_byte_seconds": seconds, "idle_bytes": uss_bytes(server.pid)}


def start(run: Run) -> None:
    """From the command to the first byte."""
    run.settings = {"file_bytes": 16 * MIB}
    run.rounds = max(run.rounds, 2 if run.quick else 10)
    with site(16 * MIB) as place:
        fit = run.fit([freight(), NGINX, peers.AIOHTTP, peers.CADDY, peers.STARLETTE, peers.GRANIAN], place)
        run.turns(fit, "1", lambda peer: started(peer, place))


def evict(path: Path) -> float:
    """Drop a clean file from the page cache; the share of it that is still there (mincore(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as view:
            pages = (len(view) + PAGE - 1) // PAGE
            seen = (ctypes.c_ubyte * pages)()
            anchor = ctypes.c_char.from_buffer(view)
            failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(anchor)), ctypes.c_size_t(len(view)), seen)
            del anchor
    if failed:
        raise OSError(ctypes.get_errno(), "mincore")
    return sum(page & 1 for page in seen) / pages


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def beside(peer: Peer, place: Site, names: tuple[str, ...], seconds: float) -> Sample:
    """Hot ranges at a steady pace: alone, then while every cold file is downloaded once, as often as it takes."""
    busy: list[float] = []
    cold_bytes, resident, passes = 0.0, 0.0, 0
    with running(peer, place) as server:
        calm = Spec("steady", server.port, warm=0.3, seconds=seconds, size=place.size, pace=PACE)
        with crowd(calm) as hot:
            alone = [taken for _, taken in hot.wait("end")["latencies"]]
        while len(busy) < len(alone) and passes < PASSES:
            passes += 1
            resident = max(resident, *(evict(place.root / name) for name in names))
            told, latencies = one_pass(server.port, place, names)
            busy += [taken for since, taken in latencies if told["begin"] <= since <= told["end"]]
            cold_bytes += told["bytes"]
    if resident > 0.01 or not busy:
        raise EventLost(f"the files were not cold: {resident:.0%} was still in the page cache")
    figures = {
        f"{kind}_p{share}_ms": 1000 * quantile(values, share / 100)
        for kind, values in (("idle", alone), ("loaded", busy))
        for share in (50, 99)
    }
    ratio = figures["loaded_p99_ms"] / figures["idle_p99_ms"]
    counts = {"requests": len(busy), "passes": passes, "cold_bytes": cold_bytes, "resident_share": resident}
    return {**figures, "p99_ratio": ratio, **counts}


def one_pass(port: int, place: Site, names: tuple[str, ...]) -> tuple[dict[str, float], list[tuple[float, float]]]:
    """Each cold file once, all at a time: when that began and ended, and the hot ranges' (start, seconds) meanwhile."""
    steady = Spec("steady", port, warm=0.0, seconds=4.0, size=place.size, pace=PACE)
    flood = Spec("flood", port, COLD_FILES, warm=0.0, seconds=4.0, names=names, once=True)
    with crowd(steady) as hot, crowd(flood) as load:
        load.wait("begin")
        told = load.wait("end")
        return told, hot.wait("end")["latencies"]


def cold(run: Run) -> None:
    """32 downloads of files just evicted from the page cache, and one client that asks for hot ranges."""
    each = (16 if run.quick else 64) * MIB
    seconds = 1.0 if run.quick else 4.0
    run.settings = {
        "cold_files": COLD_FILES,
        "cold_file_bytes": each,
        "requests_per_second": PACE,
        "range_bytes": 65536,
    }
    with site(64 * MIB) as place:
        names = tuple(f"cold-{number}.bin" for number in range(COLD_FILES))
        for name in names:
            write_random(place.root / name, each)
        fit = run.fit([freight(), NGINX_DEFAULT], place)
        run.turns(fit, "32", lambda peer: beside(peer, place, names, seconds))
