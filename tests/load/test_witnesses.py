"""What the other tests here trust would tell, if there were something to tell."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cages import Cage
from crowds import Crowd, Group
from netns import Network
from serving import Served

Serve = Callable[..., Served]
Gather = Callable[..., Crowd]


def test_a_crowd_sees_one_wrong_byte(tmp_path: Path, site: Path, serve: Serve, gather: Gather) -> None:
    content = bytearray((site / "small.csv").read_bytes())
    content[5000] ^= 1
    (tmp_path / "small.csv").write_bytes(content)
    crowd = gather(serve(tmp_path))
    crowd.join(Group(name="all", count=1, targets=("/small.csv",)))
    with pytest.raises(AssertionError, match="wrong bytes"):
        crowd.wait_count("all", "whole", 1)


def test_a_crowd_sees_a_wrong_length(tmp_path: Path, site: Path, serve: Serve, gather: Gather) -> None:
    (tmp_path / "small.csv").write_bytes((site / "small.csv").read_bytes()[:-1])
    crowd = gather(serve(tmp_path))
    crowd.join(Group(name="all", count=1, targets=("/small.csv",)))
    with pytest.raises(AssertionError, match="200 with"):
        crowd.wait_count("all", "whole", 1)


def test_a_crowd_sees_a_reset_even_while_it_stands_still(site: Path, serve: Serve, gather: Gather) -> None:
    server = serve(site, "--drain", "0")
    crowd = gather(server)
    crowd.join(Group(name="all", count=3, targets=("/giant.csv",), stall=1000, receive=4096))
    crowd.wait_count("all", "stalled", 3)
    server.signal()
    crowd.wait_count("all", "cut", 3)
    assert crowd.counts("all") == {"cut": 3}


def test_what_listens_at_one_end_of_a_link_is_reached_from_the_other(
    site: Path, network: Network, serve: Serve, gather: Gather
) -> None:
    server = serve(site, place=network.server)
    crowd = gather(server, network.client)
    crowd.join(Group(name="all", count=5, targets=("/giant.csv",), span=100_000))
    crowd.wait_count("all", "whole", 5)


def test_a_cage_tells_what_was_killed_in_it(cage: Cage) -> None:
    hungry = [*cage.within, sys.executable, "-c", "bytearray(100 << 20)"]
    assert (subprocess.run(hungry, timeout=60, check=False).returncode, cage.kills()) == (-9, 1)
    modest = [*cage.within, sys.executable, "-c", "bytearray(10 << 20)"]
    assert (subprocess.run(modest, timeout=60, check=False).returncode, cage.kills()) == (0, 1)
    assert cage.peak() > 10 << 20
