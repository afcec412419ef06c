"""What the host allows: cgroups of both versions, nested, without limits, and missing; the kernel's send queue."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from freight.memory.host_limits import (
    MEMORY_DEFAULT,
    cgroup_memory_limit,
    default_memory,
    largest_send_queue,
    usable_cpus,
)

MIB = 1 << 20
V1_NONE = str((1 << 63) - 4096)  # how version 1 says that there is no limit


def host(root: Path, cgroup: str | None, **files: str) -> Path:
    """A host's root: /proc/self/cgroup, and files under /sys/fs/cgroup by path."""
    if cgroup is not None:
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("cgroup", "files", "limit"),
    [
        ("0::/\n", {}, None),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/\n", {"memory.max": f"{100 * MIB}\n"}, 100 * MIB),
        ("0::/a/b\n", {"a/b/memory.max": f"{100 * MIB}\n"}, 100 * MIB),
        ("0::/a/b\n", {"a/memory.max": f"{50 * MIB}\n", "a/b/memory.max": f"{100 * MIB}\n"}, 50 * MIB),
        ("0::/a/b\n", {"a/memory.max": f"{200 * MIB}\n", "a/b/memory.max": f"{100 * MIB}\n"}, 100 * MIB),
        ("0::/a/b\n", {"a/memory.max": f"{200 * MIB}\n", "a/b/memory.max": "max\n"}, 200 * MIB),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/b/c/memory.max": "5\n", "x/memory.max": "5\n"}, None),
        # In a container the path is the host's, and what is mounted is the container's own.
        ("0::/docker/0123\n", {"memory.max": f"{100 * MIB}\n"}, 100 * MIB),
        ("0::/../../x\n", {"memory.max": f"{100 * MIB}\n"}, 100 * MIB),
        ("0::/a\n", {"a/memory.max": "", "memory.max": "nonsense\n"}, None),
        # Version 1.
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": f"{V1_NONE}\n"}, None),
        ("5:memory:/a\n", {"memory/a/memory.limit_in_bytes": f"{100 * MIB}\n"}, 100 * MIB),
        ("5:cpu,memory:/a\n", {"memory/a/memory.limit_in_bytes": f"{100 * MIB}\n"}, 100 * MIB),
        ("5:cpu:/a\n", {"memory/a/memory.limit_in_bytes": f"{100 * MIB}\n"}, None),
        ("5:memory:/docker/0123\n", {"memory/memory.limit_in_bytes": f"{100 * MIB}\n"}, 100 * MIB),
        (
            "5:memory:/a/b\n",
            {"memory/a/memory.limit_in_bytes": f"{50 * MIB}\n", "memory/a/b/memory.limit_in_bytes": f"{V1_NONE}\n"},
            50 * MIB,
        ),
        # Both at once: memory is version 1's, and version 2 is mounted beneath.
        (
            "5:memory:/a\n1:name=systemd:/a\n0::/a\n",
            {"memory/a/memory.limit_in_bytes": f"{100 * MIB}\n", "unified/a/memory.max": f"{90 * MIB}\n"},
            90 * MIB,
        ),
        ("", {"memory.max": "5\n"}, None),
        ("nonsense\n\n:\n", {"memory.max": "5\n"}, None),
        (None, {"memory.max": "5\n"}, None),
    ],
)
def test_the_least_limit_of_the_cgroup_and_of_those_above_it_holds(
    tmp_path: Path, cgroup: str | None, files: dict[str, str], limit: int | None
) -> None:
    assert cgroup_memory_limit(host(tmp_path, cgroup, **files)) == limit


@pytest.mark.parametrize(
    ("limit", "memory"),
    [
        (None, MEMORY_DEFAULT),
        (1 << 40, MEMORY_DEFAULT),
        (4 * MEMORY_DEFAULT, MEMORY_DEFAULT),
        (4 * MEMORY_DEFAULT - 4, MEMORY_DEFAULT - 1),
        (100 * MIB, 25 * MIB),
    ],
)
def test_by_default_it_takes_a_quarter_of_its_limit_and_64_mib_at_most(
    tmp_path: Path, limit: int | None, memory: int
) -> None:
    assert MEMORY_DEFAULT == 64 * MIB
    root = host(tmp_path, "0::/a\n", **({} if limit is None else {"a/memory.max": f"{limit}\n"}))
    assert default_memory(root) == memory


@pytest.mark.parametrize(
    ("text", "largest"),
    [
        ("4096\t16384\t4194304\n", 4 << 20),
        ("4096 16384 6291456", 6 << 20),
        ("4096 16384", 4 << 20),
        ("", 4 << 20),
        ("a b c", 4 << 20),
        (None, 4 << 20),
    ],
)
def test_the_largest_send_queue_is_the_third_number_of_tcp_wmem(tmp_path: Path, text: str | None, largest: int) -> None:
    """tcp(7); where it cannot be read it is what the kernel has by default."""
    if text is not None:
        (tmp_path / "proc/sys/net/ipv4").mkdir(parents=True)
        (tmp_path / "proc/sys/net/ipv4/tcp_wmem").write_text(text)
    assert largest_send_queue(tmp_path) == largest


def test_of_this_host_it_is_a_plausible_number_of_bytes() -> None:
    assert 4096 <= largest_send_queue() <= 1 << 32
    assert 0 < default_memory() <= MEMORY_DEFAULT


@pytest.mark.parametrize(
    ("cgroup", "files", "cpus"),
    [
        ("0::/\n", {}, 16),
        ("0::/a\n", {"a/cpu.max": "max 100000\n"}, 16),
        ("0::/a\n", {"a/cpu.max": "200000 100000\n"}, 2),
        ("0::/a\n", {"a/cpu.max": "250000 100000\n"}, 3),
        ("0::/a\n", {"a/cpu.max": "1000 100000\n"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/a\n", {"a/cpu.max": "6400000 100000\n"}, 16),
        ("0::/a\n", {"a/cpu.max": "nonsense\n"}, 16),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 16),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "150000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 2),
        (None, {}, 16),
    ],
)
def test_the_processors_are_those_we_may_run_on_within_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgroup: str | None, files: dict[str, str], cpus: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    assert usable_cpus(host(tmp_path, cgroup, **files)) == cpus
