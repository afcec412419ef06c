"""HAProxy as a process in front of servers, its stats socket, and requests to a server's agent."""

from __future__ import annotations

import csv
import io
import os
import socket
from pathlib import Path
from typing import Self

from support.ports import free_port
from support.processes import kill_process_group, start_process
from support.servers import TIMEOUT_SECONDS, ServerProcess, find_program, wait_until

MANY = 100
"""Downloads for a server with 4 MiB, which has memory for 111 if its process does not grow."""

BUSY_PERCENT = 15
"""The most that its agent reports while MANY run."""

_CONFIG = """\
global
  stats socket {socket} level admin
defaults
  mode http
  retries 3
  option redispatch
  timeout connect 5s
  timeout client 1m
  timeout server 1m
  timeout queue 1m
frontend files
  bind 127.0.0.1:{port}
  default_backend nodes
backend nodes
  balance roundrobin
"""
_NODE = "  server n{number} {address} weight 100 check inter 500ms agent-check agent-port {agent} agent-inter 500ms\n"


class LoadBalancer:
    """HAProxy with servers ``n1``, ``n2`` ..., each given by the address of its files and the port of its agent."""

    def __init__(self, folder: Path, nodes: list[tuple[str, int]]) -> None:
        self._socket = folder / "haproxy.sock"
        self.agents = [agent for _, agent in nodes]
        self.port = free_port()
        config = folder / "haproxy.cfg"
        lines = (
            _NODE.format(number=number, address=address, agent=agent)
            for number, (address, agent) in enumerate(nodes, 1)
        )
        config.write_text(_CONFIG.format(socket=self._socket, port=self.port) + "".join(lines))
        self.process = start_process([find_program("haproxy") or "haproxy", "-db", "-q", "-f", os.fspath(config)])
        try:
            wait_until(self._listens, "HAProxy listens")
        except BaseException:
            kill_process_group(self.process)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kill_process_group(self.process)

    def _listens(self) -> bool:
        """Return whether it answers. Its socket exists before that."""
        try:
            self.run_command("show info")
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def server_stats(self, name: str) -> dict[str, str]:
        """Return a server's row of ``show stat``, such as ``weight``, ``slim`` (its maxconn) and ``stot``."""
        rows = csv.DictReader(io.StringIO(self.run_command("show stat").removeprefix("# ")))
        return next(row for row in rows if row["pxname"] == "nodes" and row["svname"] == name)

    def run_command(self, command: str) -> str:
        """Run a command at the stats socket, and return its output."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(TIMEOUT_SECONDS)
            asked.connect(os.fspath(self._socket))
            asked.sendall(f"{command}\n".encode())
            return asked.makefile().read()


def agent_port(server: ServerProcess) -> int:
    """Return the port of the server's agent."""
    return server.port_with("freight: agent-check at tcp://127.0.0.1:")


def ask_agent(port: int, said: bytes = b"") -> str:
    """Return the agent's report. ``said``: what HAProxy sends first (agent-send)."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as asked:
        if said:
            asked.sendall(said)
        return asked.makefile().read()
