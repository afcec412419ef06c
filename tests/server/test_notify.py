"""What the service manager is told (sd_notify(3)), as one that listens hears it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from freight.runtime.service import Service
from support.generations import Generations
from support.servers import HUGE_BYTES, TIMEOUT_SECONDS, Serve
from support.service_manager import ServiceManager


def test_it_is_ready_once_it_accepts_and_says_what_it_does(huge: Path, serve: Serve, manager: ServiceManager) -> None:
    server = serve(huge, "--memory", "20MB")
    manager.receive("READY=1")
    assert manager.receive("STATUS=").endswith("STATUS=running 0 of 528, waiting 0")
    with server.start_download():
        assert manager.receive("STATUS=running 1 of ")
    assert manager.receive("STATUS=running 0 of ")
    assert not any("WATCHDOG" in message for message in manager.messages)


def test_a_name_that_begins_with_an_at_is_an_abstract_one(
    huge: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"freight-test-{os.getpid()}"
    manager = ServiceManager(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    serve(huge)
    manager.receive("READY=1")
    manager.close()


def test_while_it_drains_it_asks_for_more_time_and_says_so(huge: Path, serve: Serve, manager: ServiceManager) -> None:
    server = serve(huge, "--shutdown-timeout", "1h")
    with server.start_download() as client:
        manager.receive("READY=1")
        server.signal()
        assert "EXTEND_TIMEOUT_USEC=10000000" in manager.receive("STOPPING=1").split("\n")
        manager.receive("EXTEND_TIMEOUT_USEC=10000000")
        manager.receive("EXTEND_TIMEOUT_USEC=10000000")
        assert any(";" in message and "draining" in message for message in manager.messages)
        assert client.read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)
    assert server.wait() == 0


def test_a_reload_is_begun_and_ended(huge: Path, serve: Serve, manager: ServiceManager) -> None:
    """MONOTONIC_USEC is this moment, as systemd holds it against the signal that it sent."""
    server = serve(huge)
    manager.receive("READY=1")
    before = time.monotonic_ns() // 1000
    server.signal(signal.SIGHUP)
    _, when = manager.receive("RELOADING=1").split("\n")
    assert before <= int(when.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    manager.receive("READY=1")


def test_the_watchdog_gets_its_messages(
    huge: Path, serve: Serve, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    serve(huge)
    for _ in range(4):
        manager.receive("WATCHDOG=1")


async def test_a_blocked_loop_sends_no_watchdog_message(
    manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    service = Service((), None, lambda: "still", lambda *_: None, lambda: None)
    loop = asyncio.get_running_loop()

    def turn() -> None:
        loop.call_later(service.run_due(), turn)

    service.started()
    turn()
    manager.receive("WATCHDOG=1")
    time.sleep(0.2)  # noqa: ASYNC251 - ten times the watchdog's timeout
    assert not manager.has_unread()
    await asyncio.to_thread(manager.receive, "WATCHDOG=1")
    service.close()


def test_a_watchdog_that_is_another_process_s_is_none_of_ours(
    huge: Path, serve: Serve, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    server = serve(huge)
    with server.start_download():
        manager.receive("STATUS=running 1 of ")
    assert not any("WATCHDOG" in message for message in manager.messages)


def test_a_service_manager_that_has_ended_does_no_harm(huge: Path, serve: Serve, manager: ServiceManager) -> None:
    server = serve(huge)
    manager.receive("READY=1")
    manager.close()
    with server.start_download() as client:
        server.signal(signal.SIGHUP)
        server.wait_for_log("nothing to reload")
        assert client.read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)


def test_a_hand_over_names_the_new_main_process_before_that_one_speaks(
    huge: Path, serve: Serve, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With NotifyAccess=main nobody else is heard: the new one speaks when it is the main process, and not before."""
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    server = serve(huge, "--shutdown-timeout", "1h")
    generations = Generations(server)
    try:
        with server.start_download() as running:
            manager.receive("READY=1")
            manager.receive("STATUS=running 1 of ")
            successor = generations.hand_over()
            manager.receive("RELOADING=1")
            assert manager.receive("MAINPID=") == f"MAINPID={successor}\nREADY=1"
            manager.receive("READY=1")
            assert "STATUS=running 0 of " in manager.receive("WATCHDOG=1")  # the new one's; the old one sends still
            assert running.read_exactly(HUGE_BYTES) == bytes(HUGE_BYTES)
            running.socket.close()
            assert generations.end() == 0
    finally:
        generations.close()


def test_a_hand_over_that_fails_ends_the_reloading(
    tmp_path: Path, huge: Path, serve: Serve, manager: ServiceManager
) -> None:
    config = tmp_path / "freight.toml"
    config.touch()
    server = serve(huge, "--config", str(config))
    manager.receive("READY=1")
    config.unlink()
    server.signal(signal.SIGUSR2)
    manager.receive("RELOADING=1")
    manager.receive("READY=1")
    server.wait_for_log("upgrade failed")


def test_several_workers_are_one_service(
    huge: Path, serve: Serve, manager: ServiceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    server = serve(huge, "--workers", "2", "--shutdown-timeout", "1h")
    assert "WATCHDOG" in manager.receive("STATUS=running 0 of ")
    assert manager.messages[-1].endswith("; 2 workers")
    assert manager.messages[0] == "READY=1"
    manager.receive("WATCHDOG=1")
    server.process.send_signal(signal.SIGHUP)
    manager.receive("RELOADING=1")
    manager.receive("READY=1")
    with server.start_download():
        server.process.send_signal(signal.SIGTERM)
        manager.receive("STOPPING=1")
        manager.receive("EXTEND_TIMEOUT_USEC=")
    assert server.process.wait(TIMEOUT_SECONDS) == 0
