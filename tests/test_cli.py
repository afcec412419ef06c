"""The command line: generated from the settings, quick to start, and one clear line for every mistake."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import freight
from freight.cli import main
from freight.errors import Unservable
from freight.kinds import Kind, Setting
from freight.sample import verify
from freight.settings import SETTINGS, Settings, read_settings
from serving import run_python


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("FREIGHT_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of each server that was started, and of each that read them anew; none really is."""
    started: list[Settings] = []

    def run(settings: Settings, reread: Callable[[], Settings]) -> int:
        assert reread() == settings
        started.append(settings)
        return 0

    app = ModuleType("freight.app")
    app.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "freight.app", app)
    return started


def test_serve_without_options_serves_here_with_the_defaults(served: list[Settings]) -> None:
    assert main(["serve"]) == 0
    assert served == [read_settings({})]


def test_every_option_reaches_the_server(served: list[Settings], tmp_path: Path) -> None:
    given = {
        "host": "0.0.0.0",
        "port": "0",
        "memory": "20MB",
        "workers": "2",
        "queue": "10",
        "max-wait": "5s",
        "per-client": "4",
        "min-rate": "none",
        "rate": "100MB/s",
        "per-client-rate": "10MB/s",
        "idle-timeout": "2m",
        "drain": "5s",
        "drain-delay": "2s",
        "admin": "[::1]:9080",
        "agent": "[::1]:8081",
        "trusted-proxy": "10.0.0.0/8,::1",
        "tls-cert": "cert.pem",
        "tls-key": "key.pem",
        "redirect-port": "8081",
        "log-format": "json",
    }
    flags = ["proxy-protocol", "no-length", "follow-links", "hidden"]
    options = [word for name, text in given.items() for word in (f"--{name}", text)]
    assert main(["serve", str(tmp_path), *options, *(f"--{name}" for name in flags), "--no-tls-self-signed"]) == 0
    expected = {"path": str(tmp_path)} | given | dict.fromkeys(flags, "true") | {"tls-self-signed": "false"}
    assert expected.keys() == {setting.name for setting in SETTINGS}
    assert served == [read_settings(expected)]


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "freight.toml"
    file.write_text("port = 1\nqueue = 1\ndrain = 1\n")
    monkeypatch.setenv("FREIGHT_CONFIG", str(file))
    monkeypatch.setenv("FREIGHT_PORT", "2")
    monkeypatch.setenv("FREIGHT_QUEUE", "2")
    assert main(["serve", "--port", "3"]) == 0
    assert served == [read_settings({"port": "3", "queue": "2", "drain": "1"})]


@pytest.mark.parametrize("setting", [row for row in SETTINGS if row.kind is Kind.FLAG], ids=lambda row: row.name)
def test_a_flag_that_is_on_elsewhere_is_switched_off(
    setting: Setting, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting.variable, "true")
    assert main(["serve"]) == 0
    assert main(["serve", setting.off_option]) == 0
    assert served == [read_settings({setting.name: "true"}), read_settings({})]


def test_proxies_are_given_one_by_one_or_together(served: list[Settings]) -> None:
    assert main(["serve", "--trusted-proxy", "10.0.0.0/8,::1", "--trusted-proxy", "192.168.1.1"]) == 0
    assert served == [read_settings({"trusted-proxy": "10.0.0.0/8,::1,192.168.1.1"})]


def test_a_server_can_read_the_file_anew(
    monkeypatch: pytest.MonkeyPatch, served: list[Settings], tmp_path: Path
) -> None:
    file = tmp_path / "freight.toml"
    file.write_text("queue = 1\n")
    read: list[Settings] = []

    def run(settings: Settings, reread: Callable[[], Settings]) -> int:
        file.write_text("queue = 2\nport = 2\n")
        read.extend([settings, reread()])
        file.write_text("queue = many\n")
        reread()
        return 0

    monkeypatch.setattr(sys.modules["freight.app"], "run", run)
    assert main(["serve", "--config", str(file), "--port", "1"]) == 2
    assert read == [read_settings({"queue": "1", "port": "1"}), read_settings({"queue": "2", "port": "1"})]


