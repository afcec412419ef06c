"""Several workers are one server: one address, one budget, one admin listener, one log."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from crew_looks import FILE_BYTES, crew, refuses, running
from processes import runs
from serving import Client, Served, run_python, until

Serve = Callable[..., Served]


def test_downloads_are_spread_over_the_workers(serve: Serve, file: Path, begun: Callable[[Served], Client]) -> None:
    server = serve(file, "--workers", "3", admin=True)
    for _ in range(12):
        begun(server)
    assert server.gate()["running"] == 12
    assert len(running(server)) == 3
    assert max(running(server).values()) <= 6


def test_what_a_client_may_have_it_has_of_all_workers_together(
    serve: Serve, file: Path, begun: Callable[[Served], Client]
) -> None:
    server = serve(file, "--workers", "2", "--per-client", "3", admin=True)
    for _ in range(3):
        begun(server)
    others = [server.connect() for _ in range(5)]
    for other in others:
        other.get()
    until(lambda: server.gate()["waiting"] == 5, "the others wait")
    assert server.gate()["running"] == 3
    for other in others:
        other.socket.close()


def test_the_line_is_as_long_as_one_server_s(serve: Serve, file: Path, begun: Callable[[Served], Client]) -> None:
    server = serve(file, "--workers", "2", "--per-client", "1", "--queue", "2", admin=True)
    begun(server)
    waiting = [server.connect() for _ in range(2)]
    for each in waiting:
        each.get()
    until(lambda: server.gate()["waiting"] == 2, "two wait")
    assert [server.get().status for _ in range(4)] == [503] * 4
    for each in waiting:
        each.socket.close()


def test_who_waits_in_one_worker_has_what_comes_free_in_another(serve: Serve, file: Path) -> None:
    server = serve(file, "--workers", "2", "--per-client", "1", "--max-wait", "10m", admin=True)
    with ExitStack() as stack:
        clients = [stack.enter_context(server.begin())]
        for count in range(1, 6):
            clients.append(stack.enter_context(server.connect()))
            clients[-1].get()
            until(lambda count=count: server.gate()["waiting"] == count, "it waits")
        content = file.read_bytes()
        with ThreadPoolExecutor(5) as pool:  # whose turn is next is not a matter of who came first here
            answers = pool.map(Client.answer, clients[1:])
            assert clients[0].take(FILE_BYTES) == content
            assert all(answer.content == content for answer in answers)


def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(
    serve: Serve, file: Path, begun: Callable[[Served], Client]
) -> None:
    server = serve(file, "--workers", "2", admin=True)
    clients = [begun(server) for _ in range(6)]
    before = server.status()
    killed, cut = running(server).most_common()[0]
    os.kill(killed, signal.SIGKILL)
    server.await_log(f"(pid {killed}) was ended by SIGKILL")
    until(lambda: server.status()["workers"] == {"wanted": 2, "running": 2, "restarts_total": 1}, "it is replaced")
    after = server.status()
    assert after["gate"]["running"] == 6 - cut
    assert after["transfers"]["bytes_total"] >= before["transfers"]["bytes_total"]
    assert after["transfers"]["aborted_total"]["error"] == cut
    content, whole = file.read_bytes(), 0
    for client in clients:
        try:
            whole += client.take(FILE_BYTES) == content
        except Exception:
            continue
    assert whole == 6 - cut
    assert server.get().content == content


def test_sigterm_finishes_what_runs_in_every_worker(
    serve: Serve, file: Path, begun: Callable[[Served], Client]
) -> None:
    server = serve(file, "--workers", "2", admin=True)
    clients = [begun(server) for _ in range(4)]
    assert len(running(server)) == 2
    server.signal(signal.SIGTERM)
    until(lambda: server.ask_admin("/readyz").status == 503, "it is not ready any more")
    assert server.status()["draining"] is True
    until(lambda: refuses(server), "new connections are refused")
    content = file.read_bytes()
    assert all(client.take(FILE_BYTES) == content for client in clients)
    assert server.wait() == 0


def test_the_operator_reads_once_what_all_workers_have_to_finish_and_what_it_came_to(
    serve: Serve, file: Path, begun: Callable[[Served], Client]
) -> None:
    """From the supervisor, in the log's format; and of a reload the same."""
    server = serve(file, "--workers", "2", "--drain", "1h", "--log-format", "json", admin=True)
    clients = [begun(server) for _ in range(4)]
    assert len(running(server)) == 2
    server.signal(signal.SIGHUP)
    server.await_log("reload")
    server.signal(signal.SIGTERM)
    server.await_log("stopping")
    content = file.read_bytes()
    assert all(client.take(FILE_BYTES) == content for client in clients[1:])
    for client in clients:
        client.reset()
    assert server.wait() == 0
    entries = [json.loads(line) for line in server.log]
    assert [(entry["level"], entry["message"]) for entry in entries if "level" in entry] == [
        ("info", "nothing to reload: there is no --config file"),
        ("info", "stopping: 4 downloads may take 1h more; another SIGTERM ends them now"),
        ("info", "stopped: 3 downloads completed, 1 aborted"),
    ]
    assert len([entry for entry in entries if "client" in entry]) == 4


