"""A server in an application: in a thread, on the application's loop, several at once, and its end."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

import freight
from support.processes import environment, run
from support.processes import running as started
from support.servers import wait_until

BIG_BYTES = 64 << 20
LIMIT_SECONDS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory with a small file and a sparse one of 64 MiB."""
    (tmp_path / "a.csv").write_bytes(b"a,b\n")
    with open(tmp_path / "big.bin", "wb") as file:
        file.truncate(BIG_BYTES)
    return tmp_path


def read(url: str) -> bytes:
    with urlopen(url, timeout=LIMIT_SECONDS) as answer:
        content: bytes = answer.read()
    return content


def stalled(server: freight.Server) -> socket.socket:
    """Return a client that has begun to receive the large file, and reads no more."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_SECONDS)
    client.sendall(b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.recv(100)
    return client


def received(client: socket.socket) -> int:
    """Return how many more bytes a client gets, until the server closes or resets the connection."""
    total = 0
    try:
        while piece := client.recv(1 << 20):
            total += len(piece)
    except ConnectionResetError:
        pass
    return total


def test_a_server_in_a_thread_serves_until_it_is_stopped(folder: Path) -> None:
    before = set(threading.enumerate())  # other tests of this process may have servers
    server = freight.Server(folder, port=0).start()
    try:
        assert server.url == f"http://127.0.0.1:{server.port}/"
        assert server.urls == (server.url,)
        assert read(server.url + "a.csv") == b"a,b\n"
    finally:
        server.stop()
    with pytest.raises(OSError, match="refused"):
        read(server.url + "a.csv")
    server.stop()
    assert "freight" not in [each.name for each in set(threading.enumerate()) - before]
    with pytest.raises(RuntimeError, match="started once"):
        server.start()


def test_the_address_is_that_of_the_prefix_with_the_scheme(folder: Path) -> None:
    with freight.Server(folder, port=0, prefix="/files", tls_self_signed=True) as server:
        assert server.url == f"https://127.0.0.1:{server.port}/files/"
        context = ssl._create_unverified_context()
        with urlopen(server.url + "a.csv", timeout=LIMIT_SECONDS, context=context) as answer:
            assert answer.read() == b"a,b\n"


async def test_a_server_on_the_loop_of_the_application_serves(folder: Path) -> None:
    async with freight.Server(folder, port=0) as server:
        assert await asyncio.to_thread(read, server.url + "a.csv") == b"a,b\n"
        status = server.status()
        assert (await asyncio.to_thread(server.status)).keys() == status.keys()
        assert status["server"]["urls"] == [server.url]
        with pytest.raises(RuntimeError, match="aclose"):
            server.stop()
        await server.aclose()
        await server.aclose()
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(read, server.url + "a.csv")
    assert len(asyncio.all_tasks()) == 1


def test_several_servers_in_one_process_share_nothing(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "b.csv").write_bytes(b"other")
    with freight.Server(folder, port=0) as first, freight.Server(folder / "other", port=0, memory="16MiB") as second:
        assert read(first.url + "a.csv") == b"a,b\n"
        assert read(second.url + "b.csv") == b"other"
        assert first.status()["memory"]["budget_bytes"] == 64 << 20
        assert second.status()["memory"]["budget_bytes"] == 16 << 20
        first.stop()
        assert read(second.url + "b.csv") == b"other"
        wait_until(lambda: second.status()["transfers"]["completed_total"] == 2, "both downloads are counted")


def test_a_stop_lets_running_downloads_finish(folder: Path) -> None:
    with freight.Server(folder, port=0) as server, stalled(server) as client:
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        wait_until(lambda: server.status()["draining"], "the drain")
        assert received(client) > BIG_BYTES - 100
        stopping.join(LIMIT_SECONDS)
        assert not stopping.is_alive()


def test_a_stop_aborts_downloads_after_the_shutdown_timeout(folder: Path) -> None:
    with freight.Server(folder, port=0, shutdown_timeout=0) as server, stalled(server) as client:
        server.stop()
        assert received(client) < BIG_BYTES


async def test_cancelling_the_task_aborts_downloads_and_leaves_nothing(folder: Path) -> None:
    server, started = freight.Server(folder, port=0), asyncio.Event()

    async def serve() -> None:
        async with server:
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(serve())
    await started.wait()
    with await asyncio.to_thread(stalled, server) as client:
        task.cancel()  # drains
        await asyncio.to_thread(wait_until, lambda: server.status()["draining"], "the drain")
        task.cancel()  # aborts
        with pytest.raises(asyncio.CancelledError):
            await task
        assert received(client) < BIG_BYTES
    assert len(asyncio.all_tasks()) == 1


def test_a_server_that_cannot_start_says_why_and_can_be_made_again(folder: Path) -> None:
    with freight.Server(folder, port=0) as server:
        with pytest.raises(freight.ConfigurationError, match=rf"^port: port {server.port} of 127.0.0.1 is taken"):
            freight.Server(folder, port=server.port).start()
        with pytest.raises(freight.ConfigurationError, match=r"^path: cannot serve .*: No such file"):
            freight.Server(folder / "none").start()
    never = freight.Server(folder)
    never.stop()
    for ask in (lambda: never.url, never.status):
        with pytest.raises(RuntimeError, match="has not been started"):
            ask()


async def test_a_server_that_cannot_start_on_a_loop_says_why(folder: Path) -> None:
    with pytest.raises(freight.ConfigurationError, match=r"^path: cannot serve"):
        async with freight.Server(folder / "none"):
            pass
    assert len(asyncio.all_tasks()) == 1


def test_lines_of_the_log_go_to_a_function_whose_errors_do_no_harm(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []

    def take(line: str) -> None:
        lines.append(line)
        raise ValueError("a full disk")

    with freight.Server(folder, port=0, log=take) as server:
        read(server.url + "a.csv")
    assert [line.split(" ", 1)[1].split(" 4/4")[0] for line in lines] == [
        f"info serving {folder} at {server.url}",
        '127.0.0.1 "GET /a.csv" 200',
    ]
    assert capfd.readouterr().err.count("ValueError: a full disk") == 2


def test_without_a_function_nothing_is_written(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with freight.Server(folder, port=0) as server:
        read(server.url + "a.csv")
    assert capfd.readouterr() == ("", "")


def test_the_process_of_the_application_is_left_alone(folder: Path) -> None:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)

    def state() -> object:
        handlers = [signal.getsignal(each) for each in signals]
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        return handlers, limits, gc.get_freeze_count(), gc.get_threshold(), dict(os.environ), os.getcwd()

    before, descriptors = state(), os.listdir("/proc/self/fd")
    with freight.Server(folder, port=0) as server:
        read(server.url + "a.csv")
        assert state() == before
    assert state() == before
    # Descriptors of earlier tests may be closed meanwhile.
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= len(descriptors), "no descriptor is left")


def test_growth_of_the_application_costs_no_slots(folder: Path) -> None:
    with freight.Server(folder, port=0, memory="16MiB") as server:
        slots = server.status()["admission"]["slots"]
        mine = bytearray(os.urandom(1 << 20) * 64)
        read(server.url + "a.csv")
        with stalled(server):
            assert server.status()["admission"]["slots"] == slots
            assert server.status()["admission"]["running"] == 1
        del mine


def test_serve_blocks_until_ctrl_c_and_returns(folder: Path) -> None:
    script = f"""
import freight, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
freight.serve({str(folder)!r}, port=0, log=lambda line: print(line, flush=True))
print("end")
"""
    with started([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            assert read(url + "a.csv") == b"a,b\n"
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=LIMIT_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0
    assert rest.splitlines()[-1] == "end"


def test_an_application_may_end_without_a_stop(folder: Path) -> None:
    script = f"import freight; print(freight.Server({str(folder)!r}, port=0).start().url)"
    done = run(sys.executable, "-W", "error", "-c", script, env=environment())
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_of_the_server_is_logged_at_once_and_ends_its_connection_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise ImportError("a module was replaced while the server ran")

    monkeypatch.setattr("freight.server.connection.load_http2", fail)
    gc.disable()  # asyncio reports what nobody has waited for when it is collected
    try:
        with freight.Server(folder, port=0) as server:
            with socket.create_connection(("127.0.0.1", server.port), LIMIT_SECONDS) as client:
                client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                with suppress(ConnectionResetError):
                    while client.recv(4096):
                        pass
            wait_until(lambda: "a module was replaced" in caplog.text, "the fault was logged")
            assert read(f"{server.url}a.csv") == b"a,b\n"
    finally:
        gc.enable()
