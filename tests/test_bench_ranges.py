"""The benchmark of ranges counts right responses only, and each of its figures has a place in a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.drive import Run, TurnFailed
from benchmarks.launch import MIB, Site, make_site, run_peer
from benchmarks.peers import LOGGED, Peer, freight
from benchmarks.ranges import (
    CONNECTIONS,
    KINDS,
    LATENCY,
    RANGES,
    REPLAYS,
    case_name,
    logged_requests,
    measure_latency,
    measure_ranges,
    measure_replay,
    ranges,
    read_files,
    replay_command,
    requests_of,
)
from benchmarks.report import block
from benchmarks.results import load

from support.processes import run
from support.servers import wait_until

STDLIB = Peer("stdlib", "python:http", ("$python", "-m", "http.server", "$port", "-b", "$address", "-d", "$root"))
MACHINE = {"cpu": "a", "cores": 2, "memory_bytes": 1 << 30, "kernel": "6.1", "python": "3.11.2", "sysctl": {}}


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    with make_site(2 * MIB) as made:
        yield made


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=kind.strip() or "http", marks=pytest.mark.needs("h2load" if kind == " h2" else "cc"))
        for kind in KINDS
    ],
)
@pytest.mark.parametrize("length", [4096, MIB])
def test_ranges_are_counted_by_each_protocol(place: Site, kind: str, length: int) -> None:
    sample = measure_ranges(KINDS[kind](freight()), place, length, 2, 0.5)
    assert sample["requests"] > 0 and sample["cpu_seconds"] > 0


@pytest.mark.needs("cc")
def test_a_response_with_the_whole_file_is_no_range(place: Site) -> None:
    with pytest.raises(TurnFailed, match="wrong response to a range"):
        measure_ranges(STDLIB, place, 4096, 1, 0.1)


@pytest.mark.parametrize(
    ("traffic", "answered", "length", "counted"),
    [(10 * 4200, 10, 4096, 10), (10 * 65_600, 10, 65536, 10 * 65_600 / 65536), (6 * MIB, 7, MIB, 6)],
)
def test_h2loads_count_has_a_part_for_a_part_of_a_large_response(
    traffic: int, answered: int, length: int, counted: float
) -> None:
    assert requests_of(traffic, answered, length, 1) == counted


@pytest.mark.parametrize("traffic", [100 * 65536, 0])
def test_responses_of_another_length_make_the_turn_invalid(traffic: int) -> None:
    with pytest.raises(TurnFailed, match="10 responses"):
        requests_of(traffic, 10, 65536, 2)


def test_latency_is_timed_alone_and_beside_downloads(place: Site) -> None:
    sample = measure_latency(freight(), place, 0.3)
    assert all(sample[f"{kind}_p{share}_ms"] > 0 for kind in ("idle", "loaded") for share in (50, 99))


@pytest.mark.needs("curl", "nginx")
@pytest.mark.parametrize("peer", LOGGED[:2], ids=["nginx", "freight"])
def test_each_request_has_a_line_in_a_log(place: Site, peer: Peer) -> None:
    with run_peer(peer, place) as server:
        before = logged_requests(server.work)
        url = f"http://127.0.0.1:{server.port}/hot.bin?[1-7]"
        done = run("curl", "--silent", "--fail", "--range", "0-9", "--output", "/dev/null", url, seconds=20)
        assert done.returncode == 0
        wait_until(lambda: logged_requests(server.work) == before + 7, "a line for each request")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.needs(package))
        for kind, package in zip(REPLAYS, ("duckdb", "rasterio", "fsspec", "zarr"), strict=True)
    ],
)
def test_a_library_reads_over_http_what_its_files_have(place: Site, kind: str) -> None:
    command, *words = replay_command(kind, "make", str(place.root), 2)
    assert run(command, *words, seconds=60).returncode == 0
    digest = read_files(kind, f"{place.root}/", 2)["digest"]
    assert measure_replay(freight(), place, kind, 2, digest)["requests"] > 5
    with pytest.raises(TurnFailed, match="not what the files have"):
        measure_replay(freight(), place, kind, 2, "another digest")


@pytest.mark.needs("cc", "h2load", "nginx")
def test_a_quick_run_has_no_turn_that_fails() -> None:
    made = Run("ranges", 1, quick=True)
    ranges(made)
    assert [sample for sample in made.samples if "error" in sample] == []
    assert {sample["case"] for sample in made.samples} == {"64 KiB, 16", LATENCY, *REPLAYS} - set(made.excluded)


def test_every_figure_has_its_place_in_a_table(tmp_path: Path) -> None:
    names = [peer for kind in KINDS for peer in (f"nginx{kind}", f"freight{kind}")]
    samples: list[dict[str, Any]] = []
    for case in (*(case_name(title, count) for title in RANGES for count in CONNECTIONS), LATENCY, *REPLAYS):
        for turn, peer in enumerate(names):
            if " " in peer and case in (LATENCY, *REPLAYS):
                continue
            value = 1000 if peer.startswith("nginx") else 500
            keys = ("requests_per_cpu_second", "requests_per_second", "seconds", "requests", "cpu_seconds")
            times = ("idle_p50_ms", "idle_p99_ms", "loaded_p50_ms", "loaded_p99_ms")
            figures = dict.fromkeys((*keys, *times), value)
            samples.append({"round": 0, "turn": turn, "case": case, "peer": peer, **figures})
    about = {"scenario": "ranges", "rounds": 1, "machine": MACHINE, "excluded": {}, "samples": samples}
    peers = {name: {"version": "1.0", "command": name} for name in names}
    (tmp_path / "ranges.json").write_text(json.dumps({**about, "peers": peers}))
    texts = {
        name: block(f"ranges-{name}", load(tmp_path)) or "" for name in ("http", "https", "h2", "latency", "replay")
    }
    for name in ("http", "https", "h2"):
        assert texts[name].count("| 1,000 | 500 (0.50) |") == 2 * len(RANGES) * len(CONNECTIONS)
    assert texts["latency"].count("0.50 (0.50-0.50)") == 4 and "h2" not in texts["latency"]
    assert [line.split(" | ")[:2] for line in texts["replay"].splitlines()[2:10]] == [
        [f"| {kind}", peer] for kind in REPLAYS for peer in ("nginx", "freight")
    ]
    assert not any("| - |" in text for text in texts.values())
