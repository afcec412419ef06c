"""Scenario of ranges: rate and cost by each protocol, latency, and what libraries read of data files."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import STDOUT, CalledProcessError, check_output

from freight.tools.loadgen.gauge import cpu_seconds
from freight.tools.programs import find_program

from .client import Spec
from .drive import Run, Sample, TurnFailed, interleave, log, run_clients, run_program, wait_settled
from .latency import PACE, quantiles_ms
from .launch import HOT, MIB, PeerFailed, RunningPeer, Site, build, last_line_without_paths, make_site, run_peer
from .multiplexed import OPTIONS, TRAFFIC, h2load
from .peers import LOGGED, PROGRAMS, SECURE, Peer, http2, https

NGINX, FREIGHT = LOGGED[:2]
KINDS: Mapping[str, Callable[[Peer], Peer]] = {
    "": lambda peer: peer,
    " https": https,
    " h2": lambda peer: http2(https(peer)),
}
"""The protocols, by the end of a peer's name: HTTP/1.1 without and over TLS, and HTTP/2 over TLS."""

WITH_H2 = frozenset({"nginx", "freight", *(peer.name for peer in SECURE)})
RANGES: Mapping[str, int] = {"4 KiB": 4096, "64 KiB": 65536, "1 MiB": MIB}
CONNECTIONS = (1, 16, 256)
LATENCY, DOWNLOADS = "latency", 64
HEAD_BYTES = 1024
"""More than a head has, with the headers of the frames of a response, 9 bytes each."""

REPLAYS = ("duckdb", "gdal", "pmtiles", "zarr")
CLIENTS = Path(__file__).parent.parent / ".venv-clients" / "bin" / "python"
"""It has the libraries: ``./scripts/setup clients``."""

