"""The command line: generated from the settings, quick to start, and one clear line for every mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import freight
from freight.cli import main
from freight.errors import Unservable
from freight.sample import verify
from freight.settings import SETTINGS, Settings, read_settings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of each server that was started; none really is."""
    started: list[Settings] = []

    def run(settings: Settings) -> int:
        started.append(settings)
        return 0

    app = ModuleType("freight.app")
    app.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "freight.app", app)
    return started


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_serve_without_options_serves_here_with_the_defaults(served: list[Settings]) -> None:
    assert main(["serve"]) == 0
    assert served == [read_settings({})]


def test_every_option_reaches_the_server(served: list[Settings], tmp_path: Path) -> None:
    given = {
        "host": "0.0.0.0",
        "port": "0",
        "memory": "20MB",
        "drain": "5s",
        "idle-timeout": "2m",
        "log-format": "json",
    }
    flags = ["no-length", "follow-links", "hidden"]
    options = [word for name, text in given.items() for word in (f"--{name}", text)]
    assert main(["serve", str(tmp_path), *options, *(f"--{name}" for name in flags)]) == 0
    expected = {"path": str(tmp_path)} | given | dict.fromkeys(flags, "true")
    assert expected.keys() == {setting.name for setting in SETTINGS}
    assert served == [read_settings(expected)]


def test_the_exit_status_is_the_servers(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["freight.app"], "run", lambda settings: 7)
    assert main(["serve"]) == 7


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (Unservable("port 80 is taken"), 2, "freight: port 80 is taken\n"),
        (OSError(28, "No space left on device", "/x"), 1, "freight: /x: No space left on device\n"),
        (KeyboardInterrupt(), 130, "\n"),
    ],
)
def test_what_ends_a_command_is_one_line_and_a_status(
    error: BaseException,
    status: int,
    line: str,
    served: list[Settings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(settings: Settings) -> int:
        raise error

    monkeypatch.setattr(sys.modules["freight.app"], "run", fail)
    assert main(["serve"]) == status
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--port", "70000"], "port: must be at most 65535"),
        (["serve", "--memory", "1KB"], "memory: must be at least 1MiB"),
        (["serve", "--drain", "-3s"], "drain: '-3s' is not a time"),
        (["serve", "--log-format", "xml"], "'xml' is not one of"),
        (["serve", "--colour"], "No such option"),
        (["serve", "a", "b"], "unexpected extra argument"),
        (["sample"], "Missing argument 'FILE'"),
        (["sample", "x.csv", "--size", "10Q"], "size: '10Q' has no unit of size"),
        (["sample", "x.csv", "--size", "0"], "a sample has from 1 byte"),
        (["bogus"], "No such command 'bogus'"),
    ],
)
def test_a_mistake_is_one_clear_line_and_status_2(
    arguments: list[str], said: str, served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("freight: ")
    assert err.count("\n") == 1
    assert said in err
    assert served == []


def test_the_manual_has_every_setting_with_its_default_and_whole_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    manual = " ".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        assert (setting.metavar if setting.name == "path" else f"--{setting.name}") in manual
        assert setting.help in manual
        assert setting.default == "false" or f"[default: {setting.default}]" in manual
    assert "Examples:" in manual


def test_a_bare_command_shows_the_manual_and_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Exit status:" in capsys.readouterr().err


def test_the_version_is_the_packages() -> None:
    run = run_python("-m", "freight", "--version")
    assert (run.returncode, run.stdout, run.stderr) == (0, f"freight {freight.__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["serve", "--port", "x"], ["--version"]])
def test_the_command_line_alone_loads_neither_the_loop_nor_the_parser(arguments: list[str]) -> None:
    script = f"import sys; from freight.cli import main; main({arguments!r}); print('loaded', *sys.modules)"
    run = run_python("-c", script)
    loaded = set(run.stdout.splitlines()[-1].split())
    assert "freight.settings" in loaded
    assert not {"asyncio", "httptools", "ssl", "socket", "freight.sample"} & loaded


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_FREIGHT_COMPLETE" in capsys.readouterr().out


def test_completion_knows_the_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_FREIGHT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "freight serve --me")
    monkeypatch.setenv("COMP_CWORD", "2")
    with pytest.raises(SystemExit):
        main([])
    assert "plain,--memory" in capsys.readouterr().out


def test_sample_makes_a_file_says_so_and_draws_no_bar_off_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.csv"
    assert main(["sample", str(path), "--size", "6400B"]) == 0
    assert verify(path.read_bytes(), 0)
    assert capsys.readouterr() == (f"{path}: 6400B, 100 lines\n", "")


def test_sample_refuses_to_overwrite_without_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(b"precious")
    assert main(["sample", str(path), "--size", "64B"]) == 2
    assert capsys.readouterr().err == f"freight: {path}: is there already; --force replaces it\n"
    assert path.read_bytes() == b"precious"
    assert main(["sample", str(path), "--size", "64B", "--force"]) == 0
    assert path.stat().st_size == 64


def test_sample_check_tells_a_true_file_from_a_damaged_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.csv"
    assert main(["sample", str(path), "--size", "64kB"]) == 0
    assert main(["sample", str(path), "--check"]) == 0
    with path.open("r+b") as file:
        file.write(b"?")
    assert main(["sample", str(path), "--check"]) == 1
    assert "offset 0" in capsys.readouterr().err
