"""systemd accepts the units that freight deploy prints, and their limits fit the settings."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from freight.cli.main import freight, main
from freight.config.load import resolve
from freight.tools.deploy.files import PROGRAM
from freight.units import parse_seconds
from support.processes import run
from support.servers import find_program

ROOT = Path(__file__).resolve().parent.parent
UNITS = ROOT / "src" / "freight" / "tools" / "deploy" / "systemd"
BASELINE_BYTES = 20 << 20  # the largest allowed size of an idle process


def unit(file: Path) -> dict[str, dict[str, str]]:
    """Return a unit's sections. Of a repeated key only the last value counts."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read(file)
    return {section: dict(parser[section]) for section in parser.sections()}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Write the units with the command: systemd also verifies that the program in them exists."""
    assert main(["deploy", "systemd", "--output", str(tmp_path / "units")]) == 0
    return tmp_path / "units"


def analyze(*words: str, within: Path) -> subprocess.CompletedProcess[str]:
    command = [find_program("systemd-analyze") or "", *words]
    return run(*command, cwd=within)


@pytest.mark.needs("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(installed: Path) -> None:
    done = analyze("verify", "./freight.service", "./freight.socket", within=installed)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shutil.copy(installed / "freight.service", installed / "wrong.service")
    with (installed / "wrong.service").open("a") as file:
        file.write("[Service]\nProtectSistem=strict\n")
    assert "ProtectSistem" in analyze("verify", "./wrong.service", within=installed).stderr


@pytest.mark.needs("systemd-analyze")
def test_the_service_is_as_little_exposed_as_the_how_to_says(installed: Path) -> None:
    done = analyze("security", "--offline=yes", "--threshold=14", "./freight.service", within=installed)
    assert done.returncode == 0, done.stdout[-200:]
    found = re.search(r"exposure level for freight.service: ([\d.]+)", done.stdout)
    page = (ROOT / "docs" / "how-to" / "systemd.md").read_text(encoding="utf-8")
    assert found and f" {found[1]} of 10" in page


def test_memory_and_times_fit_its_settings() -> None:
    """The memory is enough for two processes during a hand-over, and the time to stop is enough to drain."""
    service = unit(UNITS / "freight.service")["Service"]
    settings = resolve({}, {}, str(UNITS / "freight.toml")).settings
    assert settings.memory_bytes is not None
    assert service["MemoryMax"].endswith("G")
    assert int(service["MemoryMax"][:-1]) << 30 >= 2 * (BASELINE_BYTES + settings.memory_bytes)
    assert parse_seconds(service["TimeoutStopSec"].removesuffix("in")) > settings.shutdown_timeout_seconds


def test_the_command_is_valid_and_the_socket_is_named_files() -> None:
    service = unit(UNITS / "freight.service")["Service"]
    command, name, *words = shlex.split(service["ExecStart"])
    assert command == PROGRAM
    found = freight.get_command(click.Context(freight), name)
    assert found is not None
    found.make_context(name, words)
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert unit(UNITS / "freight.socket")["Socket"]["FileDescriptorName"] == "files"
