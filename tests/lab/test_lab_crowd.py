"""The lab's crowd does as it is told, counts right, and nothing that the lab starts outlives it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from freight.lab.client import At, Manner
from freight.lab.crowd import Crowd, Lost
from freight.sample import write_sample
from processes import end, environment, running, runs
from serving import Served, until

FILE_BYTES = 4 << 20


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("site")
    write_sample(root / "file.csv", FILE_BYTES)
    return root


@pytest.fixture
def server(serve: Callable[..., Served], site: Path) -> Served:
    return serve(site, "--memory", "20MB")


@pytest.fixture
def crowd(server: Served) -> Iterator[Crowd]:
    with Crowd(server.port, "/file.csv") as made:
        yield made


def test_those_who_take_all_they_can_have_every_byte(crowd: Crowd) -> None:
    crowd.join(40, Manner())
    until(lambda: crowd.look().count(At.WHOLE) == 40, "all are whole")
    assert crowd.look().taken_bytes == 40 * FILE_BYTES
    waits = crowd.waits_seconds()
    assert len(waits) == 40
    assert all(wait > 0 for wait in waits)


def test_those_who_stand_still_have_what_they_wanted_and_take_the_rest_when_told(crowd: Crowd) -> None:
    crowd.join(100, Manner(stall=65536, receive=65536))
    until(lambda: crowd.look().count(At.STALLED) == 100, "all stand still")
    assert crowd.look().taken_bytes == 100 * 65536
    crowd.go()
    until(lambda: crowd.look().count(At.WHOLE) == 100, "all are whole")
    assert crowd.look().taken_bytes == 100 * FILE_BYTES


def test_a_slow_one_is_never_ahead_of_its_pace(crowd: Crowd) -> None:
    begin = crowd.look().seconds
    crowd.join(1, Manner(pace=8 << 20))
    seen = []

    def done() -> bool:
        seen.append(crowd.look())
        return seen[-1].count(At.WHOLE) == 1

    until(done, "it is whole")
    assert seen[-1].taken_bytes == FILE_BYTES
    for now in seen:
        assert now.taken_bytes <= (now.seconds - begin) * (8 << 20) + 4096  # what comes with the head comes at once


def test_who_asks_again_never_ends_and_who_leaves_is_forgotten(crowd: Crowd) -> None:
    crowd.join(8, Manner(again=True))
    until(lambda: crowd.look().count(At.WHOLE) > 20, "they come again")
    standing = crowd.leave()
    assert standing.count(*At) == 0
    assert crowd.look().taken_bytes == standing.taken_bytes


def test_a_refusal_is_none_of_the_ends(server: Served) -> None:
    with Crowd(server.port, "/nothing") as crowd:
        crowd.join(3, Manner())
        until(lambda: crowd.look().count(At.REFUSED) == 3, "all are refused")
        assert crowd.look().taken_bytes == 0


def test_a_server_that_dies_cuts_and_one_that_is_not_there_too(server: Served, crowd: Crowd) -> None:
    crowd.join(5, Manner(stall=65536))
    until(lambda: crowd.look().count(At.STALLED) == 5, "all stand still")
    end(server.process)
    crowd.go()
    until(lambda: crowd.look().count(At.CUT) == 5, "all are cut")
    crowd.join(2, Manner())
    until(lambda: crowd.look().count(At.CUT) == 7, "nobody is there")


def test_a_crowd_that_has_ended_is_a_surprise(crowd: Crowd) -> None:
    crowd.process.kill()
    crowd.process.wait(20)
    with pytest.raises(Lost):
        crowd.look()


def test_what_was_started_ends_with_who_started_it_even_by_kill() -> None:
    text = "from freight.lab import tether\np = tether.start(['sleep', '600'])\nprint(p.pid, flush=True)\np.wait()"
    with running([sys.executable, "-c", text], stdout=subprocess.PIPE, env=environment()) as lab:
        assert lab.stdout is not None
        child = int(lab.stdout.readline())
        assert Path(f"/proc/{child}/cmdline").read_bytes() == b"sleep\x00600\x00"
        lab.send_signal(signal.SIGKILL)
        until(lambda: not runs(child), "the child has ended")
