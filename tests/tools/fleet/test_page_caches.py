"""The consistent policy keeps each file in few page caches, so that little is read from the disks."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from fleet_nodes import NODES, Fleet

from support.cgroups import Cgroup, CgroupUnavailable, memory_cgroup
from support.servers import Client

pytestmark = pytest.mark.needs("haproxy")

FILES, FILE_BYTES = 200, 256 << 10
REQUESTS, AT_ONCE, ZIPF = 3000, 48, 0.9
CACHE_BYTES = 26 << 20  # of 50 MiB of files: a node has room for its own, and not for all
ROBIN = "balance roundrobin"
PROCESS_BYTES = 20 << 20


@pytest.fixture
def cgroups() -> Iterator[list[Cgroup]]:
    """A control group for each node, with memory for the process and a part of the files."""
    with ExitStack() as made:
        try:
            yield [made.enter_context(memory_cgroup(PROCESS_BYTES + CACHE_BYTES)) for _ in range(NODES)]
        except CgroupUnavailable as why:
            pytest.skip(str(why))


@pytest.fixture
def copies(tmp_path: Path) -> list[Path]:
    """A copy of all files for each node."""
    roots = [tmp_path / f"copy-{number}" for number in range(NODES)]
    for root in roots:
        root.mkdir()
    for number in range(FILES):
        content = random.Random(number).randbytes(FILE_BYTES)
        for root in roots:
            (root / str(number)).write_bytes(content)
            os.utime(root / str(number), (1_700_000_000, 1_700_000_000))
    return roots


def leave_cache(path: Path) -> None:
    """Evict a file from the page cache, after it is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_bytes(fleet: Fleet) -> int:
    """What all nodes have had read from their disks: proc(5), ``/proc/pid/io``."""
    lines = [line for node in fleet.nodes for line in Path(f"/proc/{node.pid}/io").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def test_of_what_round_robin_reads_from_disk_the_consistent_policy_reads_at_most_six_tenths(
    make_fleet: Callable[[Sequence[Path]], Fleet], copies: list[Path], cgroups: list[Cgroup], tmp_path: Path
) -> None:
    """3000 requests for 200 files by Zipf's law, with one policy and then the other, from cold caches."""
    chosen = random.Random(1).choices(range(FILES), [rank**-ZIPF for rank in range(1, FILES + 1)], k=REQUESTS)
    consistent = read_by(make_fleet(copies), cgroups, chosen, lambda text: text)
    round_robin = read_by(
        make_fleet(copies), cgroups, chosen, lambda text: text.replace("balance uri path-only", ROBIN)
    )
    print(f"\n{consistent} and {round_robin} bytes of {REQUESTS * FILE_BYTES} were read from the disks")
    assert FILES * FILE_BYTES // 4 < consistent <= 0.6 * round_robin


def read_by(fleet: Fleet, cgroups: list[Cgroup], chosen: list[int], change: Callable[[str], str]) -> int:
    """What is read from the disks while all these files are asked for."""
    # Slower than any machine: all clients are then at work at once, and the bound of a node's load is a rare one.
    fleet.start_nodes("--rate-limit", "30MB/s", within=[cgroup.command_prefix for cgroup in cgroups])
    fleet.start_engine("haproxy", change=change)
    for root in fleet.roots:
        for path in root.iterdir():
            leave_cache(path)
    before = read_bytes(fleet)

    with ThreadPoolExecutor(AT_ONCE) as clients:
        assert sum(clients.map(ask_all, [fleet] * AT_ONCE, (chosen[at::AT_ONCE] for at in range(AT_ONCE)))) == REQUESTS
    read = read_bytes(fleet) - before
    fleet.close()
    for node in fleet.nodes:
        node.close()
    return read


def ask_all(fleet: Fleet, numbers: list[int]) -> int:
    """Request these files one by one; return how many arrived unchanged."""
    with Client(*fleet.front) as client:
        for number in numbers:
            client.get(f"/{number}")
            answer = client.read_response()
            assert (answer.status, len(answer.content)) == (200, FILE_BYTES)
    return len(numbers)
