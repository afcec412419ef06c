"""Several workers are one server: one address, one budget, one admin listener, one log."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from support.processes import is_running
from support.servers import Client, Serve, ServerProcess, run_python, wait_until
from support.worker_snapshots import FILE_BYTES, MOST, refuses, running, server_processes, stall_in_each


def test_downloads_are_spread_over_the_workers(
    serve: Serve, file: Path, start_stalled: Callable[[ServerProcess], Client]
) -> None:
    """No worker has more than half of them. On a busy machine a worker may miss its turns: later ones make up for it.

    A worker that has more connections than another leaves the next one to that for only 2 ms.
    """
    server = serve(file, "--workers", "3", admin=True)
    for _ in range(11):
        start_stalled(server)

    def are_spread() -> bool:
        start_stalled(server)
        spread = running(server)
        assert 12 <= spread.total() < MOST, spread
        return len(spread) == 3 and max(spread.values()) <= spread.total() / 2

    wait_until(are_spread, "no worker has more than half of them")


def test_the_limit_per_client_is_for_all_workers_together(
    serve: Serve, file: Path, start_stalled: Callable[[ServerProcess], Client]
) -> None:
    server = serve(file, "--workers", "2", "--max-per-client", "3", admin=True)
    for _ in range(3):
        start_stalled(server)
    others = [server.connect() for _ in range(5)]
    for other in others:
        other.get()
    wait_until(lambda: server.gate()["waiting"] == 5, "the others wait")
    assert server.gate()["running"] == 3
    for other in others:
        other.socket.close()


def test_the_queue_is_as_long_as_that_of_one_process(
    serve: Serve, file: Path, start_stalled: Callable[[ServerProcess], Client]
) -> None:
    server = serve(file, "--workers", "2", "--max-per-client", "1", "--queue-size", "2", admin=True)
    start_stalled(server)
    waiting = [server.connect() for _ in range(2)]
    for each in waiting:
        each.get()
    wait_until(lambda: server.gate()["waiting"] == 2, "two wait")
    assert [server.get().status for _ in range(4)] == [503] * 4
    for each in waiting:
        each.socket.close()


def test_a_slot_that_becomes_free_in_one_worker_is_for_a_request_in_another(serve: Serve, file: Path) -> None:
    server = serve(file, "--workers", "2", "--max-per-client", "1", "--queue-timeout", "10m", admin=True)
    with ExitStack() as stack:
        clients = [stack.enter_context(server.start_download())]
        for count in range(1, 6):
            clients.append(stack.enter_context(server.connect()))
            clients[-1].get()
            wait_until(lambda count=count: server.gate()["waiting"] == count, "it waits")
        content = file.read_bytes()
        with ThreadPoolExecutor(5) as pool:  # turns are not in the order of arrival here
            answers = pool.map(Client.read_response, clients[1:])
            assert clients[0].read_exactly(FILE_BYTES) == content
            assert all(answer.content == content for answer in answers)


def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(
    serve: Serve, file: Path, start_stalled: Callable[[ServerProcess], Client]
) -> None:
    server = serve(file, "--workers", "2", admin=True)
    clients = [start_stalled(server) for _ in range(6)]
    before = server.status()
    killed, cut = running(server).most_common()[0]
    os.kill(killed, signal.SIGKILL)
    server.wait_for_log(f"(pid {killed}) was ended by SIGKILL")
    both = {"wanted": 2, "running": 2, "restarts_total": 1}
    after = server.status_when(lambda found: found["workers"] == both, "it is replaced")
    assert after["admission"]["running"] == 6 - cut
    assert after["transfers"]["bytes_total"] >= before["transfers"]["bytes_total"]
    assert after["transfers"]["aborted_total"]["error"] == cut
    content, whole = file.read_bytes(), 0
    for client in clients:
        try:
            whole += client.read_exactly(FILE_BYTES) == content
        except Exception:
            continue
    assert whole == 6 - cut
    assert server.get().content == content


def test_sigterm_drains_every_worker(
    serve: Serve, file: Path, start_stalled: Callable[[ServerProcess], Client]
) -> None:
    server = serve(file, "--workers", "2", admin=True)
    clients = stall_in_each(server, start_stalled)
    server.signal(signal.SIGTERM)
    wait_until(lambda: server.ask_admin("/readyz").status == 503, "it is not ready any more")
    assert server.status()["draining"] is True
    wait_until(lambda: refuses(server), "new connections are refused")
    content = file.read_bytes()
    assert all(client.read_exactly(FILE_BYTES) == content for client in clients)
    assert server.wait() == 0


def test_the_drain_of_all_workers_and_its_result_are_logged_once(
    serve: Serve, file: Path, start_stalled: Callable[[ServerProcess], Client]
) -> None:
    """The supervisor logs them in the format of the log, and a reload too."""
    server = serve(file, "--workers", "2", "--shutdown-timeout", "1h", "--log-format", "json", admin=True)
    clients = [*stall_in_each(server, start_stalled), start_stalled(server)]
    server.signal(signal.SIGHUP)
    server.wait_for_log("reload")
    server.signal(signal.SIGTERM)
    server.wait_for_log("stopping")
    content = file.read_bytes()
    assert all(client.read_exactly(FILE_BYTES) == content for client in clients[1:])
    for client in clients:
        client.reset()
    assert server.wait() == 0
    entries = [json.loads(line) for line in server.log]
    assert [(entry["level"], entry["message"]) for entry in entries if "level" in entry] == [
        ("info", "nothing to reload: there is no --config file"),
        ("info", f"stopping: {len(clients)} downloads may take 1h more; another SIGTERM ends them now"),
        ("info", f"stopped: {len(clients) - 1} downloads completed, 1 aborted"),
    ]
    assert len([entry for entry in entries if "client" in entry]) == len(clients)


def test_a_second_signal_ends_the_server_at_once(
    serve: Serve, file: Path, start_stalled: Callable[[ServerProcess], Client]
) -> None:
    server = serve(file, "--workers", "2", admin=True)
    start_stalled(server)
    server.signal(signal.SIGTERM)
    wait_until(lambda: server.ask_admin("/readyz").status == 503, "it drains")
    server.signal(signal.SIGINT)
    assert server.wait() == 128 + signal.SIGINT


def test_sighup_changes_the_settings_of_all_workers(serve: Serve, file: Path, tmp_path: Path) -> None:
    config = tmp_path / "freight.toml"
    config.write_text('memory = "20MB"\n')
    server = serve(file, "--workers", "2", "--config", str(config), admin=True)
    assert server.gate()["slots"] == 528
    config.write_text('memory = "40MB"\n')
    server.signal(signal.SIGHUP)
    server.wait_for_log("settings reloaded")
    wait_until(lambda: server.status()["memory"]["budget_bytes"] == 40_000_000, "it has another budget")
    assert len([line for line in server.log if "settings reloaded" in line]) == 1


def test_workers_end_with_their_supervisor(serve: Serve, file: Path) -> None:
    server = serve(file, "--workers", "2", admin=True)
    pids = server_processes(server.pid)
    server.signal(signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, pids)), "all have ended")


def test_a_server_whose_workers_all_fail_at_startup_ends_with_an_error() -> None:
    """Workers that end before they serve are not restarted without end."""
    done = run_python(
        "-c",
        "from freight.workers.shared.state import SharedState\n"
        "from freight.runtime.service import Service\n"
        "from freight.workers.supervisor import Hooks, Supervisor\n"
        "say = lambda level, message: print(level, message, flush=True)\n"
        "service = Service((), None, str, say, lambda: None)\n"
        "hooks = Hooks(say, print, lambda: say('info', 'all serve'))\n"
        "raise SystemExit(Supervisor(SharedState(2), [lambda: 3, lambda: 3], None, service, hooks).run())",
    )
    assert done.returncode == 1
    assert "ended with status 3" in done.stdout
    assert "error every worker failed before it served; stopping" in done.stdout
    assert "all serve" not in done.stdout


def test_a_worker_is_started_later_when_the_system_refuses_a_process() -> None:
    """A limit such as a unit's TasksMax does not end running workers."""
    done = run_python(
        "-c",
        "import os\n"
        "from freight.workers.shared.state import SharedState\n"
        "from freight.runtime.service import Service\n"
        "from freight.workers.supervisor import Hooks, Supervisor\n"
        "say = lambda level, message: print(level, message, flush=True)\n"
        "fork, failures = os.fork, [BlockingIOError(11, 'Resource temporarily unavailable')]\n"
        "def try_to_fork():\n"
        "    if failures:\n"
        "        raise failures.pop()\n"
        "    return fork()\n"
        "os.fork = try_to_fork\n"
        "service = Service((), None, str, say, lambda: None)\n"
        "raise SystemExit(Supervisor(SharedState(1), [lambda: 3], None, service, Hooks(say, print, list)).run())",
    )
    assert "warning worker 1 could not be started: Resource temporarily unavailable; trying again" in done.stdout
    assert "worker 1 (pid " in done.stdout
    assert done.returncode == 1


def test_metrics_and_events_describe_all_workers(
    serve: Serve, file: Path, start_stalled: Callable[[ServerProcess], Client]
) -> None:
    server = serve(file, "--workers", "2", admin=True)
    for _ in range(4):
        start_stalled(server)
    metrics = server.ask_admin("/metrics").content.decode()
    assert "freight_transfers_running 4.0" in metrics
    assert "freight_workers_running 2.0" in metrics
    with Client("127.0.0.1", server.admin_port, named="127.0.0.1") as viewer:
        viewer.get("/events")
        assert viewer.read_head()[0] == 200
        while not (line := viewer.read_line()).startswith(b"data: {"):
            pass
        assert b'"workers":2' in line and b'"slots":' in line