_ANSWERED = re.compile(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx")
_LOGGED = re.compile(rb'" [1-5]\d\d ')


def case_name(title: str, connections: int) -> str:
    """Return the case's name in the results: ``64 KiB, 16``."""
    return f"{title}, {connections}"


def measure_ranges(peer: Peer, place: Site, length: int, connections: int, seconds: float) -> Sample:
    """Measure one turn: each connection requests one range after another."""
    with run_peer(peer, place) as server:
        measure = by_h2load if peer.h2 else by_http1
        count, spent, taken = measure(server, place, length, connections, seconds)
    if spent <= 0 or count <= 0:
        raise TurnFailed(f"{count} requests, {spent} CPU-seconds")
    return {
        **{"requests_per_cpu_second": count / spent, "requests_per_second": count / taken},
        **{"cpu_seconds": spent, "requests": count, "seconds": taken},
    }


def build_client(place: Site) -> Path:
    """Compile the client for HTTP/1.1, once for a site. Raises PeerFailed."""
    if find_program("cc") is None:
        raise PeerFailed("cc is not installed")
    made = place.shared / "ranges"
    libraries = ("-l:libssl.so.3", "-l:libcrypto.so.3")
    build(["cc", "-O2", "-o", str(made), str(PROGRAMS / "ranges.c"), *libraries], dict(os.environ), {})
    return made


def by_http1(
    server: RunningPeer, place: Site, length: int, connections: int, seconds: float
) -> tuple[float, float, float]:
    """Request ranges at random offsets. Return their count, the server's CPU-seconds, and the seconds."""
    where = (server.network.server.host, server.port, HOT, place.size, length, connections)
    words = (build_client(place), *where, min(1.0, seconds), seconds, "https" if server.tls else "http")
    with run_program([str(word) for word in words]) as load:
        load.wait("begin")
        before = cpu_seconds(server.pid)
        report = load.wait("end")
        return report["requests"], cpu_seconds(server.pid) - before, report["seconds"]


def by_h2load(
    server: RunningPeer, place: Site, length: int, connections: int, seconds: float
) -> tuple[float, float, float]:
    """Request the same range again and again, from the middle of the file. Return what by_http1 returns."""
    start = place.size // 2
    url = f"https://{server.network.server.host}:{server.port}/{HOT}"
    words = (f"-c{connections}", f"-D{seconds * 1000:.0f}ms", f"-Hrange: bytes={start}-{start + length - 1}", url)
    marks, said = h2load(words, server)
    traffic, answered = TRAFFIC.search(said), _ANSWERED.search(said)
    if traffic is None or answered is None or len(marks) != 2:
        raise TurnFailed(f"h2load said {said.strip().splitlines()[-1:]}")
    (begin, before), (end, after) = marks
    count = requests_of(int(traffic[1]), int(answered[1]), length, connections)
    return count, after - before, end - begin


def requests_of(traffic: int, answered: int, length: int, connections: int) -> float:
    """Return how many ranges h2load has received. From 64 KiB on, a part of a response counts as that part.

    There, frames and heads are less than 1% of the traffic. Raises TurnFailed if the responses had another length.
    """
    heads = answered * HEAD_BYTES
    if abs(traffic - answered * length) > 2 * connections * length + heads:  # some began before, or ended after
        raise TurnFailed(f"{answered} responses with {traffic} bytes")
    return answered if length < RANGES["64 KiB"] else traffic / length


def measure_latency(peer: Peer, place: Site, seconds: float) -> Sample:
    """Time ranges of 64 KiB on one connection: alone, and beside downloads at full speed."""
    with run_peer(peer, place) as server:
        spec = Spec("steady", server.port, warm=0.3, seconds=seconds, size=place.size, pace=PACE)
        with run_clients(spec) as timed:
            alone = [taken for _, taken in timed.wait("end")["latencies"]]
        with run_clients(Spec("flood", server.port, DOWNLOADS, seconds=seconds + 20)) as load:
            load.wait("begin")
            with run_clients(spec) as timed:
                busy = [taken for _, taken in timed.wait("end")["latencies"]]
    return {**quantiles_ms(idle=alone, loaded=busy), "requests": len(alone)}


def replay_command(kind: str, action: str, where: str, scale: int) -> list[str]:
    python = CLIENTS if CLIENTS.exists() else Path(sys.executable)
    return [str(python), str(PROGRAMS / "replay.py"), kind, action, where, str(scale)]


def read_files(kind: str, where: str, scale: int, server: RunningPeer | None = None) -> Sample:
    """Read files from a directory, or from a server. Return the seconds, a digest, and the server's CPU-seconds."""
    with run_program(replay_command(kind, "read", where, scale)) as library:
        library.wait("begin")
        before = cpu_seconds(server.pid) if server else 0.0
        library.send_go_ahead()
        report = library.wait("end")
        spent = cpu_seconds(server.pid) - before if server else 0.0
    return {"seconds": report["seconds"], "digest": report["digest"], "cpu_seconds": spent}


def logged_requests(work: Path) -> int:
    """Count the lines of requests in a server's logs."""
    return sum(len(_LOGGED.findall(path.read_bytes())) for path in work.glob("*.log"))


def measure_replay(peer: Peer, place: Site, kind: str, scale: int, digest: str) -> Sample:
    """Let a library read its files over HTTP. What it reads must have the digest of the local files."""
    with run_peer(peer, place) as server:
        sample = read_files(kind, f"http://{server.network.server.host}:{server.port}/", scale, server)
        requests = wait_settled(lambda: logged_requests(server.work), 3, 0.1)
    if sample.pop("digest") != digest:
        raise TurnFailed("what the library has read is not what the files have")
    return {**sample, "requests": requests}


def replays(run: Run, place: Site, fit: list[Peer]) -> None:
    """Let each library read its files from nginx and from freight. Leave out by name what is not installed."""
    scale = 2 if run.quick else 8
    for kind in REPLAYS:
        try:
            check_output(replay_command(kind, "make", str(place.root), scale), stderr=STDOUT, text=True)
            digest = read_files(kind, f"{place.root}/", scale)["digest"]
        except (CalledProcessError, TurnFailed) as error:
            why = error.output if isinstance(error, CalledProcessError) else str(error)
            run.excluded[kind] = last_line_without_paths(why, {"root": str(place.root)})
            log(f"{run.scenario}: without {kind}: {run.excluded[kind]}")
            continue
        turn = partial(measure_replay, place=place, kind=kind, scale=scale, digest=digest)
        run.turns(order_of(run, fit), kind, turn)


def order_of(run: Run, fit: list[Peer]) -> list[Peer]:
    """Return the peers with nginx first, last, and before and after freight; in a quick run, each once."""
    reference = next((peer for peer in fit if peer.name.startswith(NGINX.name)), None)
    if run.quick or reference is None:
        return fit
    return interleave(reference, fit, {peer.name for peer in fit if peer.name.startswith(FREIGHT.name)})


def rates(run: Run, place: Site, kind: str, seconds: float) -> None:
    """Measure each size of range with each number of connections, by one protocol, nginx before and after freight."""
    known = [peer for peer in LOGGED[: 2 if run.quick else None] if kind != " h2" or peer.name in WITH_H2]
    named = [replace(KINDS[kind](peer), name=f"{peer.name}{kind}") for peer in known]
    order = order_of(run, run.suitable(named, place))
    sizes = {"64 KiB": RANGES["64 KiB"]} if run.quick else RANGES
    for title, length in sizes.items():
        for connections in CONNECTIONS[1:2] if run.quick else CONNECTIONS:
            turn = partial(measure_ranges, place=place, length=length, connections=connections, seconds=seconds)
            run.turns(order, case_name(title, connections), turn)


def ranges(run: Run) -> None:
    """Ranges by HTTP/1.1, TLS and HTTP/2 with logs on; their latency; and what libraries read of data files."""
    seconds = 0.3 if run.quick else 2.0
    run.settings = {
        **{"file_bytes": (128 if run.quick else 1024) * MIB, "window_seconds": seconds, "downloads": DOWNLOADS},
        **{"http1_client": "programs/ranges.c", "h2_client": " ".join(("h2load", *OPTIONS))},
    }
    with make_site(run.settings["file_bytes"]) as place:
        tools = {" h2": "h2load", "": "cc", " https": "cc"}
        for kind in KINDS:
            if find_program(tools[kind]) is None:
                run.excluded[f"all{kind}"] = f"{tools[kind]} is not installed"
                continue
            rates(run, place, kind, seconds)
        fit = run.suitable((NGINX, FREIGHT), place)
        turn = partial(measure_latency, place=place, seconds=1.0 if run.quick else 6.0)
        run.turns(order_of(run, fit), LATENCY, turn)
        replays(run, place, fit)
