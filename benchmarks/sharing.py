"""Scenarios of sharing: more clients than slots, one client against many, and rate limits."""

from __future__ import annotations

from functools import partial

from .client import Spec
from .drive import Run, Sample, TurnFailed, interleave, run_clients
from .latency import quantile
from .launch import MIB, Site, make_site, run_peer
from .peers import NGINX, Peer, freight

OVERSOLD = freight("20MB", "--queue-size", "2000", "--queue-timeout", "10m", name="freight 500 slots")
UNLIMITED = freight("16GiB", name="freight no limit")

SCARCE = freight("704KiB", "--queue-timeout", "10m", name="freight scarce")
"""It has fewer slots than there are addresses, so the order of the queue decides what each gets."""
GREEDY = 64
MODEST = 8

SHARED = 100_000_000
OWN = 10_000_000


def measure_queue(peer: Peer, place: Site, clients: int) -> Sample:
    """Measure the throughput of clients that read one file each, and their waits for the first byte."""
    with run_peer(peer, place) as server, run_clients(Spec("fetch", server.port, clients, seconds=120)) as load:
        load.wait("begin")
        report = load.wait("end")
    if not report["waits"]:
        raise TurnFailed("no download began")
    waits = {f"wait_p{share}_seconds": quantile(report["waits"], share / 100) for share in (50, 99)}
    return {
        **{"whole": report["whole"], "refused": report["refused"], "unfinished": clients - report["whole"]},
        **{"gb_per_second": report["bytes"] / 1e9 / report["seconds"], "seconds": report["seconds"]},
        **waits,
        "wait_most_seconds": max(report["waits"]),
    }


def oversold(run: Run) -> None:
    """2,000 clients request one file of 4 MiB each: 500 slots and a queue, against slots for all."""
    clients = 2000
    run.settings = {"file_bytes": 4 * MIB, "clients": clients}
    with make_site(4 * MIB) as place:
        fit = run.suitable([UNLIMITED, OVERSOLD, NGINX], place)
        order = interleave(UNLIMITED, fit, {OVERSOLD.name})
        run.turns(order, str(clients), partial(measure_queue, place=place, clients=clients))


def measure_shares(peer: Peer, place: Site, seconds: float) -> Sample:
    """Measure what each modest address gets, divided by an equal share of the total."""
    modest = [f"127.0.0.{3 + number}" for number in range(MODEST)]
    sources = (*["127.0.0.2"] * GREEDY, *modest)
    with run_peer(peer, place) as server:
        spec = Spec("flood", server.port, len(sources), seconds=seconds, sources=sources)
        with run_clients(spec) as load:
            load.wait("begin")
            report = load.wait("end")
    if report["failures"] or not report["bytes"]:
        raise TurnFailed(f"{report['failures']} wrong responses, {report['bytes']} bytes")
    even = report["bytes"] / (MODEST + 1)
    shares = [report["by_source"].get(address, 0) / even for address in modest]
    return {
        **{"least_share": min(shares), "largest_share": max(shares)},
        **{"greedy_share": report["by_source"].get("127.0.0.2", 0) / even, "downloads": report["finished"]},
        **{"gb_per_second": report["bytes"] / 1e9 / report["seconds"]},
    }


def fairness(run: Run) -> None:
    """One address with 64 connections against 8 with one each; all repeat as soon as they have a response."""
    seconds = 2.0 if run.quick else 6.0
    run.settings = {"file_bytes": 4 * MIB, "greedy_connections": GREEDY, "modest_addresses": MODEST, "seconds": seconds}
    with make_site(4 * MIB) as place:
        fit = run.suitable([SCARCE, NGINX], place)
        run.turns(fit, "9", partial(measure_shares, place=place, seconds=seconds))


def measure_rate(peer: Peer, place: Site, clients: int, rate: int, seconds: float) -> Sample:
    """Measure the bytes per second, divided by the rate limit."""
    with run_peer(peer, place) as server, run_clients(Spec("flood", server.port, clients, seconds=seconds)) as load:
        load.wait("begin")
        report = load.wait("end")
    if report["failures"]:
        raise TurnFailed(f"{report['failures']} wrong responses")
    found = report["bytes"] / report["seconds"]
    return {"bytes_per_second": found, "of_asked": found / rate, "off": abs(found / rate - 1)}


def rates(run: Run) -> None:
    """--rate-limit 100MB/s with 1 and 64 clients; --client-rate-limit 10MB/s with one client's 1 and 8 connections."""
    seconds = 2.0 if run.quick else 5.0
    run.settings = {"file_bytes": 1024 * MIB, "seconds": seconds}
    together = freight(None, "--rate-limit", "100MB/s", name="freight --rate-limit 100MB/s")
    own = freight(None, "--client-rate-limit", "10MB/s", name="freight --client-rate-limit 10MB/s")
    with make_site(1024 * MIB) as place:
        fit = run.suitable([together, own], place)
        for peer, rate, crowds in ((together, SHARED, (1, 64)), (own, OWN, (1, 8))):
            for clients in crowds if peer in fit else ():
                run.turns(
                    [peer],
                    str(clients),
                    partial(measure_rate, place=place, clients=clients, rate=rate, seconds=seconds),
                )