def test_what_was_passed_over_is_said_and_does_not_keep_a_server_from_starting(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FREIGHT_SERVICE_HOST", "10.3.2.1")
    assert main(["serve"]) == 0
    assert capsys.readouterr().err == "freight: FREIGHT_SERVICE_HOST: is passed over, as there is no such setting\n"
    assert served == [read_settings({})]


def test_settings_shows_value_origin_and_meaning_within_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("freight.toml").write_text('\n\nmemory = 20_000_000\ntrusted-proxy = ["10.0.0.0/8", "fd00::/8"]\n')
    monkeypatch.setenv("FREIGHT_DRAIN", "500ms")
    assert main(["settings", "/srv", "--config", "freight.toml", "--no-hidden"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split() for line in lines if not line.startswith(" ")]
    assert [head[0] for head in heads] == [setting.name for setting in SETTINGS]
    shown = {head[0]: tuple(head[1:]) for head in heads}
    assert shown["path"] == ("/srv", "PATH")
    assert shown["memory"] == ("20MB", "freight.toml:3")
    assert shown["trusted-proxy"] == ("10.0.0.0/8,fd00::/8", "freight.toml:4")
    assert shown["drain"] == ("500ms", "FREIGHT_DRAIN")
    assert shown["hidden"] == ("false", "--no-hidden")
    assert shown["port"] == ("8080", "default")
    assert max(map(len, lines)) <= 80
    assert len({found.end() for line in lines if (found := re.match(r"\S+ +\S+ +", line))}) == 1
    text = " ".join(" ".join(lines).split())
    assert all(setting.help in text for setting in SETTINGS)


def test_settings_as_json_has_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FREIGHT_RATE", "10MB")
    assert main(["settings", "--json", "--per-client", "4"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == [setting.name for setting in SETTINGS]
    (rate,) = (setting for setting in SETTINGS if setting.name == "rate")
    assert shown["rate"] == {"value": "10MB/s", "origin": "FREIGHT_RATE", "live": True, "help": rate.help}
    assert (shown["per-client"]["value"], shown["per-client"]["origin"]) == ("4", "--per-client")
    read_settings({name: row["value"] for name, row in shown.items()})


def test_settings_shows_a_value_on_its_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "a\nport  1  \udcff\x1b[2J"]) == 0
    assert r"'a\nport  1  \udcff\x1b[2J'  PATH" in capsys.readouterr().out


def test_the_exit_status_is_the_servers(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["freight.app"], "run", lambda settings, reread: 7)
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
    def fail(settings: Settings, reread: Callable[[], Settings]) -> int:
        raise error

    monkeypatch.setattr(sys.modules["freight.app"], "run", fail)
    assert main(["serve"]) == status
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--port", "70000"], "freight: --port: must be at most 65535"),
        (["serve", "--per-client", "0"], "freight: --per-client: must be at least 1 or none"),
        (["serve", "--drain", "-3s"], "freight: --drain: '-3s' is not a time"),
        (["serve", "--trusted-proxy", "a", "--trusted-proxy", "::1"], "freight: --trusted-proxy: 'a' is not an addr"),
        (["serve", ""], "freight: PATH: must not be empty"),
        (["serve", "--admin", "127.0.0.1:8080"], "freight: --admin: 127.0.0.1:8080 is where files are served"),
        (["serve", "--config", "/none.toml"], "freight: --config: cannot read /none.toml: No such file"),
        (["settings", "--port", "70000"], "freight: --port: must be at most 65535"),
        (["settings", "--config", "/none.toml"], "freight: --config: cannot read /none.toml: No such file"),
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


@pytest.mark.parametrize("command", ["serve", "settings"])
def test_the_manual_has_every_setting_with_its_default_and_whole_text(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    manual = " ".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        assert setting.option in manual
        default = "" if setting.kind is Kind.FLAG else f" [default: {setting.default}]"
        assert setting.help + default in manual
        assert setting.kind is not Kind.FLAG or f"{setting.option} / {setting.off_option} " in manual
    assert "--config FILE" in manual
    assert 'FREIGHT_MAX_WAIT=1m max-wait = "1m"' in manual
    assert "Examples:" in manual


def test_the_script_that_serves_knows_which_options_take_no_value() -> None:
    script = (Path(__file__).resolve().parent.parent / "scripts" / "serve").read_text()
    listed = {word for case in re.findall(r"^ +(--[^)]+)\) ;;$", script, re.MULTILINE) for word in case.split(" | ")}
    flags = [setting for setting in SETTINGS if setting.kind is Kind.FLAG]
    assert listed == {"--*=*"} | {word for flag in flags for word in (flag.option, flag.off_option)}


def test_a_bare_command_shows_the_manual_and_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Exit status:" in capsys.readouterr().err


def test_the_version_is_the_packages() -> None:
    run = run_python("-m", "freight", "--version")
    assert (run.returncode, run.stdout, run.stderr) == (0, f"freight {freight.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--help"], ["serve", "--help"], ["serve", "--port", "x"], ["--version"], ["lab", "--help"]),
        ["settings", "--trusted-proxy", "none"],
    ],
)
def test_the_command_line_alone_loads_neither_the_loop_nor_the_parser(arguments: list[str]) -> None:
    script = f"import sys; from freight.cli import main; main({arguments!r}); print('loaded', *sys.modules)"
    run = run_python("-c", script)
    loaded = set(run.stdout.splitlines()[-1].split())
    assert "freight.settings" in loaded
    assert not {"asyncio", "httptools", "ssl", "socket", "tomllib", "difflib", "freight.sample", "matplotlib"} & loaded
    assert {name for name in loaded if name.startswith("freight.lab.")} == {"freight.lab.command"}
    assert {name for name in loaded if name.startswith("freight.stamp.")} == {"freight.stamp.command"}
    assert not {"rich", "http.client", "freight.plan.reckon", "freight.top.ask", "freight.top.terminal"} & loaded


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_FREIGHT_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("serve --me", "plain,--memory"),
        ("serve --no-hid", "plain,--no-hidden"),
        ("serve --le", "plain,--length"),
        ("serve --conf", "plain,--config"),
        ("serve --log-format j", "plain,json"),
        ("lab --scenario stal", "plain,stalled"),
        ("settings --per-client-", "plain,--per-client-rate"),
        ("plan --cl", "plain,--clients"),
        ("top --on", "plain,--once"),
        ("serve --ag", "plain,--agent"),
        ("stamp --wr", "plain,--write"),
    ],
)
def test_completion_knows_the_options(
    typed: str, offered: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"freight {typed}"
    monkeypatch.setenv("_FREIGHT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit):
        main([])
    assert offered in capsys.readouterr().out.splitlines()


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
