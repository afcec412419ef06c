"""A file system that hangs, or that is dead, affects only requests for its own files, and never the end of a server."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.certificates import unverified_context
from support.hanging_fs import SMALL, HangingFs, hanging_fs
from support.processes import descriptor_targets
from support.raw_h2 import Http2Client, Reset
from support.servers import TIMEOUT_SECONDS, Client, IncompleteResponse, Serve, ServerProcess, wait_until
from support.worker_snapshots import server_processes

OTHER = b"on another file system"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "m").mkdir()
    (tmp_path / "other.bin").write_bytes(OTHER)
    return tmp_path


@pytest.fixture
def mounted(root: Path) -> Iterator[HangingFs]:
    with hanging_fs(root / "m") as made:
        yield made


def ask(clients: ExitStack, server: ServerProcess, target: str) -> Client:
    """Send a request, and do not wait for its response."""
    client = clients.enter_context(server.connect())
    client.get(target)
    return client


def unresponsive(server: ServerProcess) -> list[str]:
    return [each["path"] for each in server.status()["unresponsive"]]


def assert_others_are_served(server: ServerProcess) -> None:
    """A file, a listing and a 404 of the served path's own file system."""
    assert server.get("/other.bin").content == OTHER
    assert server.get("/nothing-here").status == 404
    assert b"other.bin" in server.get("/", "Accept: application/json").content


@pytest.mark.parametrize("workers", ["1", "2"])
def test_only_requests_for_a_mount_that_hangs_wait_and_each_gets_503(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs, workers: str
) -> None:
    server = serve(root, "--workers", workers, "--disk-timeout", "1s", admin=True)
    waiting = [ask(clients, server, "/m/hangdir/x") for _ in range(8)]
    assert_others_are_served(server)
    answers = [client.read_response() for client in waiting]
    assert {answer.status for answer in answers} == {503}
    assert all(int(answer.fields["retry-after"]) > 0 for answer in answers)
    server.wait_for_log("/m/hangdir/x", '503 refused="file-system"')
    assert_others_are_served(server)


def test_a_file_system_that_does_not_answer_is_shown_and_refused_at_once_until_it_answers(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs
) -> None:
    server = serve(root, "--disk-timeout", "1s", admin=True)
    assert server.get("/m/small").content == SMALL
    mounted.hang()
    assert [ask(clients, server, "/m/small").read_response().status for _ in range(2)] == [503, 503]
    where = os.fspath(root / "m")
    server.wait_for_log("warning the file system at", where, "has not answered")
    assert unresponsive(server) == [where]
    calls = server.status()["disk"]["timeouts_total"]
    assert server.get("/m/big").status == 503
    assert server.status()["disk"]["timeouts_total"] == calls, "it was refused without a call"
    assert b"freight_unresponsive 1.0" in server.ask_admin("/metrics").content
    assert server.ask_admin("/readyz").status == 200, "the served path itself answers"
    mounted.answer()
    server.wait_for_log("info the file system at", where, "answers again")
    assert server.get("/m/small").content == SMALL
    assert unresponsive(server) == []


def test_several_workers_log_once_that_a_file_system_does_not_answer_and_once_that_it_does(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs
) -> None:
    server = serve(root, "--workers", "2", "--disk-timeout", "1s", admin=True)
    number = 0

    def waits_in_every_worker() -> bool:
        nonlocal number
        number += 1
        ask(clients, server, f"/m/hangdir/{number}")
        return sum(each["hung_calls"] for each in server.status()["unresponsive"]) >= 3  # a worker has two threads

    wait_until(waits_in_every_worker, "calls hang in both workers, which have noticed")
    mounted.answer()
    server.wait_for_log("info the file system at", "answers again")
    wait_until(lambda: not unresponsive(server), "it answers every worker")
    for words in ("has not answered", "answers again"):
        assert len([line for line in server.log if words in line]) == 1, server.log


