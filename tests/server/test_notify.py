"""What the service manager is told (sd_notify(3)), as one that listens hears it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from freight.server.service import Service
from lineages import Lineage
from managing import Manager
from serving import HUGE_BYTES, PATIENCE_SECONDS, Served

Serve = Callable[..., Served]


def test_it_is_ready_once_it_accepts_and_says_what_it_does(huge: Path, serve: Serve, manager: Manager) -> None:
    server = serve(huge, "--memory", "20MB")
    manager.hear("READY=1")
    assert manager.hear("STATUS=").endswith("STATUS=running 0 of 533, waiting 0")
    with server.begin():
        assert manager.hear("STATUS=running 1 of ")
    assert manager.hear("STATUS=running 0 of ")
    assert not any("WATCHDOG" in message for message in manager.heard)


def test_a_name_that_begins_with_an_at_is_an_abstract_one(
    huge: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"freight-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    serve(huge)
    manager.hear("READY=1")
    manager.close()


def test_while_it_drains_it_asks_for_more_time_and_says_so(huge: Path, serve: Serve, manager: Manager) -> None:
    server = serve(huge, "--drain", "1h")
    with server.begin() as client:
        manager.hear("READY=1")
        server.signal()
        assert "EXTEND_TIMEOUT_USEC=10000000" in manager.hear("STOPPING=1").split("\n")
        manager.hear("EXTEND_TIMEOUT_USEC=10000000")
        manager.hear("EXTEND_TIMEOUT_USEC=10000000")
        assert any(";" in message and "draining" in message for message in manager.heard)
        assert client.take(HUGE_BYTES) == bytes(HUGE_BYTES)
    assert server.wait() == 0


def test_a_reload_is_begun_and_ended(huge: Path, serve: Serve, manager: Manager) -> None:
    """MONOTONIC_USEC is this moment, as systemd holds it against the signal that it sent."""
    server = serve(huge)
    manager.hear("READY=1")
    before = time.monotonic_ns() // 1000
    server.signal(signal.SIGHUP)
    _, when = manager.hear("RELOADING=1").split("\n")
    assert before <= int(when.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    manager.hear("READY=1")


def test_the_watchdog_is_kept_calm(huge: Path, serve: Serve, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    serve(huge)
    for _ in range(4):
        manager.hear("WATCHDOG=1")


def test_a_loop_that_stands_still_keeps_nobody_calm(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")

    async def stand_still() -> None:
        service = Service({}, None, lambda: "still", lambda *_: None, lambda: None)
        loop = asyncio.get_running_loop()

        def turn() -> None:
            loop.call_later(service.turn(), turn)

        service.begun()
        turn()
        manager.hear("WATCHDOG=1")
        time.sleep(0.2)  # noqa: ASYNC251 - ten times as long as the watchdog has patience
        assert not manager.has_more()
        await asyncio.to_thread(manager.hear, "WATCHDOG=1")
        service.close()

    asyncio.run(stand_still())


def test_a_watchdog_that_is_another_process_s_is_none_of_ours(
    huge: Path, serve: Serve, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    server = serve(huge)
    with server.begin():
        manager.hear("STATUS=running 1 of ")
    assert not any("WATCHDOG" in message for message in manager.heard)


def test_a_manager_that_has_gone_harms_nobody(huge: Path, serve: Serve, manager: Manager) -> None:
    server = serve(huge)
    manager.hear("READY=1")
    manager.close()
    with server.begin() as client:
        server.signal(signal.SIGHUP)
        server.await_log("nothing to reload")
        assert client.take(HUGE_BYTES) == bytes(HUGE_BYTES)


def test_a_hand_over_names_the_new_main_process_before_that_one_speaks(
    huge: Path, serve: Serve, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With NotifyAccess=main nobody else is heard: the new one speaks when it is the main process, and not before."""
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    server = serve(huge, "--drain", "1h")
    lineage = Lineage(server)
    try:
        with server.begin() as running:
            manager.hear("READY=1")
            manager.hear("STATUS=running 1 of ")
            successor = lineage.hand_over()
            manager.hear("RELOADING=1")
            assert manager.hear("MAINPID=") == f"MAINPID={successor}\nREADY=1"
            manager.hear("READY=1")
            assert "STATUS=running 0 of " in manager.hear("WATCHDOG=1")  # the new one's; the old one sends still
            assert running.take(HUGE_BYTES) == bytes(HUGE_BYTES)
            running.socket.close()
            assert lineage.end() == 0
    finally:
        lineage.close()


def test_a_hand_over_that_fails_ends_the_reloading(tmp_path: Path, huge: Path, serve: Serve, manager: Manager) -> None:
    config = tmp_path / "freight.toml"
    config.touch()
    server = serve(huge, "--config", str(config))
    manager.hear("READY=1")
    config.unlink()
    server.signal(signal.SIGUSR2)
    manager.hear("RELOADING=1")
    manager.hear("READY=1")
    server.await_log("upgrade failed")


def test_several_workers_are_one_service(
    huge: Path, serve: Serve, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    server = serve(huge, "--workers", "2", "--drain", "1h")
    assert "WATCHDOG" in manager.hear("STATUS=running 0 of ")
    assert manager.heard[-1].endswith("; 2 workers")
    assert manager.heard[0] == "READY=1"
    manager.hear("WATCHDOG=1")
    server.process.send_signal(signal.SIGHUP)
    manager.hear("RELOADING=1")
    manager.hear("READY=1")
    with server.begin():
        server.process.send_signal(signal.SIGTERM)
        manager.hear("STOPPING=1")
        manager.hear("EXTEND_TIMEOUT_USEC=")
    assert server.process.wait(PATIENCE_SECONDS) == 0
