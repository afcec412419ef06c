"""SIGHUP: settings are read again while downloads run; an invalid file changes nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.servers import HUGE_BYTES as SIZE
from support.servers import Serve


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "freight.toml"
    path.write_text('memory = "64MiB"\n')
    return path


def test_live_settings_change_while_a_download_runs_and_it_finishes_whole(
    huge: Path, config: Path, serve: Serve
) -> None:
    server = serve(huge, "--config", str(config), admin=True)
    assert server.status()["memory"]["budget_bytes"] == 64 << 20
    with server.start_download() as client:
        first = client.read_exactly(100_000)
        config.write_text('memory = "1MiB"\nmax-per-client = 1\nqueue-size = 0\nrate-limit = "500MB/s"\n')
        server.signal(signal.SIGHUP)
        changed = "changed: memory, queue-size, max-per-client, rate-limit"
        assert server.wait_for_log("settings reloaded").endswith(changed)
        assert server.status()["memory"]["budget_bytes"] == 1 << 20
        with server.connect() as second:  # of the same client, which has its one slot
            second.get("/")
            answer = second.read_response()
            assert (answer.status, "retry-after" in answer.fields) == (503, True)
        assert first + client.read_exactly(SIZE - 100_000) == bytes(SIZE)
    server.wait_for_log("GET /", "complete")
    config.write_text('memory = "8MiB"\n')
    server.signal(signal.SIGHUP)
    server.wait_for_log("settings reloaded", count=2)
    with server.start_download() as one, server.start_download() as other:
        assert one.read_exactly(SIZE) == other.read_exactly(SIZE) == bytes(SIZE)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('memory = "1KiB"\n', "the least is"),
        ('memory = "lots"\n', "memory"),
        ("max-per-clients = 1\n", "did you mean max-per-client?"),
        ("max-per-client = \n", "is not TOML"),
        (None, "cannot read"),
    ],
)
def test_an_invalid_file_leaves_the_settings_unchanged_and_the_log_says_so(
    huge: Path, config: Path, serve: Serve, text: str | None, why: str
) -> None:
    server = serve(huge, "--config", str(config), admin=True)
    with server.start_download() as client:
        if text is None:
            config.unlink()
        else:
            config.write_text(f"queue-size = 0\n{text}")
        server.signal(signal.SIGHUP)
        assert why in server.wait_for_log("warning settings not reloaded, keeping the current ones: ")
        assert server.status()["memory"]["budget_bytes"] == 64 << 20
        assert client.read_exactly(SIZE) == bytes(SIZE)
    assert not any("settings reloaded" in line for line in server.log)


def test_without_a_file_the_log_says_that_there_is_nothing_to_reload(huge: Path, serve: Serve) -> None:
    server = serve(huge)
    server.signal(signal.SIGHUP)
    assert server.wait_for_log("reload").endswith("Z info nothing to reload: there is no --config file")


def test_a_file_that_has_not_changed_changes_nothing_and_the_log_says_so(
    huge: Path, config: Path, serve: Serve
) -> None:
    server = serve(huge, "--config", str(config))
    server.signal(signal.SIGHUP)
    assert server.wait_for_log("reload").endswith(f"Z info settings reloaded from {config}, nothing changed")


def test_what_needs_a_restart_is_named(huge: Path, config: Path, serve: Serve) -> None:
    server = serve(huge, "--config", str(config))
    config.write_text("show-hidden = true\nqueue-size = 7\n")
    server.signal(signal.SIGHUP)
    changed = "changed: memory, queue-size; needs a restart: show-hidden"
    assert server.wait_for_log("settings reloaded").endswith(changed)
    assert server.get("/", "Range: bytes=0-9").content == bytes(10)