@pytest.mark.parametrize("workers", ["1", "2"])
def test_readyz_fails_while_the_served_path_itself_hangs(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs, workers: str
) -> None:
    server = serve(root / "m", "--workers", workers, "--disk-timeout", "1s", admin=True)
    assert server.ask_admin("/readyz").status == 200
    mounted.hang()
    number = 0

    def fails() -> bool:  # every worker must have noticed
        nonlocal number
        number += 1
        ask(clients, server, f"/{number}").read_response()
        return server.ask_admin("/readyz").status == 503

    wait_until(fails, "the served path's file system is known to hang")
    assert server.ask_admin("/healthz").status == 200
    assert server.ask_admin("/metrics").status == 200
    mounted.answer()
    wait_until(lambda: server.ask_admin("/readyz").status == 200, "it answers again, and no request was needed")


def test_a_file_system_that_is_mounted_later_does_not_stop_the_server_either(
    serve: Serve, clients: ExitStack, root: Path
) -> None:
    server = serve(root, "--disk-timeout", "1s", admin=True)
    assert_others_are_served(server)
    with hanging_fs(root / "m"):
        waiting = [ask(clients, server, "/m/hangdir/x") for _ in range(4)]
        assert_others_are_served(server)
        assert {client.read_response().status for client in waiting} == {503}


