"""Negative controls: the tools of the load tests report faults when there are some."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from freight.tools.loadgen.network import Network
from support.cgroups import Cgroup
from support.load_generator import CheckedLoad, Group
from support.servers import Serve

StartLoad = Callable[..., CheckedLoad]


def test_a_load_generator_reports_one_wrong_byte(
    tmp_path: Path, site: Path, serve: Serve, start_load: StartLoad
) -> None:
    content = bytearray((site / "small.csv").read_bytes())
    content[5000] ^= 1
    (tmp_path / "small.csv").write_bytes(content)
    crowd = start_load(serve(tmp_path))
    crowd.join(Group(name="all", count=1, targets=("/small.csv",)))
    with pytest.raises(AssertionError, match="wrong bytes"):
        crowd.wait_count("all", "whole", 1)


def test_a_load_generator_reports_a_wrong_length(
    tmp_path: Path, site: Path, serve: Serve, start_load: StartLoad
) -> None:
    (tmp_path / "small.csv").write_bytes((site / "small.csv").read_bytes()[:-1])
    crowd = start_load(serve(tmp_path))
    crowd.join(Group(name="all", count=1, targets=("/small.csv",)))
    with pytest.raises(AssertionError, match="200 with"):
        crowd.wait_count("all", "whole", 1)


def test_a_load_generator_reports_a_reset_during_a_stall(site: Path, serve: Serve, start_load: StartLoad) -> None:
    server = serve(site, "--shutdown-timeout", "0")
    crowd = start_load(server)
    crowd.join(Group(name="all", count=3, targets=("/giant.csv",), stall=1000, receive=4096))
    crowd.wait_count("all", "stalled", 3)
    server.signal()
    crowd.wait_count("all", "cut", 3)
    assert crowd.counts("all") == {"cut": 3}


def test_a_server_at_one_end_of_a_link_is_reached_from_the_other(
    site: Path, network: Network, serve: Serve, start_load: StartLoad
) -> None:
    server = serve(site, place=network.server)
    crowd = start_load(server, network.client)
    crowd.join(Group(name="all", count=5, targets=("/giant.csv",), span=100_000))
    crowd.wait_count("all", "whole", 5)


def test_a_control_group_reports_killed_processes(cgroup: Cgroup) -> None:
    hungry = [*cgroup.command_prefix, sys.executable, "-c", "bytearray(100 << 20)"]
    assert (subprocess.run(hungry, timeout=60, check=False).returncode, cgroup.oom_kills()) == (-9, 1)
    modest = [*cgroup.command_prefix, sys.executable, "-c", "bytearray(10 << 20)"]
    assert (subprocess.run(modest, timeout=60, check=False).returncode, cgroup.oom_kills()) == (0, 1)
    assert cgroup.peak_bytes() > 10 << 20
