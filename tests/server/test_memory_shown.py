"""What ``/status`` says of memory: what this server has grown by, and nothing that somebody else does."""

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

from serving import Client, Served

Serve = Callable[..., Served]

MOVES_BYTES = 1 << 20
"""The text of an interpreter is several times as much."""

FRAMES = 3
"""A server looks at its memory once a second, and tells whoever watches as often: the third frame has a new look."""


@pytest.fixture
def python(tmp_path: Path) -> tuple[str, ...]:
    """An interpreter that no other process has mapped: words that run it instead of the command's first word."""
    copy, library = tmp_path / "python", Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY"))
    shutil.copy(os.path.realpath(sys.executable), copy)
    if library.suffix != ".a":
        for name in {library.name, library.resolve().name}:
            shutil.copy(library, tmp_path / name)
    own = f"LD_LIBRARY_PATH={tmp_path} PYTHONHOME={sys.base_prefix}"
    return ("sh", "-c", f'shift; {own} exec {copy} "$@"', "sh")


def unique_bytes(server: Served) -> int:
    """All that no other process has mapped, text of programs included (USS)."""
    rollup = Path(f"/proc/{server.pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_")) * 1024


@pytest.fixture
def watch(clients: ExitStack) -> Callable[[Served], Callable[[], int]]:
    """Watches a server; each call then says what it has grown by since before its first client, as it is told now."""

    def begin(server: Served) -> Callable[[], int]:
        viewer = clients.enter_context(Client("127.0.0.1", server.admin_port, named="localhost"))
        viewer.get("/events", version="1.0")  # without chunks
        assert viewer.head()[0] == 200

        def grown() -> int:
            found = 0
            for _ in range(FRAMES):
                while not (data := viewer.line()).startswith(b"data: {"):
                    pass
                found = json.loads(data[6:])["sample"][1]
            return found

        return grown

    return begin


def test_another_python_that_starts_and_ends_does_not_move_it(
    serve: Serve, python: tuple[str, ...], watch: Callable[[Served], Callable[[], int]], tmp_path: Path
) -> None:
    command = [*python, "python", "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"\n"  # it runs
            server = serve(tmp_path, admin=True, within=python)
            grown = watch(server)
            unique, beside = unique_bytes(server), grown()
        finally:
            other.kill()
    assert unique_bytes(server) > unique + 2 * MOVES_BYTES  # the text is this one's alone now
    assert abs(grown() - beside) < MOVES_BYTES


def test_what_metrics_and_the_dashboard_need_once_is_of_no_client(
    serve: Serve, watch: Callable[[Served], Callable[[], int]], tmp_path: Path
) -> None:
    server = serve(tmp_path, admin=True)
    before = server.private_bytes()
    assert server.ask_admin("/metrics").status == 200
    assert server.private_bytes() - before > 2 * MOVES_BYTES  # the client library of Prometheus
    assert watch(server)() < MOVES_BYTES // 4