@pytest.mark.parametrize("target", ["/m/small", "/m/unsized", "/m", "/m/", "/link", "/outside/small"])
def test_look_ups_do_not_wait_for_a_file_system_that_is_mounted_later_and_hangs(
    serve: Serve, clients: ExitStack, root: Path, target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One worker, which has served the path before, and has no request for the mount until it hangs."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (root / "link").symlink_to("m/small")
    (root / "outside").symlink_to(elsewhere)
    server = serve(root, "--workers", "1", "--allow-links-to", os.fspath(elsewhere), "--disk-timeout", "1s", admin=True)
    with server.connect() as client:
        client.get(target)
        assert client.read_response().status in (301, 302, 307, 308, 200, 404)
        with hanging_fs(elsewhere if "outside" in target else root / "m") as mounted:
            mounted.hang()
            client.get(target)
            waiting = [ask(clients, server, target) for _ in range(8)]
            assert_others_are_served(server)
            assert {each.read_response().status for each in (client, *waiting)} == {503}
            assert_others_are_served(server)
            assert server.ask_admin("/readyz").status == 200
            mounted.answer()
            wait_until(lambda: ask(clients, server, target).read_response().status < 400, "it is served")


def test_a_link_into_a_mount_that_hangs_delays_only_requests_for_such_links(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs
) -> None:
    (root / "link").symlink_to("m/hangdir/x")
    (root / "near").symlink_to("other.bin")
    server = serve(root, "--follow-symlinks", "--disk-timeout", "1s", admin=True)
    waiting = [ask(clients, server, "/link") for _ in range(8)]
    assert server.get("/near").content == OTHER
    assert server.get("/nothing-here").status == 404
    assert {client.read_response().status for client in waiting} == {503}
    assert server.get("/near").content == OTHER
    assert server.ask_admin("/readyz").status == 200


def test_a_dead_mount_point_is_an_answer_and_affects_nothing_else(serve: Serve, root: Path, mounted: HangingFs) -> None:
    server = serve(root, admin=True)
    assert server.get("/m/small").content == SMALL
    mounted.kill()
    for target in ("/m/small", "/m/", "/m", "/m/hangdir/x"):
        answer = server.get(target)
        assert (answer.status, "retry-after" in answer.fields) == (503, True), target
    assert server.get("/other.bin").content == OTHER
    assert not [line for line in server.log if "Traceback" in line]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_server_ends_after_the_drain_although_calls_hang(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs, workers: str
) -> None:
    server = serve(root, "--workers", workers, "--disk-timeout", "1h", "--shutdown-timeout", "1s")
    for _ in range(4):
        ask(clients, server, "/m/hangdir/x")
    assert server.get("/other.bin").content == OTHER
    server.signal(signal.SIGTERM)
    assert server.process.wait(TIMEOUT_SECONDS) == 0
    server.wait_for_log("info stopped")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_ends_the_server_although_calls_hang(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs, workers: str
) -> None:
    server = serve(root, "--workers", workers, "--disk-timeout", "1h", "--shutdown-timeout", "1h")
    for _ in range(4):
        ask(clients, server, "/m/hangdir/x")
    assert server.get("/other.bin").content == OTHER
    server.signal(signal.SIGTERM)
    server.wait_for_log("stopping")
    server.signal(signal.SIGTERM)
    assert server.process.wait(TIMEOUT_SECONDS) == 128 + signal.SIGTERM


def test_a_successor_serves_and_the_predecessor_ends_although_calls_hang(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs
) -> None:
    server = serve(root, "--disk-timeout", "1h", "--shutdown-timeout", "1s")
    for _ in range(4):
        ask(clients, server, "/m/hangdir/x")
    assert server.get("/other.bin").content == OTHER
    server.signal(signal.SIGUSR2)
    server.process.wait(40)
    assert server.get("/other.bin").content == OTHER


@pytest.mark.parametrize("query", ["", "?sort=size", "?sort=date&order=desc"])
def test_a_listing_does_not_wait_for_an_entry_that_hangs(
    serve: Serve, root: Path, mounted: HangingFs, query: str
) -> None:
    """The mount point, and a link into it, have neither size nor date. Nothing is lost by the listing either."""
    (root / "link").symlink_to("m/hangdir/x")
    server = serve(root, "--follow-symlinks", "--disk-timeout", "1h", admin=True)
    mounted.hang()
    for accept in ("application/json", "text/html"):
        content = server.get(f"/{query}", f"Accept: {accept}").content
        assert all(name in content for name in (b"other.bin", b"m/", b"link"))
    entries = {
        each["name"]: each for each in json.loads(server.get("/", "Accept: application/json").content)["entries"]
    }
    assert (entries["m"]["type"], entries["m"]["size"], entries["m"]["modified"]) == ("directory", None, None)
    assert entries["link"]["modified"] is None
    assert entries["other.bin"]["size"] == len(OTHER)
    assert_others_are_served(server)


def test_a_read_that_hangs_ends_its_download_and_is_logged(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs
) -> None:
    server = serve(root, "--disk-timeout", "1s", admin=True)
    client = ask(clients, server, "/m/hang")
    assert client.read_head()[0] == 200
    with pytest.raises((ConnectionResetError, IncompleteResponse)):
        client.read_exactly(1)
    server.wait_for_log("/m/hang", "disk-timeout")
    assert_others_are_served(server)
    wait_until(lambda: server.status()["transfers"]["aborted_total"]["disk-timeout"] == 1, "it is counted")


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "h2"])
def test_streams_on_a_mount_that_hangs_end_and_the_others_of_their_connection_go_on(
    serve: Serve, root: Path, mounted: HangingFs, tls: bool
) -> None:
    flags = ("--disk-timeout", "1s", *(("--tls-self-signed",) if tls else ()))
    server = serve(root, *flags, admin=True)
    with Http2Client(server, tls=unverified_context() if tls else None) as client:
        looked_up, read = client.request("/m/hangdir/x"), client.request("/m/hang")
        for _ in range(3):
            assert client.get("/other.bin").content == OTHER
        found = client.response(looked_up)
        assert found.status == 503 and int(found.fields["retry-after"]) > 0
        with pytest.raises(Reset):
            client.response(read)
        assert client.get("/other.bin").content == OTHER
    server.wait_for_log("/m/hangdir/x", '503 refused="file-system"')
    server.wait_for_log("/m/hang", "disk-timeout")
    assert_others_are_served(server)


