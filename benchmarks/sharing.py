"""Scenarios of sharing: more clients than slots, one client against many, and rates that were asked for."""

from __future__ import annotations

from functools import partial

from .client import Spec
from .drive import EventLost, Run, Sample, crowd, interleave
from .latency import quantile
from .launch import MIB, Site, running, site
from .peers import NGINX, Peer, freight

OVERSOLD = freight("20MB", "--queue", "2000", "--max-wait", "10m", name="freight 500 slots")
UNLIMITED = freight("16GiB", name="freight no limit")

SCARCE = freight("704KiB", "--max-wait", "10m", name="freight scarce")
"""Fewer slots than there are addresses: whose turn it is decides what each gets."""
GREEDY = 64
MODEST = 8

SHARED = 100_000_000
OWN = 10_000_000


def queued(peer: Peer, place: Site, clients: int) -> Sample:
    """Each client takes one file: throughput of all, and how long they waited for their first byte."""
    with running(peer, place) as server, crowd(Spec("fetch", server.port, clients, seconds=120)) as load:
        load.wait("begin")
        told = load.wait("end")
    if not told["waits"]:
        raise EventLost("no download began")
    waits = {f"wait_p{share}_seconds": quantile(told["waits"], share / 100) for share in (50, 99)}
    return {
        **{"whole": told["whole"], "refused": told["refused"], "unfinished": clients - told["whole"]},
        **{"gb_per_second": told["bytes"] / 1e9 / told["seconds"], "seconds": told["seconds"]},
        **waits,
        "wait_most_seconds": max(told["waits"]),
    }


def oversold(run: Run) -> None:
    """2,000 clients, each for one file of 4 MiB: 500 slots and a queue, against room for all."""
    clients = 2000
    run.settings = {"file_bytes": 4 * MIB, "clients": clients}
    with site(4 * MIB) as place:
        fit = run.fit([UNLIMITED, OVERSOLD, NGINX], place)
        order = interleave(UNLIMITED, fit, {OVERSOLD.name})
        run.turns(order, str(clients), partial(queued, place=place, clients=clients))


def shared(peer: Peer, place: Site, seconds: float) -> Sample:
    """What each of the modest addresses got, over an even share of what all got."""
    modest = [f"127.0.0.{3 + number}" for number in range(MODEST)]
    sources = (*["127.0.0.2"] * GREEDY, *modest)
    with running(peer, place) as server:
        spec = Spec("flood", server.port, len(sources), seconds=seconds, sources=sources)
        with crowd(spec) as load:
            load.wait("begin")
            told = load.wait("end")
    if told["failures"] or not told["bytes"]:
        raise EventLost(f"{told['failures']} wrong answers, {told['bytes']} bytes")
    even = told["bytes"] / (MODEST + 1)
    shares = [told["by_source"].get(address, 0) / even for address in modest]
    return {
        **{"least_share": min(shares), "largest_share": max(shares)},
        **{"greedy_share": told["by_source"].get("127.0.0.2", 0) / even, "downloads": told["finished"]},
        **{"gb_per_second": told["bytes"] / 1e9 / told["seconds"]},
    }


def fairness(run: Run) -> None:
    """One address with 64 connections against 8 with one each; all ask again as soon as they are answered."""
    seconds = 2.0 if run.quick else 6.0
    run.settings = {"file_bytes": 4 * MIB, "greedy_connections": GREEDY, "modest_addresses": MODEST, "seconds": seconds}
    with site(4 * MIB) as place:
        fit = run.fit([SCARCE, NGINX], place)
        run.turns(fit, "9", partial(shared, place=place, seconds=seconds))


def measured(peer: Peer, place: Site, clients: int, rate: int, seconds: float) -> Sample:
    """What came in a second, over what was asked for."""
    with running(peer, place) as server, crowd(Spec("flood", server.port, clients, seconds=seconds)) as load:
        load.wait("begin")
        told = load.wait("end")
    if told["failures"]:
        raise EventLost(f"{told['failures']} wrong answers")
    found = told["bytes"] / told["seconds"]
    return {"bytes_per_second": found, "of_asked": found / rate, "off": abs(found / rate - 1)}


def rates(run: Run) -> None:
    """--rate 100MB/s with 1 and 64 clients; --per-client-rate 10MB/s with one client's 1 and 8 connections."""
    seconds = 2.0 if run.quick else 5.0
    run.settings = {"file_bytes": 1024 * MIB, "seconds": seconds}
    together = freight(None, "--rate", "100MB/s", name="freight --rate 100MB/s")
    own = freight(None, "--per-client-rate", "10MB/s", name="freight --per-client-rate 10MB/s")
    with site(1024 * MIB) as place:
        fit = run.fit([together, own], place)
        for peer, rate, crowds in ((together, SHARED, (1, 64)), (own, OWN, (1, 8))):
            for clients in crowds if peer in fit else ():
                run.turns(
                    [peer], str(clients), partial(measured, place=place, clients=clients, rate=rate, seconds=seconds)
                )
