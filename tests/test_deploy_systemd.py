"""The units that freight deploy prints are ones that systemd takes, and their figures fit one another."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from freight.cli import freight, main
from freight.config import gather
from freight.deploy.files import PROGRAM
from freight.quantities import parse_seconds
from serving import find_program

ROOT = Path(__file__).resolve().parent.parent
UNITS = ROOT / "src" / "freight" / "deploy" / "systemd"
BASELINE_BYTES = 20 << 20  # the bar of an idle process


def unit(file: Path) -> dict[str, dict[str, str]]:
    """A unit's sections; of a key that is there twice only the last one."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read(file)
    return {section: dict(parser[section]) for section in parser.sections()}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as the command writes them: the program that they start is there, which systemd verifies too."""
    assert main(["deploy", "systemd", "--output", str(tmp_path / "units")]) == 0
    return tmp_path / "units"


def analyze(*words: str, within: Path) -> subprocess.CompletedProcess[str]:
    command = [find_program("systemd-analyze") or "", *words]
    return subprocess.run(command, cwd=within, capture_output=True, text=True, timeout=60, check=False)


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


def test_memory_and_times_fit_the_settings_that_it_is_given() -> None:
    """Room for two processes while one hands over, and time to drain."""
    service = unit(UNITS / "freight.service")["Service"]
    settings = gather({}, {}, str(UNITS / "freight.toml")).settings
    assert settings.memory_bytes is not None
    assert service["MemoryMax"].endswith("G")
    assert int(service["MemoryMax"][:-1]) << 30 >= 2 * (BASELINE_BYTES + settings.memory_bytes)
    assert parse_seconds(service["TimeoutStopSec"].removesuffix("in")) > settings.drain_seconds


def test_the_command_is_one_and_the_socket_has_a_name_that_is_ours() -> None:
    service = unit(UNITS / "freight.service")["Service"]
    command, name, *words = shlex.split(service["ExecStart"])
    assert command == PROGRAM
    freight.commands[name].make_context(name, words)
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert unit(UNITS / "freight.socket")["Socket"]["FileDescriptorName"] == "files"