def test_over_tls_requests_for_a_mount_that_hangs_get_503_and_a_read_that_hangs_is_reset(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs
) -> None:
    server = serve(root, "--disk-timeout", "1s", "--tls-self-signed", admin=True)
    looked_up, read = ask(clients, server, "/m/hangdir/x"), ask(clients, server, "/m/hang")
    assert_others_are_served(server)
    assert looked_up.read_response().status == 503
    assert read.read_head()[0] == 200
    with pytest.raises((ConnectionResetError, IncompleteResponse)):
        read.read_exactly(1)
    server.wait_for_log("/m/hang", "disk-timeout")


def test_a_file_system_mounted_over_a_known_path_is_not_asked_on_the_loop(
    serve: Serve, clients: ExitStack, root: Path
) -> None:
    """A request that equals an earlier one is looked up again, but never on another mount."""
    server = serve(root, "--disk-timeout", "1s", admin=True)
    (root / "m" / "small").write_bytes(b"below the mount")
    with server.connect() as client:
        for _ in range(3):
            client.get("/m/small")
            assert client.read_response().content == b"below the mount"
        with hanging_fs(root / "m") as mounted:
            client.get("/m/small")
            assert client.read_response().content == SMALL
            mounted.hang()
            client.get("/m/small")
            assert_others_are_served(server)
            assert client.read_response().status == 503
            mounted.answer()


@pytest.mark.parametrize("name", ["big", "unsized"])
def test_descriptors_of_files_that_cannot_be_closed_are_closed_when_their_file_system_answers(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs, name: str
) -> None:
    """close(2) waits as well. Neither the event loop waits for it, nor is a descriptor lost."""
    server = serve(root, "--workers", "1", "--disk-timeout", "1s", admin=True)
    assert server.get("/m/small").content == SMALL
    worker = server_processes(server.pid, 1)[0]

    def on_mount() -> int:
        return sum(os.fspath(root / "m") in target for target in descriptor_targets(worker))

    wait_until(lambda: on_mount() == 0, "the file is closed")
    stalled = server.start_download(f"/m/{name}")
    wait_until(lambda: on_mount() == 1, "the file is open")
    mounted.hang()
    stalled.socket.close()
    server.wait_for_log(f'"GET /m/{name}"')
    assert_others_are_served(server)
    mounted.answer()
    wait_until(lambda: on_mount() == 0, "the file is closed")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_log_file_on_a_file_system_that_hangs_delays_neither_requests_nor_a_reload_nor_the_end(
    serve: Serve, root: Path, mounted: HangingFs, workers: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log_file, served = root / "m" / "small", tmp_path_factory.mktemp("served")
    (served / "other.bin").write_bytes(OTHER)
    server = serve(served, "--workers", workers, "--log-file", os.fspath(log_file), admin=True)
    assert_others_are_served(server)
    mounted.hang()
    for _ in range(20):
        assert_others_are_served(server)
    server.signal(signal.SIGHUP)
    server.wait_for_log("info log file is opened again")
    assert_others_are_served(server)
    assert server.ask_admin("/readyz").status == 200
    server.signal(signal.SIGTERM)
    assert server.process.wait(TIMEOUT_SECONDS) == 0
    server.wait_for_log("info stopped")


def test_a_reload_does_not_wait_for_a_file_system_that_hangs(
    serve: Serve, clients: ExitStack, root: Path, mounted: HangingFs, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = tmp_path_factory.mktemp("config") / "freight.toml"
    config.write_text('disk-timeout = "1h"\n')
    server = serve(root / "m", "--config", os.fspath(config), admin=True)
    mounted.hang()
    waiting = [ask(clients, server, "/small") for _ in range(3)]
    config.write_text('disk-timeout = "1s"\n')
    server.signal(signal.SIGHUP)
    server.wait_for_log("settings reloaded", "disk-timeout")
    assert {client.read_response().status for client in waiting} == {503}
