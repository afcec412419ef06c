"""Make what a newcomer has: a fresh clone of this repository, an empty home directory, a plain environment."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

ROOT = Path(__file__).resolve().parents[2]
TYPED_PORT, TYPED_ADMIN_PORT = 8080, 9080
_ADMIN_DISTANCE = TYPED_ADMIN_PORT - TYPED_PORT
_DISTANCES = (0, _ADMIN_DISTANCE, 2 * _ADMIN_DISTANCE)  # files, admin listener, agent
_PORTS = range(12_000, 30_000)  # below Linux's ephemeral ports
_PORT_VARIABLE = "FREIGHT_PORT"  # set if the port is not that of the pages; messages then name the variable
_OURS = ("FREIGHT_", "PYTHON", "VIRTUAL_ENV", "COVERAGE_", "PYTEST_")  # prefixes of variables that are not passed on

# Replaces uv where nothing may be fetched. scripts/setup calls uv for its help, for an environment, and to install
# freight in it. The environment gets the clone's own source, and the libraries of the environment that runs this.
_UV = """#!{python}
import pathlib, subprocess, sys
words = sys.argv[1:]
if words[:1] == ["venv"]:
    raise SystemExit(subprocess.call([{python!r}, "-m", "venv", "--without-pip", words[-1]]))
assert words[:2] == ["pip", "install"], words
if words[2:] == ["--help"]:
    raise SystemExit(print("--group"))
python = pathlib.Path(words[words.index("--python") + 1])
(site,) = python.parent.parent.glob("lib/python*/site-packages")
(site / "walkthrough.pth").write_text(str(pathlib.Path.cwd() / "src") + "\\n" + {libraries!r} + "\\n")
command = python.parent / "freight"
command.write_text(f"#!{{python}}\\nimport sys\\nfrom freight.cli.main import main\\nsys.exit(main())\\n")
command.chmod(0o755)
"""


class NoClone(RuntimeError):
    """There is no repository to clone here."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page is played: ``clone`` and ``home``, the environment of the shells, and the port of the server."""

    clone: Path
    home: Path
    environment: Mapping[str, str]
    port: int

    def typed(self, text: str) -> str:
        """Return a text of the page with the ports that are used here."""
        return self._swapped(text, TYPED_PORT, self.port)

    def shown(self, text: str) -> str:
        """Return printed text with the ports of the page."""
        return self._swapped(text, self.port, TYPED_PORT).replace(f"{_PORT_VARIABLE}: ", "--port: ")

    def _swapped(self, text: str, before: int, after: int) -> str:
        for distance in _DISTANCES:
            text = re.sub(rf"(?<!\d){before + distance}(?!\d)", str(after + distance), text)
        return text


def make_place(folder: Path, *, fetches: bool, as_typed: bool) -> Place:
    """Clone this repository into ``folder``. Raises :class:`NoClone`.

    ``fetches``: set-up fetches packages from an index; otherwise it uses the libraries of the running Python.
    ``as_typed``: use the ports of the pages. Raise OSError if they are in use.
    """
    clone, home, programs = folder / "freight", folder / "home", folder / "programs"
    home.mkdir(parents=True)
    programs.mkdir()
    _clone(clone)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    ours = str(Path(sys.executable).parent)
    path = [part for part in os.environ["PATH"].split(os.pathsep) if part != ours]
    if not fetches:
        path.insert(0, str(programs))
        uv = programs / "uv"
        uv.write_text(_UV.format(python=sys.executable, libraries=sysconfig.get_path("purelib")))
        uv.chmod(0o755)
    port = free_port(as_typed=as_typed)
    environment |= {"HOME": str(home), "PATH": os.pathsep.join(path), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    environment |= {"no_proxy": "localhost,127.0.0.1", "NO_PROXY": "localhost,127.0.0.1"}
    if port != TYPED_PORT:
        environment[_PORT_VARIABLE] = str(port)
    return Place(clone, home, environment, port)


def free_port(*, as_typed: bool) -> int:
    """Return a port that is free on the loopback, together with those of its admin listener and its agent.

    ``as_typed``: the port of the pages. Raise OSError if it is in use.
    """
    if as_typed:
        _bind(TYPED_PORT)
        return TYPED_PORT
    for _ in range(100):
        port = SystemRandom().choice(_PORTS)
        try:
            _bind(port)
        except OSError:
            continue
        return port
    raise OSError("no free port")


def _bind(port: int) -> None:
    with ExitStack() as stack:
        for distance in _DISTANCES:
            each = stack.enter_context(socket.socket())
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind(("127.0.0.1", port + distance))


def changes(clone: Path) -> str:
    """Return the changed and the untracked files of a clone, as ``git status --porcelain`` prints them."""
    return _git(clone, "status", "--porcelain")


def _clone(clone: Path) -> None:
    """Clone the repository, and copy the working tree's files into the clone, except ignored ones."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        raise NoClone(f"{ROOT} is no repository, or git is not installed")
    _git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone))
    kept = set(_git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")) - {""}
    for name in set(_git(clone, "ls-files", "-z").split("\0")) - kept - {""}:
        (clone / name).unlink()
    for name in kept:
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
        else:
            (clone / name).unlink(missing_ok=True)


def _git(directory: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(directory), *words], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise NoClone(done.stderr.strip())
    return done.stdout
