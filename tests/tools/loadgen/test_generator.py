"""The load generator obeys its commands, counts right, and no child process outlives the lab."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from freight.tools.loadgen.client import Again, ClientState, Group
from freight.tools.loadgen.generator import REFUSED, LoadGenerator, LoadProcessLost, LoadStatus
from freight.tools.sample import write_sample
from support.processes import environment, is_running, kill_process_group, running
from support.servers import Serve, ServerProcess, wait_until

FILE_BYTES = 4 << 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    write_sample(root / "file.csv", FILE_BYTES)
    return root


@pytest.fixture
def server(serve: Serve, site: Path) -> ServerProcess:
    return serve(site, "--memory", "20MB")


@pytest.fixture(params=["compared", "discarded"])
def clients(request: pytest.FixtureRequest, server: ServerProcess, site: Path) -> Iterator[LoadGenerator]:
    with LoadGenerator(server.host, server.port, root=site if request.param == "compared" else None) as made:
        yield made


def like(count: int, **more: Any) -> Group:
    return Group(count=count, targets=("/file.csv",), **more)


def wait_count(clients: LoadGenerator, state: str, count: int) -> LoadStatus:
    seen = [clients.status()]

    def holds() -> bool:
        seen.append(clients.status())
        return seen[-1].count(state) >= count

    wait_until(holds, f"{count} are {state}")
    assert seen[-1].wrong == ""
    return seen[-1]


def test_clients_at_full_speed_read_every_byte(clients: LoadGenerator) -> None:
    clients.join(like(40))
    assert wait_count(clients, ClientState.WHOLE, 40).taken_bytes == 40 * FILE_BYTES
    waits = clients.waits_seconds()
    assert len(waits) == 40
    assert all(wait > 0 for wait in waits)


def test_stalled_clients_read_the_rest_when_they_are_resumed(clients: LoadGenerator) -> None:
    clients.join(like(100, stall=65536, receive=65536))
    assert wait_count(clients, ClientState.STALLED, 100).taken_bytes == 100 * 65536
    clients.go("all")
    assert wait_count(clients, ClientState.WHOLE, 100).taken_bytes == 100 * FILE_BYTES


def test_a_client_stalls_no_longer_than_it_should(clients: LoadGenerator) -> None:
    clients.join(like(5, stall=65536, hold=0.05))
    assert wait_count(clients, ClientState.WHOLE, 5).taken_bytes == 5 * FILE_BYTES


@pytest.mark.parametrize("rate", [2 << 20, 8 << 20])
def test_a_slow_client_is_never_ahead_of_its_pace(clients: LoadGenerator, rate: int) -> None:
    begin = clients.status().seconds
    clients.join(like(1, pace=rate))
    seen = []

    def done() -> bool:
        seen.append(clients.status())
        return seen[-1].count(ClientState.WHOLE) == 1

    wait_until(done, "it is whole")
    assert seen[-1].taken_bytes == FILE_BYTES
    for now in seen:
        assert now.taken_bytes <= (now.seconds - begin) * rate


def test_clients_that_repeat_never_end_and_closed_ones_are_not_counted(clients: LoadGenerator) -> None:
    clients.join(like(8, again=Again.AFTER_WHOLE))
    wait_count(clients, ClientState.WHOLE, 21)
    status = clients.clear()
    assert status.count(*ClientState, REFUSED) == 0
    assert clients.status().taken_bytes == status.taken_bytes


def test_only_clients_that_always_repeat_do_so_after_a_refusal(server: ServerProcess) -> None:
    with LoadGenerator(server.host, server.port) as clients:
        clients.join(Group(name="once", count=3, targets=("/nothing",), again=Again.AFTER_WHOLE))
        clients.join(Group(name="always", count=1, targets=("/nothing",), again=Again.ALWAYS))
        wait_until(lambda: clients.status().groups["always"].get("404", 0) > 5, "it repeats")
        status = clients.status()
        assert status.groups["once"] == {"404": 3}
        assert (status.count(REFUSED), status.taken_bytes) == (status.groups["always"]["404"] + 3, 0)


def test_some_clients_of_a_group_are_closed_and_the_others_go_on(clients: LoadGenerator) -> None:
    clients.join(like(6, stall=65536, receive=65536, sources=("127.0.0.2", "127.0.0.3")))
    wait_count(clients, ClientState.STALLED, 6)
    assert clients.end("all", at=ClientState.STALLED, most=2, reset=True).groups["all"] == {"ended": 2, "stalled": 4}
    clients.go("all")
    assert sum(wait_count(clients, ClientState.WHOLE, 4).whole_from["all"].values()) == 4


def test_a_server_that_dies_cuts_and_one_that_is_not_there_too(server: ServerProcess, clients: LoadGenerator) -> None:
    clients.join(like(5, stall=65536))
    wait_count(clients, ClientState.STALLED, 5)
    kill_process_group(server.process)
    clients.go("all")
    wait_count(clients, ClientState.CUT, 5)
    clients.join(like(2))
    wait_count(clients, ClientState.CUT, 7)


@pytest.mark.parametrize(("change", "why"), [(b"?", "wrong bytes"), (b"", "200 with")], ids=["byte", "length"])
def test_a_wrong_response_is_noticed_when_bodies_are_compared(
    server: ServerProcess, site: Path, tmp_path: Path, change: bytes, why: str
) -> None:
    content = (site / "file.csv").read_bytes()
    (tmp_path / "file.csv").write_bytes(content[:1000] + change + content[1001:])
    with LoadGenerator(server.host, server.port, root=tmp_path) as clients:
        clients.join(like(1))
        wait_until(lambda: clients.status().count(ClientState.WRONG) == 1, "it is wrong")
        assert why in clients.status().wrong


def test_a_load_process_that_has_ended_is_an_error(clients: LoadGenerator) -> None:
    clients.process.kill()
    clients.process.wait(20)
    with pytest.raises(LoadProcessLost):
        clients.status()


def test_a_child_process_ends_with_its_parent_even_by_kill() -> None:
    text = "from freight.tools.loadgen import child_process\n"
    text += "p = child_process.start(['sleep', '600'])\nprint(p.pid, flush=True)\np.wait()"
    with running([sys.executable, "-c", text], stdout=subprocess.PIPE, env=environment()) as lab:
        assert lab.stdout is not None
        child = int(lab.stdout.readline())
        assert Path(f"/proc/{child}/cmdline").read_bytes() == b"sleep\x00600\x00"
        lab.send_signal(signal.SIGKILL)
        wait_until(lambda: not is_running(child), "the child has ended")
