"""On a system that gives a server no more threads than it started with, every request has an answer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.raw_h2 import Http2Client
from support.servers import Serve

# Runs a Python command with a limit of threads.
_FEW_THREADS = """
import runpy, sys, threading
few, sys.argv = int(sys.argv[1]), sys.argv[4:]
start = threading.Thread.start
def start_one_of_few(thread):
    global few
    if not few:
        raise RuntimeError("can't start new thread")
    few -= 1
    start(thread)
threading.Thread.start = start_one_of_few
runpy.run_module("freight", run_name="__main__", alter_sys=True)
"""
_OF_A_SERVER = 4  # the log's, and one for each kind of work of a disk


# A worker's threads are counted from those of its supervisor, which has one for its log.
@pytest.mark.parametrize(("workers", "threads"), [("1", _OF_A_SERVER), ("2", _OF_A_SERVER + 1)])
def test_every_request_has_an_answer(huge: Path, serve: Serve, workers: str, threads: int) -> None:
    within = (sys.executable, "-c", _FEW_THREADS, str(threads))
    server = serve(huge.parent, "--workers", workers, within=within, admin=True)
    with Http2Client(server) as speaker:
        assert speaker.get("/huge.bin", ("range", "bytes=0-9")).content == bytes(10)
    assert server.get("/huge.bin", "Range: bytes=0-9").content == bytes(10)
    assert b"huge.bin" in server.get("/").content
    assert server.ask_admin("/metrics").status == 200
    assert server.ask_admin("/", "Accept: text/html").status == 200
    assert server.ask_admin("/dashboard/dashboard.js").status == 200
    assert not [line for line in server.log if "Traceback" in line or "Error" in line]
