"""The admin listener over real sockets: beside the files, while the server is full, and while it ends."""

from __future__ import annotations

import json
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from freight.memory.costs import WINDOW_MIN
from support.full_log import lose_lines, request_lines
from support.ports import free_port
from support.servers import HUGE_BYTES as SIZE
from support.servers import Client, Serve, ServerProcess, run_python, wait_until

CURL = ("curl", "-q", "-sS", "--noproxy", "*", "--max-time", "30")


def metrics(server: ServerProcess) -> dict[str, float]:
    """Return samples by name, with the label's value after it."""
    text = server.ask_admin("/metrics").content.decode()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_it_answers_at_the_address_that_the_second_line_says(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    assert server.admin_port != server.port
    for path, content in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
        answer = server.ask_admin(path)
        assert (answer.status, answer.content) == (200, content)
        assert answer.fields["cache-control"] == "no-store"
    assert server.ask_admin("/huge.bin").status == 404
    assert server.get("/status").status == 404


def test_a_server_without_requests_has_done_nothing(huge: Path, serve: Serve) -> None:
    status = serve(huge, "--memory", "20MB", admin=True).status()
    assert not status["draining"]
    assert status["memory"]["budget_bytes"] == 20_000_000
    assert 0 < status["memory"]["baseline_bytes"] <= status["memory"]["process_bytes"] < 64 << 20
    assert status["memory"]["kernel_send_bytes"] == 0
    assert status["admission"]["slots"] >= 500
    assert [status["admission"][name] for name in ("running", "express_running", "waiting", "refused_total")] == [0] * 4
    assert status["transfers"]["running"] == [] and status["transfers"]["completed_total"] == 0
    assert set(status["transfers"]["aborted_total"].values()) == {0}


def test_a_download_is_shown_while_it_runs_and_counted_when_it_has_ended(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--memory", "20MB", admin=True)
    with server.start_download("/huge.bin") as client:
        status = server.status_when(
            lambda found: any(
                row["kernel_queue"] and row["blocked_on"] == "client" for row in found["transfers"]["running"]
            ),
            "the kernel holds what is not read",
        )
        (running,) = status["transfers"]["running"]
        assert (running["client"], running["target"], running["total_bytes"]) == ("127.0.0.1", "/huge.bin", SIZE)
        assert 0 < running["sent"] < SIZE and running["seconds"] >= 0
        assert WINDOW_MIN <= running["window"] < SIZE
        assert running["kernel_queue"] <= status["memory"]["kernel_send_bytes"]
        assert status["transfers"]["completed_total"] == 0
        assert status["transfers"]["bytes_total"] >= running["sent"]  # while it runs, and not only when it ends
        assert client.read_exactly(SIZE) == bytes(SIZE)
        wait_until(lambda: server.status()["transfers"]["completed_total"], "the download is counted")
    status = server.status()
    assert status["transfers"]["running"] == []
    assert status["transfers"]["bytes_total"] == status["transfers"]["zero_copy_bytes_total"] == SIZE
    assert status["time"]["blocked_on_client_seconds"] > 0
    assert status["memory"]["kernel_send_bytes"] == 0


def test_what_was_cut_is_counted_by_its_reason(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    with server.start_download("/huge.bin") as client:
        client.reset()
    wait_until(lambda: server.status()["transfers"]["aborted_total"]["peer-gone"] == 1, "the reset is counted")
    counts = server.status()["transfers"]
    assert sum(counts["aborted_total"].values()) == 1 and counts["completed_total"] == 0


def test_metrics_and_status_say_the_same(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    assert len(server.get("/huge.bin").content) == SIZE
    wait_until(lambda: server.status()["transfers"]["completed_total"] == 1, "the download is counted")
    status, samples = server.status(), metrics(server)
    for name in ("completed_total", "bytes_total", "zero_copy_bytes_total"):
        assert samples[f"freight_transfers_{name}"] == status["transfers"][name]
    for reason, count in status["transfers"]["aborted_total"].items():
        assert samples[f"freight_transfers_aborted_total {reason}"] == count
    assert samples["freight_memory_budget_bytes"] == status["memory"]["budget_bytes"]
    assert round(samples["freight_start_time_seconds"], 6) == status["started_at"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_lost_log_lines_are_counted(huge: Path, serve: Serve, workers: str) -> None:
    """Lines that cannot be written are kept, up to a limit; then the newest are lost."""
    with open("/dev/full", "wb") as full:
        server = serve(huge, "--workers", workers, log_fd=full.fileno(), admin=True)
        with server.connect() as client:
            request_lines(client, 10)
        assert server.status()["log"]["lost_total"] == 0
        lost = lose_lines(server)
        assert metrics(server)["freight_log_lost_total"] == lost


def test_unread_answers_delay_no_health_check(huge: Path, serve: Serve, clients: ExitStack) -> None:
    """There are more than the listener's memory allows. None is idle or stalls for as long as the idle timeout."""
    server = serve(huge, "--max-per-client", "1", "--queue-timeout", "1h", "--idle-timeout", "1h", admin=True)
    clients.enter_context(server.start_download("/huge.bin"))
    for number in range(200):
        clients.enter_context(server.connect()).get(f"/huge.bin?{number}{'x' * 2000}")
    wait_until(lambda: server.gate()["waiting"] == 200, "all wait, and are in the answer")
    for _ in range(200):
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client = clients.enter_context(Client("127.0.0.1", server.admin_port, named="127.0.0.1", made=made))
        client.get("/status")
    for _ in range(3):
        assert server.ask_admin("/healthz").content == b"ok\n"
        assert len(server.status()["waiting"]) == 200


def test_it_answers_while_the_file_listener_accepts_nobody(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--max-per-client", "1", "--queue-timeout", "1h", admin=True)
    with server.start_download("/huge.bin"), server.connect() as waiting:
        waiting.get("/huge.bin")
        wait_until(lambda: server.status()["admission"]["waiting"] == 1, "the second download waits")
        assert server.status()["admission"]["oldest_wait_seconds"] >= 0
        assert server.ask_admin("/healthz").status == server.ask_admin("/readyz").status == 200


def test_a_draining_server_is_alive_and_not_ready(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--shutdown-timeout", "1h", admin=True)
    with server.start_download("/huge.bin") as client:
        server.signal()
        wait_until(lambda: server.ask_admin("/readyz").status == 503, "the drain has begun")
        assert server.ask_admin("/healthz").status == 200
        status = server.status()
        assert status["draining"] and len(status["transfers"]["running"]) == 1
        assert metrics(server)["freight_draining"] == 1
        assert client.read_exactly(SIZE) == bytes(SIZE)
    assert server.wait() == 0


def test_a_connection_to_it_does_not_delay_the_end(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--shutdown-timeout", "1h", "--idle-timeout", "1h", admin=True)
    with Client("127.0.0.1", server.admin_port, named="localhost") as asking:
        asking.get("/healthz")
        assert asking.read_response().status == 200
        server.signal()
        assert asking.read_to_end() == b""
    assert server.wait() == 0


def test_a_second_signal_ends_it_too(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--shutdown-timeout", "1h", "--idle-timeout", "1h", admin=True)
    with server.start_download("/huge.bin"):
        server.signal()
        wait_until(lambda: server.ask_admin("/readyz").status == 503, "the first signal was seen")
        server.signal()
        assert server.wait() == 128 + 15


def test_a_page_of_another_site_gets_nothing(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    with Client("127.0.0.1", server.admin_port, named=f"evil.example:{server.admin_port}") as rebound:
        rebound.get("/status")
        assert rebound.read_response().status == 421


def test_its_requests_are_no_downloads_and_are_not_logged(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    for path in ("/status", "/metrics", "/healthz", "/nothing"):
        server.ask_admin(path)
    server.get("/huge.bin", "Range: bytes=0-9")
    server.wait_for_log("GET /huge.bin")
    assert len(server.log) == 1
    assert server.status()["transfers"]["completed_total"] <= 1


def test_its_connections_leave_no_descriptor(huge: Path, serve: Serve) -> None:
    server = serve(huge, admin=True)
    server.ask_admin("/metrics")
    wait_until(lambda: server.status()["connections"]["open"] == 0, "no client of files is there")
    before = server.descriptors()
    for _ in range(50):
        server.ask_admin("/status")
    wait_until(lambda: server.descriptors() <= before, "all connections are closed")


def test_by_itself_it_is_a_thousand_ports_above(huge: Path, serve: Serve) -> None:
    port = free_port(1000)
    serve(huge, "--port", str(port), "--admin", "auto")
    with Client("127.0.0.1", port + 1000, named="localhost") as client:
        client.get("/healthz")
        assert client.read_response().content == b"ok\n"


def test_where_that_is_taken_files_are_served_without_it_and_a_line_says_so(huge: Path, serve: Serve) -> None:
    port = free_port(1000)
    with socket.create_server(("127.0.0.1", port + 1000)):
        server = serve(huge, "--port", str(port), "--admin", "auto")
        server.wait_for_log("no admin listener", str(port + 1000), "taken", "--admin")
        assert server.get("/huge.bin", "Range: bytes=0-9").content == bytes(10)


def test_a_taken_address_that_was_asked_for_is_one_clear_line_and_status_2(huge: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_python("-m", "freight", "serve", str(huge), "--port", "0", "--admin", f"127.0.0.1:{port}")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "admin" in ended.stderr and port in ended.stderr and "taken" in ended.stderr


def output(*command: str, stdin: bytes = b"") -> bytes:
    """Return what a program prints."""
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True, timeout=60).stdout


@pytest.mark.needs("curl", "jq")
def test_curl_and_jq_read_it(huge: Path, serve: Serve) -> None:
    server = serve(huge, "--memory", "20MB", admin=True)
    url = f"http://localhost:{server.admin_port}"
    with server.start_download("/huge.bin"):
        wait_until(lambda: server.status()["transfers"]["running"], "the download is shown")
        query = ".transfers.running[] | [.client, .target, .total_bytes]"
        read = output("jq", "-c", query, stdin=output(*CURL, f"{url}/status"))
        assert json.loads(read) == ["127.0.0.1", "/huge.bin", SIZE]
    assert b"\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in output(*CURL, "-I", f"{url}/metrics")
    assert output(*CURL, "-d", "x", "-o", "/dev/null", "-w", "%{http_code}", f"{url}/status") == b"405"
