"""SIGHUP: the settings are read again while downloads run; what makes no sense changes nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from serving import HUGE_BYTES as SIZE
from serving import Served

Serve = Callable[..., Served]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "freight.toml"
    path.write_text('memory = "64MiB"\n')
    return path


def test_what_is_live_is_taken_over_while_a_download_runs_and_it_finishes_whole(
    huge: Path, config: Path, serve: Serve
) -> None:
    server = serve(huge, "--config", str(config), admin=True)
    assert server.status()["memory"]["budget_bytes"] == 64 << 20
    with server.begin() as client:
        first = client.take(100_000)
        config.write_text('memory = "1MiB"\nper-client = 1\nqueue = 0\nrate = "500MB/s"\n')
        server.signal(signal.SIGHUP)
        assert server.await_log("settings reloaded").endswith("changed: memory, queue, per-client, rate")
        assert server.status()["memory"]["budget_bytes"] == 1 << 20
        with server.connect() as second:  # of the same client, which has its one slot
            second.get("/")
            answer = second.answer()
            assert (answer.status, "retry-after" in answer.fields) == (503, True)
        assert first + client.take(SIZE - 100_000) == bytes(SIZE)
    server.await_log("GET /", "complete")
    config.write_text('memory = "8MiB"\n')
    server.signal(signal.SIGHUP)
    server.await_log("settings reloaded", count=2)
    with server.begin() as one, server.begin() as other:
        assert one.take(SIZE) == other.take(SIZE) == bytes(SIZE)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('memory = "1KiB"\n', "the least is"),
        ('memory = "lots"\n', "memory"),
        ("per-clients = 1\n", "did you mean per-client?"),
        ("per-client = \n", "is not TOML"),
        (None, "cannot read"),
    ],
)
def test_a_file_without_sense_leaves_the_settings_and_the_log_says_so(
    huge: Path, config: Path, serve: Serve, text: str | None, why: str
) -> None:
    server = serve(huge, "--config", str(config), admin=True)
    with server.begin() as client:
        if text is None:
            config.unlink()
        else:
            config.write_text(f"queue = 0\n{text}")
        server.signal(signal.SIGHUP)
        assert why in server.await_log("warning settings not reloaded, the old ones stay: ")
        assert server.status()["memory"]["budget_bytes"] == 64 << 20
        assert client.take(SIZE) == bytes(SIZE)
    assert not any("settings reloaded" in line for line in server.log)


def test_without_a_file_the_log_says_that_there_is_nothing_to_reload(huge: Path, serve: Serve) -> None:
    server = serve(huge)
    server.signal(signal.SIGHUP)
    assert server.await_log("reload").endswith("Z info nothing to reload: there is no --config file")


def test_a_file_that_has_not_changed_changes_nothing_and_the_log_says_so(
    huge: Path, config: Path, serve: Serve
) -> None:
    server = serve(huge, "--config", str(config))
    server.signal(signal.SIGHUP)
    assert server.await_log("reload").endswith(f"Z info settings reloaded from {config}, nothing changed")


def test_what_needs_a_restart_is_named(huge: Path, config: Path, serve: Serve) -> None:
    server = serve(huge, "--config", str(config))
    config.write_text("hidden = true\nqueue = 7\n")
    server.signal(signal.SIGHUP)
    assert server.await_log("settings reloaded").endswith("changed: memory, queue; needs a restart: hidden")
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)
