"""A long line carries packets in order, at its rate and after its delay; a full queue drops packets."""

from __future__ import annotations

import random
import socket
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.server.socket_sink import SocketSink
from freight.tools.loadgen.link import Direction, LinkSpec
from freight.tools.loadgen.network import Network, Place, Unsupported, long_link
from support.servers import TIMEOUT_SECONDS

PACKET = bytes(1000)
SLOW = LinkSpec(delay=0.05, rate=100_000, queue=10_000)  # a packet takes 10 ms, and ten may wait


def a_way(line: LinkSpec = SLOW) -> Direction:
    return Direction(line, random.Random(1))


def arrivals(way: Direction) -> list[tuple[float, bytes]]:
    """All that is under way: when each packet arrives, and the packet."""
    found = []
    while (at := way.next_at) < float("inf"):
        packet = way.arrived(at)
        assert packet is not None
        found.append((at, packet))
    return found


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ([], []),
        ([5.0], [5.06]),
        ([5.0, 5.0, 5.0], [5.06, 5.07, 5.08]),  # one after another
        ([5.0, 5.005], [5.06, 5.07]),
        ([5.0, 6.0], [5.06, 6.06]),  # a line that is free sends at once
    ],
)
def test_a_packet_arrives_after_those_before_it_its_own_bytes_and_the_delay(
    taken: list[float], expected: list[float]
) -> None:
    way = a_way()
    for now in taken:
        way.take(PACKET, now)
    assert [at for at, _ in arrivals(way)] == pytest.approx(expected)


def test_a_packet_is_not_there_before_its_time() -> None:
    way = a_way()
    assert way.next_at == float("inf")
    assert way.arrived(1e9) is None
    way.take(PACKET, 5.0)
    assert way.arrived(5.059) is None
    assert way.arrived(5.061) == PACKET
    assert way.arrived(1e9) is None


@pytest.mark.parametrize("count", [5, 11, 12, 30])
def test_what_the_queue_has_no_room_for_is_lost(count: int) -> None:
    """One packet is being sent while ten wait."""
    way = a_way()
    for number in range(count):
        way.take(bytes([number]) + PACKET[1:], 5.0)
    assert [packet[0] for _, packet in arrivals(way)] == list(range(min(count, 11)))


def test_a_queue_that_was_full_has_room_again_when_a_packet_has_been_sent() -> None:
    way = a_way()
    for _ in range(20):
        way.take(PACKET, 5.0)
    way.take(b"\1" + PACKET[1:], 5.005)
    way.take(b"\2" + PACKET[1:], 5.011)
    assert [packet[0] for _, packet in arrivals(way)] == [0] * 11 + [2]


@pytest.mark.parametrize(("loss", "least", "most"), [(0.0, 10_000, 10_000), (0.1, 8_800, 9_200), (1.0, 0, 0)])
def test_the_stated_part_of_packets_is_lost_and_has_had_its_time_on_the_line(
    loss: float, least: int, most: int
) -> None:
    way = a_way(LinkSpec(delay=0.05, rate=100_000, queue=1e9, loss=loss))
    for _ in range(10_000):
        way.take(PACKET, 0.0)
    times = [at for at, _ in arrivals(way)]
    assert least <= len(times) <= most
    if times:
        assert times[-1] == pytest.approx(10_000 * 0.01 + 0.05, abs=1.0)


@given(
    st.lists(st.tuples(st.floats(0, 0.1), st.integers(20, 1500)), max_size=60),
    st.floats(0, 1),
    st.floats(1e4, 1e8),
    st.floats(0, 1e5),
    st.sampled_from([0.0, 0.3]),
)
def test_packets_keep_their_order_and_none_is_sooner_than_the_line_allows(
    packets: list[tuple[float, int]], delay: float, rate: float, queue: float, loss: float
) -> None:
    way = a_way(LinkSpec(delay, rate, queue, loss))
    now, taken = 0.0, {}
    for number, (seconds, size) in enumerate(packets):
        now += seconds
        taken[number] = now
        way.take(number.to_bytes(2, "big") + bytes(size), now)
    came = [(at, int.from_bytes(packet[:2], "big"), len(packet)) for at, packet in arrivals(way)]
    assert [number for _, number, _ in came] == sorted(number for _, number, _ in came)
    for at, number, size in came:
        least = taken[number] + size / rate + delay
        assert least - 1e-6 <= at <= least + queue / rate + 1e-6
    assert all(after[0] - before[0] >= after[2] / rate - 1e-6 for before, after in pairwise(came))


@pytest.mark.needs("ip")
def test_over_a_real_line_a_connection_takes_a_round_trip_and_all_bytes_arrive() -> None:
    round_trip, content = 0.06, random.Random(2).randbytes(50_000)
    try:
        with long_link(1000 * round_trip, 100) as network:
            _cross(network, round_trip, content)
    except Unsupported as error:
        pytest.skip(f"a line cannot be made: {error}")


def _cross(network: Network, round_trip: float, content: bytes) -> None:
    def a_socket(place: Place) -> socket.socket:
        made = place.socket()
        made.settimeout(TIMEOUT_SECONDS)
        return made

    with a_socket(network.server) as listening, a_socket(network.client) as far:
        listening.bind((network.server.host, 8080))
        listening.listen()
        began = time.monotonic()
        far.connect((network.server.host, 8080))
        assert time.monotonic() - began >= round_trip
        with listening.accept()[0] as near:
            near.settimeout(TIMEOUT_SECONDS)
            near.sendall(content)
            clock: Any = None
            seconds, takes, _room = SocketSink(near, clock).path_info()
            assert seconds >= round_trip
            assert takes >= 2 * 10 * 1400  # the first congestion window is of ten segments
        received = bytearray()
        while data := far.recv(1 << 16):
            received += data
    assert received == content
