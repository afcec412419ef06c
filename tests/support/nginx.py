"""nginx as a process in front of servers."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.ports import free_port
from support.processes import running
from support.servers import find_program, wait_until

_CONFIG = """\
daemon off; pid {here}/pid; error_log {here}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {here}/1; proxy_temp_path {here}/2; fastcgi_temp_path {here}/3;
    uwsgi_temp_path {here}/4; scgi_temp_path {here}/5;
    server {{
        listen 127.0.0.1:{port};
{locations}
    }}
}}
"""


@contextmanager
def nginx(here: Path, locations: str) -> Iterator[int]:
    """Run nginx with these locations and its files in ``here``, a new directory. Yield its port."""
    program = find_program("nginx")
    assert program is not None
    port = free_port()
    here.mkdir()
    config = here / "conf"
    config.write_text(_CONFIG.format(here=here, port=port, locations=locations))
    command = [program, "-p", str(here), "-c", str(config), "-e", str(here / "error.log")]
    with running(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wait_until(lambda: _accepts(port), "nginx listens")
        yield port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True
