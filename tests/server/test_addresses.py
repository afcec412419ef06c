"""The addresses at which clients reach a server that listens on a wildcard address."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from freight.server.addresses import hosts, ipv4, ipv6

TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 172.17.0.0/16 2 0 2
        |-- 172.17.0.1
           /32 host LOCAL
     +-- 192.168.1.0/24 2 0 2
           |-- 192.168.1.0
              /24 link UNICAST
           |-- 192.168.1.5
              /32 host LOCAL
        |-- 192.168.1.255
           /32 link BROADCAST
Local:
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 192.168.1.5
        /32 host LOCAL
"""
TABLE = """\
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
20010db8000000000000000000000005 04 40 00 80     eth0
20010db80000000000000000000000aa 04 40 00 01     eth0
20010db80000000000000000000000bb 04 40 00 20     eth0
20010db80000000000000000000000cc 04 40 00 c0     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the /proc of a machine with two IPv4 addresses and one stable IPv6 address."""
    net = tmp_path / "proc" / "net"
    net.mkdir(parents=True)
    (net / "fib_trie").write_text(TRIE)
    (net / "if_inet6").write_text(TABLE)
    return tmp_path


def test_each_address_of_the_machine_is_found_once() -> None:
    assert list(ipv4(TRIE)) == ["172.17.0.1", "192.168.1.5"]
    assert list(ipv6(TABLE)) == ["2001:db8::5"]


def test_one_address_is_just_that() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert hosts(listening) == ["127.0.0.1"]


def without_the_way_out(found: list[str]) -> list[str]:
    """The address of the default route depends on the machine that runs the test."""
    known = {"172.17.0.1", "192.168.1.5", "2001:db8::5", "127.0.0.1", "::1"}
    return found if set(found) <= known else found[1:]


def test_every_ipv4_address_means_the_machines_own_and_the_loopback_last(root: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listening:
        assert without_the_way_out(hosts(listening, root)) == ["172.17.0.1", "192.168.1.5", "127.0.0.1"]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
def test_every_address_means_those_of_both_kinds_unless_the_socket_has_one(root: Path) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
        found = without_the_way_out(hosts(listening, root))
        assert found == ["172.17.0.1", "192.168.1.5", "2001:db8::5", "127.0.0.1"]
    with socket.create_server(("::", 0), family=socket.AF_INET6) as listening:
        assert hosts(listening, root) == ["2001:db8::5", "::1"]


def test_without_proc_there_is_still_an_address(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listening:
        assert hosts(listening, tmp_path)[-1] == "127.0.0.1"
