"""``freight deploy`` prints the files of the package, and writes them without replacing changed ones."""

from __future__ import annotations

import json
import shlex
import sys
import sysconfig
from pathlib import Path

import pytest

from freight.cli.main import main
from freight.tools.deploy import files
from support.processes import run
from support.servers import find_program

KEPT = Path(files.__file__).parent


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["deploy", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["systemd", "--unit", "socket"], "systemd/freight.socket"),
        (["systemd", "--unit", "config"], "systemd/freight.toml"),
        (["prometheus"], "prometheus/freight.rules.yml"),
        (["prometheus", "--tests"], "prometheus/freight.test.yml"),
        (["grafana"], "grafana/freight.json"),
    ],
    ids=" ".join,
)
def test_a_file_is_printed_as_it_is_kept(words: list[str], file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, *words) == (KEPT / file).read_text(encoding="utf-8")


def test_every_file_that_is_kept_is_printed_by_one_of_the_commands() -> None:
    rows = [*files.UNITS.values(), files.RULES, files.TESTS, files.DASHBOARD]
    kept = {str(path.relative_to(KEPT)) for path in KEPT.rglob("*") if path.is_file()}
    assert {name for name in kept if "/" in name and "__pycache__" not in name} == {
        f"{row.folder}/{row.name}" for row in rows
    }


def test_without_a_unit_all_are_printed_each_below_the_place_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "systemd")
    places = [line for line in text.splitlines() if line.startswith("# /etc/")]
    assert places == [
        "# /etc/systemd/system/freight.service",
        "# /etc/systemd/system/freight.socket",
        "# /etc/freight.toml",
    ]
    assert all(printed(capsys, "systemd", "--unit", unit) in text for unit in ("service", "socket", "config"))


def test_the_unit_runs_the_program_that_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "systemd", "--unit", "service")
    (line,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    there = Path(sysconfig.get_path("scripts")) / "freight"
    program = [str(there)] if there.is_file() else [sys.executable, "-m", "freight"]
    assert shlex.split(line.removeprefix("ExecStart=")) == [*program, "serve", "--config", "/etc/freight.toml"]
    kept = (KEPT / "systemd" / "freight.service").read_text(encoding="utf-8")
    assert text == kept.replace(files.PROGRAM, " ".join(program))


def test_the_program_is_the_one_that_was_called_or_the_interpreter_with_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = tmp_path / "freight"
    called.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["./freight", "deploy"])
    assert files.program() == [str(called)]
    called.unlink()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert files.program() == [sys.executable, "-m", "freight"]


@pytest.mark.needs("systemd-analyze")
def test_systemd_reads_a_path_with_odd_characters_as_that_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "a place with 100%h" / "freight"
    odd.parent.mkdir()
    odd.write_text("#!/bin/sh\n")
    monkeypatch.setattr(files, "program", lambda: [str(odd)])
    verify = [find_program("systemd-analyze") or "", "verify", "./freight.service", "./freight.socket"]
    for mode, complaint in ((0o755, ""), (0o644, f"Command {odd} is not executable")):
        odd.chmod(mode)
        assert main(["deploy", "systemd", "--output", str(tmp_path / "units"), "--force"]) == 0
        done = run(*verify, cwd=tmp_path / "units")
        assert (done.returncode == 0, complaint in done.stderr) == (not complaint, True)


@pytest.mark.parametrize(
    ("program", "interpreter", "hidden"),
    [
        ("/opt/freight/bin/freight", "/usr/bin/python3", None),
        ("/home/me/.local/bin/freight", "/usr/bin/python3", "/home/me/.local/bin/freight"),
        (
            "/opt/freight/bin/freight",
            "/root/.local/share/uv/python/bin/python3",
            "/root/.local/share/uv/python/bin/python3",
        ),
        ("/tmp/venv/bin/freight", "/usr/bin/python3", "/tmp/venv/bin/freight"),
        ("/homes/freight", "/usr/bin/python3", None),
    ],
)
def test_a_program_that_the_service_cannot_see_is_reported(
    program: str,
    interpreter: str,
    hidden: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(files, "program", lambda: [program])
    monkeypatch.setattr(files, "interpreter", lambda: interpreter)
    assert main(["deploy", "systemd"]) == 0
    said = capsys.readouterr().err
    assert said == "" if hidden is None else said.startswith(f"freight: the service cannot see {hidden}, because the")
    assert main(["deploy", "systemd", "--unit", "config"]) == 0
    assert capsys.readouterr().err == ""


def test_what_the_service_does_not_see_is_what_the_unit_hides() -> None:
    unit = (KEPT / "systemd" / "freight.service").read_text(encoding="utf-8")
    assert "ProtectHome=yes" in unit and {"/home", "/root", "/run/user"} <= set(files.HIDDEN)
    assert "PrivateTmp=yes" in unit and {"/tmp", "/var/tmp"} <= set(files.HIDDEN)


def test_files_are_written_into_a_directory_that_is_made_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "etc" / "prometheus"
    assert printed(capsys, "prometheus", "--output", str(directory)).splitlines() == [
        f"{directory}/freight.rules.yml",
        f"{directory}/freight.test.yml",
    ]
    for name in ("freight.rules.yml", "freight.test.yml"):
        assert (directory / name).read_bytes() == (KEPT / "prometheus" / name).read_bytes()
    assert printed(capsys, "grafana", "--output", str(directory)) == f"{directory}/freight.json\n"
    assert json.loads((directory / "freight.json").read_text(encoding="utf-8"))["panels"]


def test_an_existing_file_is_replaced_only_with_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "freight.socket"
    mine.write_text("ListenStream=8080\n")
    words = ["systemd", "--output", str(tmp_path)]
    assert main(["deploy", *words]) == 2
    assert f"freight: {mine} exists; use --force to replace it\n" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["freight.socket"]
    assert mine.read_text() == "ListenStream=8080\n"
    assert main(["deploy", *words, "--force"]) == 0
    assert mine.read_bytes() == (KEPT / "systemd" / "freight.socket").read_bytes()


def test_without_a_command_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: freight deploy ")
    rows = err.partition("Commands:\n")[2].split("\n\n")[0].splitlines()
    assert [row.split()[0] for row in rows] == sorted(files.COMMANDS)


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "nagios"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("freight: 'nagios': no such command")
