"""A node that dies, and nodes that are replaced one by one, under sixty downloads through HAProxy."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from fleet_nodes import NODES, Fleet
from programs import digest, make_content, start, written

from freight.tools.loadgen.network import HERE
from support.load_generator import Again, CheckedLoad, Group
from support.servers import wait_until

pytestmark = pytest.mark.needs("haproxy", "wget", "curl", "aria2c")

DOWNLOADS = 60
FILES = 12
FILE_BYTES = 2_000_000

# Each goes on where it was cut, until it has all or gives up, and what it says at the end is its exit status.
_WORDS = (
    "wget -q --no-proxy --tries=1 -T 20 -c -O got",
    "curl -sf --noproxy '*' -C - --retry 2 -o got",
    "aria2c -q --no-conf --all-proxy= --max-tries=1 -c -s 2 -x 2 -k 1M -o got",
)
CLIENTS = tuple(f"for n in $(seq 40); do {words} {{url}} && exit 0; sleep 0.2; done; exit 1" for words in _WORDS)


@pytest.fixture
def digests(root: Path) -> dict[str, str]:
    """Files of different content, by name."""
    return {
        name: make_content(root / name, FILE_BYTES, seed)
        for seed, name in enumerate(map("{}.bin".format, range(FILES)))
    }


def test_a_client_that_resumes_gets_the_right_file_after_a_node_was_killed(
    fleet: Fleet, digests: dict[str, str], tmp_path: Path
) -> None:
    fleet.start_nodes("--rate-limit", "2MB/s")  # slow enough that most still run when one of the nodes is killed
    fleet.start_engine("haproxy")
    names = list(digests)
    folders, clients = [], []
    for number in range(DOWNLOADS):
        folders.append(tmp_path / f"client-{number}")
        folders[-1].mkdir()
        command = CLIENTS[number % len(CLIENTS)].format(url=fleet.url(f"/{names[number % FILES]}"))
        clients.append(start("sh", "-c", command, within=folders[-1]))
    try:

        def running(at: int) -> int:
            return int(fleet.status(at)["admission"]["running"])

        wait_until(lambda: sum(written(folder / "got") for folder in folders) > FILE_BYTES, "some of it has come")
        wait_until(lambda: max(map(running, range(NODES))) >= DOWNLOADS // 10, "enough run at one of the nodes")
        fleet.nodes[max(range(NODES), key=running)].process.kill()
        ended = [client.wait(60) for client in clients]
    finally:
        for client in clients:
            client.kill()
            client.wait(20)
    assert ended == [0] * DOWNLOADS
    assert [digest(folder / "got") for folder in folders] == [digests[names[n % FILES]] for n in range(DOWNLOADS)]


def test_all_nodes_are_replaced_and_no_client_notices(fleet: Fleet, digests: dict[str, str], root: Path) -> None:
    """Sixty clients download again and again, seconds each: none is cut, and none gets 503."""
    fleet.start_nodes("--rate-limit", "16MB/s", "--shutdown-timeout", "30s", "--shutdown-delay", "1500ms")
    fleet.start_engine("haproxy")
    targets = tuple(f"/{name}" for name in digests)
    they = Group(name="they", count=DOWNLOADS, targets=targets, again=Again.ALWAYS)
    with CheckedLoad(HERE, *fleet.front, root) as crowd:
        crowd.join(they)
        crowd.wait(lambda: crowd.count("they", "running", "whole") >= DOWNLOADS, "all have begun")
        for at in range(NODES):
            fleet.nodes[at].signal(signal.SIGTERM)
            assert fleet.nodes[at].wait() == 0
            fleet.restart(at)
            wait_until(lambda: fleet.balanced("files")[at]["status"].startswith("UP"), "it is back")  # noqa: B023
            before = crowd.counts("they")["whole"]
            crowd.wait_count("they", "whole", before + DOWNLOADS // 2)
        for node in fleet.nodes:
            node.wait_for_log("complete")  # the last one to come back may have completed none so far
        counts = crowd.counts("they")
    assert {
        name for name in counts if counts[name] and name not in ("connecting", "asking", "running", "whole")
    } == set()
