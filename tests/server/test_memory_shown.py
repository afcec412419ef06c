"""The memory in ``/status``: how much this server has grown, whatever other processes do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.processes import running
from support.servers import Client, Serve, ServerProcess

MOVES_BYTES = 1 << 20
"""The program text of an interpreter has several times this size."""

FRAMES = 3
"""A server measures its memory once a second and sends a frame as often: the third frame has a new value."""


@pytest.fixture
def python(tmp_path: Path) -> tuple[str, ...]:
    """Return words that run an interpreter that no other process has mapped, in place of a command's first word."""
    copy, library = tmp_path / "python", Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY"))
    shutil.copy(os.path.realpath(sys.executable), copy)
    if library.suffix != ".a":
        for name in {library.name, library.resolve().name}:
            shutil.copy(library, tmp_path / name)
    own = f"LD_LIBRARY_PATH={tmp_path} PYTHONHOME={sys.base_prefix}"
    return ("sh", "-c", f'shift; {own} exec {copy} "$@"', "sh")


def unique_bytes(server: ServerProcess) -> int:
    """Return the memory that no other process has mapped, program text included (USS)."""
    rollup = Path(f"/proc/{server.pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_")) * 1024


@pytest.fixture
def watch(clients: ExitStack) -> Callable[[ServerProcess], Callable[[], int]]:
    """Watch a server. Each call of the result returns how much it has grown since before its first client."""

    def begin(server: ServerProcess) -> Callable[[], int]:
        viewer = clients.enter_context(Client("127.0.0.1", server.admin_port, named="localhost"))
        viewer.get("/events", version="1.0")  # without chunks
        assert viewer.read_head()[0] == 200

        def grown() -> int:
            found = 0
            for _ in range(FRAMES):
                while not (data := viewer.read_line()).startswith(b"data: {"):
                    pass
                found = json.loads(data[6:])["sample"][1]
            return found

        return grown

    return begin


def test_another_python_that_starts_and_ends_does_not_move_it(
    serve: Serve, python: tuple[str, ...], watch: Callable[[ServerProcess], Callable[[], int]], tmp_path: Path
) -> None:
    command = [*python, "python", "-c", "print(flush=True); input()"]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n"  # it runs
        server = serve(tmp_path, admin=True, within=python)
        grown = watch(server)
        unique, beside = unique_bytes(server), grown()
    assert unique_bytes(server) > unique + 2 * MOVES_BYTES  # no other process has the text mapped now
    assert abs(grown() - beside) < MOVES_BYTES


def test_what_metrics_and_the_dashboard_need_once_is_of_no_client(
    serve: Serve, watch: Callable[[ServerProcess], Callable[[], int]], tmp_path: Path
) -> None:
    server = serve(tmp_path, admin=True)
    before = server.private_bytes()
    assert server.ask_admin("/metrics").status == 200
    assert server.private_bytes() - before > 2 * MOVES_BYTES  # the client library of Prometheus
    assert watch(server)() < MOVES_BYTES // 4
