"""The fixture for the tests of applications, used as its documentation says."""

from __future__ import annotations

import sys
from pathlib import Path

from support.processes import environment, run

CONFTEST = 'pytest_plugins = ["freight.testing"]\n'
TESTS = """
import socket
import urllib.request

servers = []

def test_the_report_can_be_downloaded(freight_server, tmp_path):
    (tmp_path / "report.csv").write_text("a,b\\n")
    server = freight_server(tmp_path)
    other = freight_server(tmp_path, prefix="/files")
    assert urllib.request.urlopen(server.url + "report.csv").read() == b"a,b\\n"
    assert urllib.request.urlopen(other.url + "report.csv").read() == b"a,b\\n"
    servers.extend([server, other])

def test_the_servers_have_stopped():
    assert len(servers) == 2
    for server in servers:
        assert socket.socket().connect_ex(("127.0.0.1", server.port)) != 0
"""


def test_the_fixture_starts_servers_and_stops_them(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_app.py").write_text(TESTS)
    options = ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist"]
    done = run(sys.executable, "-m", "pytest", "-q", *options, str(tmp_path), cwd=tmp_path, env=environment())
    assert "2 passed" in done.stdout, done.stdout + done.stderr
