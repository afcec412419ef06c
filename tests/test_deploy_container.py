"""The Dockerfile's steps build a server that answers its own health check; they are run here without a daemon."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from freight.cli import main
from freight.settings import SETTINGS
from serving import until

ROOT = Path(__file__).resolve().parent.parent
FAR = 240  # seconds for pip, which may have to fetch what it installs

pytestmark = pytest.mark.timeout(2 * FAR)


def instructions() -> list[tuple[str, str]]:
    """What the Dockerfile says, line by line: ``("FROM", "python:3.13-slim")``."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def said(name: str) -> str:
    """What an instruction that is there once says."""
    (text,) = (text for found, text in instructions() if found == name)
    return text


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for name, text in instructions() if name == "ENV" for pair in shlex.split(text))


def health_check() -> list[str]:
    words: list[str] = json.loads(said("HEALTHCHECK").partition(" CMD ")[2])
    return words


@dataclass
class Image:
    """A virtual environment in the place of the image's Python, and a folder in the place of its files."""

    files: Path
    bin: Path

    def path(self, inside: str) -> Path:
        return self.files / inside.lstrip("/")

    def environment(self, **more: str) -> dict[str, str]:
        """As of a container: nothing of ours but what finds packages."""
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        return kept | {"PATH": f"{self.bin}:{os.defpath}", "HOME": str(self.files)} | more

    def copy(self, text: str) -> None:
        *sources, target = text.split()
        for source in sources:
            path = self.path(target)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, path, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                path.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, path)

    def run(self, text: str) -> None:
        """A command of the shell; the absolute paths in it are those of what has been copied."""
        moved = re.sub(r"(?<![\w.])/(?=src\b)", f"{self.files}/", text)
        done = subprocess.run(
            ["sh", "-ec", moved], env=self.environment(), capture_output=True, text=True, timeout=FAR, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What the instructions make, in their order."""
    place = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", place / "python"], check=True, timeout=FAR)
    made = Image(place / "files", place / "python" / "bin")
    for name, text in instructions():
        if name == "COPY":
            made.copy(text)
        elif name == "RUN":
            made.run(text)
    return made


@dataclass
class Container:
    """What runs in it, where it is reached, and what it has said."""

    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path

    def url(self) -> str:
        found = re.search(r"freight: serving .* at (http://\S+)", self.log.read_text())
        assert found, self.log.read_text()
        return found[1]

    def health(self) -> int:
        command = health_check()
        done = subprocess.run(command, env=self.environment, capture_output=True, timeout=30, check=False)
        return done.returncode


@pytest.fixture
def container(image: Image, tmp_path: Path) -> Iterator[Container]:
    """The image's command in the image's environment, but for addresses that are free here and a folder of ours."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file.bin").write_bytes(bytes(range(256)) * 4096)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        admin = f"127.0.0.1:{free.getsockname()[1]}"
    places = {"FREIGHT_PATH": str(tmp_path / "data"), "FREIGHT_HOST": "127.0.0.1", "FREIGHT_ADMIN": admin}
    assert places.keys() == environment().keys()
    around = image.environment(**places, FREIGHT_PORT="0")
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(),
            env=around,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: b" at http://" in log.read_bytes() or process.poll() is not None, "the line that it serves")
        yield Container(around, process, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def command() -> list[str]:
    words: list[str] = json.loads(said("ENTRYPOINT")) + json.loads(said("CMD"))
    return words


@pytest.mark.slow
def test_the_steps_install_freight_and_leave_no_sources(image: Image) -> None:
    freight = image.bin / "freight"
    done = subprocess.run(
        [freight, "--version"], env=image.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not image.path("/src").exists()


@pytest.mark.slow
def test_the_container_serves_its_data_and_is_healthy_until_it_stops(container: Container) -> None:
    with urllib.request.urlopen(f"{container.url()}file.bin", timeout=30) as answer:
        assert answer.read() == bytes(range(256)) * 4096
    assert container.health() == 0
    container.process.send_signal(signal.SIGTERM)  # as docker stop does
    assert container.process.wait(timeout=30) == 0
    assert container.health() != 0


@pytest.mark.slow
def test_the_health_check_fails_while_the_process_does_not_answer(container: Container) -> None:
    assert container.health() == 0
    container.process.send_signal(signal.SIGSTOP)
    assert container.health() != 0
    container.process.send_signal(signal.SIGCONT)
    assert container.health() == 0


def test_it_runs_as_nobody_in_particular_and_is_reached_from_outside() -> None:
    assert re.fullmatch(r"python:3\.\d+-slim", said("FROM"))
    user, group = said("USER").split(":")
    assert int(user) >= 1000 and int(group) >= 1000
    settings = environment()
    assert settings.keys() <= {setting.variable for setting in SETTINGS}
    ports = {setting.name: setting.default for setting in SETTINGS}["port"], settings["FREIGHT_ADMIN"].split(":")[1]
    assert said("EXPOSE").split() == list(ports)
    assert settings["FREIGHT_HOST"] == settings["FREIGHT_ADMIN"].split(":")[0] == "0.0.0.0"


def test_the_context_has_what_is_copied_and_nothing_else() -> None:
    """Everything is ignored but for the exceptions, so samples, .git and .venv are not sent to the daemon."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    copied = {source for name, text in instructions() if name == "COPY" for source in text.split()[:-1]}
    assert {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_version_in_its_example_is_this_one() -> None:
    from freight import __version__

    names = re.findall(r"freight:(\d[\w.]*)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert names and set(names) == {__version__}


def test_in_a_compose_file_the_health_check_asks_where_each_node_has_its_admin_listener(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    words = ["fleet", "compose", "--nodes", "a:8080,b:8090", "--path", str(tmp_path), "--no-check"]
    assert main(words) == 0
    services = yaml.safe_load(capsys.readouterr().out)["services"]
    for name in ("a", "b"):
        flags = services[name]["command"]
        assert services[name]["environment"]["FREIGHT_ADMIN"] == flags[flags.index("--admin") + 1]
    assert main([*words, "--admin", "none"]) == 0
    services = yaml.safe_load(capsys.readouterr().out)["services"]
    assert services["a"]["environment"]["FREIGHT_ADMIN"] == "none"
    assert services["a"]["healthcheck"] == {"disable": True}
