"""The wheel and the sdist: their contents, their metadata, and their installation by each usual program."""

from __future__ import annotations

import email
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

from freight import __version__
from support.ports import free_port
from support.processes import running
from support.servers import wait_until

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FETCH_SECONDS = 240  # for commands that may fetch packages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command without the environment of this test, except the variables that find packages."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "UV_", "LANG"))}
    around = kept | {"PATH": os.defpath, "HOME": str(cwd)} | environment
    return subprocess.run(
        words, cwd=cwd, env=around, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
    )


def done(*words: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command that must succeed, and return its output."""
    ended = run(*words, cwd=cwd, **environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def tools() -> Path:
    """Return the folder of build, twine, pipx and uv."""
    subprocess.run([ROOT / "scripts" / "setup", "tools"], check=True, timeout=FETCH_SECONDS, capture_output=True)
    return ROOT / ".venv-tools" / "bin"


@dataclass(frozen=True, slots=True)
class Built:
    """The wheel and the sdist, and the checkout in which they were built."""

    checkout: Path
    wheel: Path
    sdist: Path

    def metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            return email.message_from_bytes(archive.read(f"freight-{__version__}.dist-info/METADATA"))


@pytest.fixture(scope="module")
def built(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build as for a release, in a checkout with the files that the tutorial leaves."""
    checkout = tmp_path_factory.mktemp("checkout") / "freight"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        timeout=60,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    for junk in (
        "huge.csv",
        "copy/huge.csv",
        "notes.txt",
        ".venv/x.py",
        "site/index.html",
        "src/freight/__pycache__/a",
    ):
        (checkout / junk).parent.mkdir(parents=True, exist_ok=True)
        (checkout / junk).write_text("junk")
    into = checkout.parent / "dist"
    done(tools / "python", "-m", "build", "--outdir", into, ".", cwd=checkout)
    (wheel,), (sdist,) = into.glob("*.whl"), into.glob("*.tar.gz")
    return Built(checkout, wheel, sdist)


def tracked(built: Built, folder: str) -> set[str]:
    """Return the files of a folder of the checkout, without __pycache__."""
    paths = (built.checkout / folder).rglob("*")
    return {
        str(path.relative_to(built.checkout)) for path in paths if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_sdist_has_the_sources_the_tests_and_the_documentation_and_no_untracked_file(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("src", "tests", "docs", "scripts", "examples", "benchmarks"):
        assert tracked(built, folder) - names == set()
    assert {"README.md", "CHANGELOG.md", "LICENSE", "constraints.txt", "Dockerfile", "pyproject.toml"} <= names
    assert {"huge.csv", "copy/huge.csv", "notes.txt", "site/index.html"} & names == set()
    assert not any(".venv" in name or "__pycache__" in name or name.startswith(".git/") for name in names)
    assert built.sdist.stat().st_size < 10_000_000


def test_the_wheel_has_every_file_of_the_package_and_no_other(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    package = {name.removeprefix("src/") for name in tracked(built, "src/freight")}
    assert {name for name in names if ".dist-info/" not in name} == package
    assert {"freight/py.typed", "freight/tools/deploy/systemd/freight.service"} <= package


def test_the_metadata_is_complete(built: Built) -> None:
    metadata = built.metadata()
    assert (metadata["Name"], metadata["Version"], metadata["License-Expression"]) == ("freight", __version__, "MIT")
    assert metadata["Author"] == "The freight developers"
    assert {"http", "server"} <= set(metadata["Keywords"].split(","))
    classifiers = metadata.get_all("Classifier") or []
    assert {"Operating System :: POSIX :: Linux", "Typing :: Typed"} <= set(classifiers)
    prefix = "Programming Language :: Python :: 3."
    minors = sorted(int(text.removeprefix(prefix)) for text in classifiers if text.startswith(prefix))
    assert minors == list(range(11, minors[-1] + 1)) and metadata["Requires-Python"] == ">=3.11"
    matrix = re.search(r"python: \[(.+)\]", (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert matrix and matrix[1] == ", ".join(f'"3.{minor}"' for minor in minors)
    links = dict(url.split(", ", 1) for url in metadata.get_all("Project-URL") or [])
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} <= links.keys()
    assert "rich" in " ".join(need for need in metadata.get_all("Requires-Dist") or [] if "extra ==" not in need)


def test_the_description_has_no_relative_link_and_each_leads_to_a_file_of_the_project(built: Built) -> None:
    description = built.metadata().get_payload()
    assert isinstance(description, str)
    links = re.findall(r"\]\(([^()\s]+)\)|\b(?:src|href|srcset)=\"([^\"]+)\"", description)
    targets = [one or other for one, other in links]
    assert len(targets) > 5
    assert [target for target in targets if not re.match(r"https?://|#", target)] == []
    here = f"{PROJECT['urls']['Source']}/"
    for target in targets:
        if target.startswith((f"{here}blob/", f"{here}raw/")):
            kind, version, path = target.removeprefix(here).partition("#")[0].split("/", 2)
            assert version == f"v{__version__}" and (ROOT / path).exists(), target
            assert (kind == "raw") == path.endswith((".svg", ".png")), target


def test_the_package_index_accepts_both(built: Built, tools: Path, tmp_path: Path) -> None:
    text = done(tools / "twine", "check", "--strict", built.wheel, built.sdist, cwd=tmp_path)
    assert text.count("PASSED") == 2


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed freight, and the environment that it needs."""

    program: Path
    environment: dict[str, str]
    cwd: Path

    def freight(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run(self.program, *words, cwd=self.cwd, **self.environment)


@contextmanager
def serving(here: Installed, content: bytes) -> Iterator[tuple[str, str]]:
    """Run a server of this installation; yield the URL of its file and the address of its admin listener."""
    (here.cwd / "served.bin").write_bytes(content)
    admin = f"127.0.0.1:{free_port()}"
    out = here.cwd / "out"
    with (
        out.open("wb") as file,
        running(
            [here.program, "serve", "served.bin", "--port", "0", "--admin", admin],
            cwd=here.cwd,
            env={"PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        wait_until(lambda: b" at http://" in out.read_bytes() or process.poll() is not None, "it serves")
        found = re.match(r"freight: serving served.bin at (http://\S+)\n", out.read_text())
        assert found, out.read_text()
        yield found[1], admin
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def by_pip(built: Built, tools: Path, place: Path) -> Installed:
    done(sys.executable, "-m", "venv", place / "venv", cwd=place)
    done(place / "venv" / "bin" / "python", "-m", "pip", "install", built.wheel, cwd=place)
    return Installed(place / "venv" / "bin" / "freight", {}, place)


def by_pip_from_sources(built: Built, tools: Path, place: Path) -> Installed:
    done(sys.executable, "-m", "venv", place / "venv", cwd=place)
    done(place / "venv" / "bin" / "python", "-m", "pip", "install", ".", cwd=built.checkout, HOME=str(place))
    return Installed(place / "venv" / "bin" / "freight", {}, place)


def by_uv(built: Built, tools: Path, place: Path) -> Installed:
    names = {"UV_TOOL_DIR": "tools", "UV_TOOL_BIN_DIR": "bin", "UV_CACHE_DIR": "cache"}
    around = {name: str(place / folder) for name, folder in names.items()} | {"PATH": f"{tools}:{os.defpath}"}
    done(tools / "uv", "tool", "install", "--python", sys.executable, ".", cwd=built.checkout, **around)
    return Installed(place / "bin" / "freight", around, place)


def by_uv_without_pip(built: Built, tools: Path, place: Path) -> Installed:
    around = {"UV_CACHE_DIR": str(place / "cache"), "PATH": f"{tools}:{os.defpath}"}
    done(tools / "uv", "venv", "--python", sys.executable, place / "venv", cwd=place, **around)
    python = place / "venv" / "bin" / "python"
    done(tools / "uv", "pip", "install", "--python", python, built.wheel, cwd=place, **around)
    return Installed(place / "venv" / "bin" / "freight", around, place)


def by_pipx(built: Built, tools: Path, place: Path) -> Installed:
    names = {"PIPX_HOME": "pipx", "PIPX_BIN_DIR": "bin", "UV_CACHE_DIR": "cache"}
    around = {name: str(place / folder) for name, folder in names.items()} | {"PATH": f"{tools}:{os.defpath}"}
    done(tools / "pipx", "install", "--python", sys.executable, ".", cwd=built.checkout, **around)
    return Installed(place / "bin" / "freight", around, place)


@pytest.mark.parametrize("install", [by_pip, by_pip_from_sources, by_uv, by_uv_without_pip, by_pipx])
def test_an_installed_freight_serves_and_says_how_to_add_a_missing_extra(
    install: Callable[[Built, Path, Path], Installed], built: Built, tools: Path, tmp_path: Path
) -> None:
    here = install(built, tools, tmp_path)
    assert here.freight("--version").stdout == f"freight {__version__}\n"
    for command in ("serve", "top", "lab", "fleet", "deploy"):
        shown = here.freight(command, "--help")
        assert (shown.returncode, shown.stderr) == (0, "")
    with serving(here, bytes(range(256)) * 4096) as (url, admin):
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert answer.read() == bytes(range(256)) * 4096
        seen = here.freight("top", admin, "--once")
        assert (seen.returncode, seen.stderr) == (0, "") and "memory" in seen.stdout
    unit = here.freight("deploy", "systemd", "--unit", "service").stdout
    (start,) = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    program = shlex.split(start)[0]
    assert done(program, "--version", cwd=tmp_path) == f"freight {__version__}\n"

    compose = ("fleet", "compose", "--nodes", "a:8080,b:8080", "--path", str(tmp_path), "--no-check")
    without = here.freight(*compose)
    assert (without.returncode, without.stdout, without.stderr.count("\n")) == (2, "", 1)
    command = without.stderr.partition("; run: ")[2]
    assert command, without.stderr
    done("sh", "-c", command, cwd=tmp_path, **here.environment)
    assert here.freight(*compose).stdout.count("image: freight:") == 2


@pytest.mark.parametrize("runner", [("pipx", "run", "--spec"), ("uv", "tool", "run", "--from")], ids=lambda row: row[0])
def test_freight_runs_without_an_installation(
    runner: tuple[str, ...], built: Built, tools: Path, tmp_path: Path
) -> None:
    names = {"PIPX_HOME": "pipx", "UV_CACHE_DIR": "cache", "UV_TOOL_DIR": "tools", "XDG_CACHE_HOME": "caches"}
    around = {name: str(tmp_path / folder) for name, folder in names.items()} | {"PATH": f"{tools}:{os.defpath}"}
    program, *words = runner
    once = [tools / program, *words, str(built.checkout), "freight"]
    assert done(*once, "--version", cwd=tmp_path, **around) == f"freight {__version__}\n"
    compose = ("fleet", "compose", "--nodes", "a:8080,b:8080", "--path", str(tmp_path), "--no-check")
    without = run(*once, *compose, cwd=tmp_path, **around)
    command = without.stderr.partition("; run: ")[2].strip()
    assert command, without.stderr
    said = done("sh", "-c", f"{command} {shlex.join(compose)}", cwd=tmp_path, **around)
    assert said.count("image: freight:") == 2
