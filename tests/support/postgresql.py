"""A PostgreSQL server of Debian's package, in a directory of its own, which listens on a Unix socket there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.processes import END_SECONDS, RUN_SECONDS, running
from support.servers import find_program, wait_until

USER = "freight"
_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=", "log_statement=all")


@dataclass(frozen=True)
class PostgreSql:
    """A running server. ``dsn``: how clients connect to it."""

    dsn: str
    log: Path

    def logged(self, words: str) -> bool:
        """Return whether the server has logged these words."""
        return words in self.log.read_text(encoding="utf-8", errors="replace")


def _account() -> dict[str, object]:
    """Return the options of Popen for an account that may run the server: it refuses to run as root."""
    return {"user": "nobody", "group": "nogroup", "extra_groups": ()} if os.geteuid() == 0 else {}


def _program(name: str) -> str:
    program = find_program(name)
    assert program is not None
    return program


@contextmanager
def postgresql() -> Iterator[PostgreSql]:
    """Run a new, empty server within the context."""
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="freight-pg-"))  # tests' directories are root's, and their paths too long
    try:
        if account:
            shutil.chown(folder, "nobody", "nogroup")
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(folder)}
        initdb = (_program("initdb"), "-D", "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        subprocess.run(
            initdb, cwd=folder, env=environment, check=True, capture_output=True, timeout=RUN_SECONDS, **account
        )
        words = [_program("postgres"), "-D", "data", "-k", str(folder), *(f"--{option}" for option in _OPTIONS)]
        log = folder / "log"
        with (
            log.open("wb") as output,
            running(words, cwd=folder, env=environment, stdout=output, stderr=output, **account) as process,
        ):
            server = PostgreSql(f"host={folder} user={USER} dbname=postgres", log)
            wait_until(lambda: server.logged("ready to accept connections"), "PostgreSQL accepts connections")
            yield server
            process.send_signal(signal.SIGINT)  # a fast shutdown, so that no shared memory is left
            process.wait(END_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