def test_a_second_signal_ends_at_once(serve: Serve, file: Path, begun: Callable[[Served], Client]) -> None:
    server = serve(file, "--workers", "2", admin=True)
    begun(server)
    server.signal(signal.SIGTERM)
    until(lambda: server.ask_admin("/readyz").status == 503, "it drains")
    server.signal(signal.SIGINT)
    assert server.wait() == 128 + signal.SIGINT


def test_sighup_changes_the_settings_of_all(serve: Serve, file: Path, tmp_path: Path) -> None:
    config = tmp_path / "freight.toml"
    config.write_text('memory = "20MB"\n')
    server = serve(file, "--workers", "2", "--config", str(config), admin=True)
    assert server.gate()["slots"] == 533
    config.write_text('memory = "40MB"\n')
    server.signal(signal.SIGHUP)
    server.await_log("settings reloaded")
    until(lambda: server.status()["memory"]["budget_bytes"] == 40_000_000, "it has another budget")
    assert len([line for line in server.log if "settings reloaded" in line]) == 1


def test_without_their_supervisor_the_workers_end(serve: Serve, file: Path) -> None:
    server = serve(file, "--workers", "2", admin=True)
    pids = crew(server.pid)
    server.signal(signal.SIGKILL)
    until(lambda: not any(map(runs, pids)), "all have ended")


def test_where_no_worker_can_live_the_server_ends_with_an_error() -> None:
    """Those who die before they serve are not started again for ever."""
    done = run_python(
        "-c",
        "from freight.flow.rows import Rows\n"
        "from freight.server.service import Service\n"
        "from freight.workers.supervisor import Supervisor\n"
        "say = lambda level, message: print(level, message, flush=True)\n"
        "service = Service({}, None, str, say, lambda: None)\n"
        "begun = lambda: say('info', 'begun')\n"
        "raise SystemExit(Supervisor(Rows(2), [lambda: 3, lambda: 3], None, say, service, begun).run())",
    )
    assert done.returncode == 1
    assert "ended with status 3" in done.stdout
    assert "error every worker failed before it served; stopping" in done.stdout
    assert "begun" not in done.stdout


def test_where_the_system_has_no_process_a_worker_is_started_later() -> None:
    """A bound on them, such as a unit's TasksMax, does not end who is there."""
    done = run_python(
        "-c",
        "import os\n"
        "from freight.flow.rows import Rows\n"
        "from freight.server.service import Service\n"
        "from freight.workers.supervisor import Supervisor\n"
        "say = lambda level, message: print(level, message, flush=True)\n"
        "fork, failures = os.fork, [BlockingIOError(11, 'Resource temporarily unavailable')]\n"
        "def try_to_fork():\n"
        "    if failures:\n"
        "        raise failures.pop()\n"
        "    return fork()\n"
        "os.fork = try_to_fork\n"
        "service = Service({}, None, str, say, lambda: None)\n"
        "raise SystemExit(Supervisor(Rows(1), [lambda: 3], None, say, service, lambda: None).run())",
    )
    assert "warning worker 1 could not be started: Resource temporarily unavailable; trying again" in done.stdout
    assert "worker 1 (pid " in done.stdout
    assert done.returncode == 1


def test_metrics_and_events_are_of_all_workers(serve: Serve, file: Path, begun: Callable[[Served], Client]) -> None:
    server = serve(file, "--workers", "2", admin=True)
    for _ in range(4):
        begun(server)
    metrics = server.ask_admin("/metrics").content.decode()
    assert "freight_transfers_running 4.0" in metrics
    assert "freight_workers_running 2.0" in metrics
    with Client("127.0.0.1", server.admin_port, named="127.0.0.1") as viewer:
        viewer.get("/events")
        assert viewer.head()[0] == 200
        while not (line := viewer.line()).startswith(b"data: {"):
            pass
        assert b'"workers":2' in line and b'"slots":' in line
