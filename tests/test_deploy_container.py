"""The Dockerfile's steps build a server that answers its health check. The tests run the steps without a daemon."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from freight.cli.main import main
from freight.config.table import SETTINGS
from support.ports import free_port
from support.processes import running
from support.servers import wait_until

ROOT = Path(__file__).resolve().parent.parent
FETCH_SECONDS = 240  # for pip, which may fetch packages

pytestmark = pytest.mark.timeout(2 * FETCH_SECONDS)


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, such as ``("FROM", "python:3.13-slim")``."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def instruction(name: str) -> str:
    """Return the text of an instruction that occurs once."""
    (text,) = (text for found, text in instructions() if found == name)
    return text


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for name, text in instructions() if name == "ENV" for pair in shlex.split(text))


def health_check() -> list[str]:
    words: list[str] = json.loads(instruction("HEALTHCHECK").partition(" CMD ")[2])
    return words


@dataclass
class Image:
    """A virtual environment instead of the image's Python, and a folder instead of its file system."""

    files: Path
    bin: Path

    def path(self, inside: str) -> Path:
        return self.files / inside.lstrip("/")

    def environment(self, **more: str) -> dict[str, str]:
        """Return a container's environment: of ours only the variables that find packages."""
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
        """Run a shell command, with the path /src in it replaced by the copy."""
        moved = re.sub(r"(?<![\w.])/(?=src\b)", f"{self.files}/", text)
        done = subprocess.run(
            ["sh", "-ec", moved],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Run the instructions in their order."""
    place = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", place / "python"], check=True, timeout=FETCH_SECONDS)
    made = Image(place / "files", place / "python" / "bin")
    for name, text in instructions():
        if name == "COPY":
            made.copy(text)
        elif name == "RUN":
            made.run(text)
    return made


@dataclass
class Container:
    """A running container: its environment, process and log."""

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
    """Run the image's command in its environment, but with free addresses and a folder of this test."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file.bin").write_bytes(bytes(range(256)) * 4096)
    admin = f"127.0.0.1:{free_port()}"
    places = {"FREIGHT_PATH": str(tmp_path / "data"), "FREIGHT_HOST": "127.0.0.1", "FREIGHT_ADMIN": admin}
    assert places.keys() == environment().keys()
    around = image.environment(**places, FREIGHT_PORT="0")
    log = tmp_path / "log"
    options = {"env": around, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with log.open("wb") as out, running(command(), stdout=out, **options) as process:
        wait_until(lambda: b" at http://" in log.read_bytes() or process.poll() is not None, "the line that it serves")
        yield Container(around, process, log)


def command() -> list[str]:
    words: list[str] = json.loads(instruction("ENTRYPOINT")) + json.loads(instruction("CMD"))
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


def test_it_runs_without_privileges_and_listens_on_all_addresses() -> None:
    assert re.fullmatch(r"python:3\.\d+-slim", instruction("FROM"))
    user, group = instruction("USER").split(":")
    assert int(user) >= 1000 and int(group) >= 1000
    settings = environment()
    assert settings.keys() <= {setting.variable for setting in SETTINGS}
    ports = {setting.name: setting.default for setting in SETTINGS}["port"], settings["FREIGHT_ADMIN"].split(":")[1]
    assert instruction("EXPOSE").split() == list(ports)
    assert settings["FREIGHT_HOST"] == settings["FREIGHT_ADMIN"].split(":")[0] == "0.0.0.0"


def test_the_build_context_has_exactly_the_copied_files() -> None:
    """The first pattern ignores everything, so that samples, .git and .venv are not sent to the daemon."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    copied = {source for name, text in instructions() if name == "COPY" for source in text.split()[:-1]}
    assert {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_its_example_has_the_current_version() -> None:
    from freight import __version__

    names = re.findall(r"freight:(\d[\w.]*)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert names and set(names) == {__version__}


def test_in_a_compose_file_the_health_check_uses_the_admin_listener_of_each_node(
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
