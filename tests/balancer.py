"""A real HAProxy in front of servers, as a process, what its stats socket says, and what it asks of a server."""

from __future__ import annotations

import csv
import io
import os
import socket
from pathlib import Path
from typing import Self

from processes import end, start
from serving import PATIENCE_SECONDS, Served, find_program, until

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
_NODE = (
    "  server n{number} {address} weight 100 check inter 500ms agent-check agent-port {agent} agent-inter 500ms{more}\n"
)


class Balancer:
    """HAProxy, with a server ``n1``, ``n2`` ... for each pair of addresses: of files, and of the agent's port."""

    def __init__(self, folder: Path, nodes: list[tuple[str, int]], more: str = "") -> None:
        self._socket = folder / "haproxy.sock"
        self.agents = [agent for _, agent in nodes]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        config = folder / "haproxy.cfg"
        lines = (
            _NODE.format(number=number, address=address, agent=agent, more=more)
            for number, (address, agent) in enumerate(nodes, 1)
        )
        config.write_text(_CONFIG.format(socket=self._socket, port=self.port) + "".join(lines))
        self.process = start([find_program("haproxy") or "haproxy", "-db", "-q", "-f", os.fspath(config)])
        try:
            until(self._listens, "HAProxy listens")
        except BaseException:
            end(self.process)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)

    def _listens(self) -> bool:
        """Its socket is there before it can be asked."""
        try:
            self.ask("show info")
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def show(self, name: str) -> dict[str, str]:
        """The row of ``show stat`` of a server, by the manual's names: ``weight``, ``slim`` (its maxconn), ``stot``."""
        rows = csv.DictReader(io.StringIO(self.ask("show stat").removeprefix("# ")))
        return next(row for row in rows if row["pxname"] == "nodes" and row["svname"] == name)

    def ask(self, command: str) -> str:
        """The answer to a command at the stats socket."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(PATIENCE_SECONDS)
            asked.connect(os.fspath(self._socket))
            asked.sendall(f"{command}\n".encode())
            return asked.makefile().read()


def agent_port(server: Served) -> int:
    """Where the agent is, as the server says."""
    return server.port_with("freight: agent-check at tcp://127.0.0.1:")


def ask_agent(port: int, said: bytes = b"") -> str:
    """What the agent says; HAProxy may say something first (agent-send)."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as asked:
        if said:
            asked.sendall(said)
        return asked.makefile().read()
