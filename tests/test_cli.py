"""The command line: generated from the settings, quick to start, and one clear line for every mistake."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

import freight
from freight.cli import main
from freight.config import Gathered
from freight.errors import Unservable
from freight.kinds import Kind, Setting
from freight.sample import verify
from freight.settings import GROUPS, SETTINGS, Settings, read_settings
from serving import run_python


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("FREIGHT_")]:
        monkeypatch.delenv(variable)


Reread = Callable[[], Gathered]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of each server that would have been started; none is."""
    started: list[Settings] = []

    def run(settings: Settings, warnings: Sequence[str], reread: Reread) -> int:
        assert reread().settings == settings
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


@pytest.mark.parametrize(
    "words",
    [
        ["/srv", "--host", "::1", "--port", "1"],
        ["/srv", "--bind", "::1", "-p", "1"],
        ["-p1", "--listen", "[::1]", "/srv"],
        ["--directory", "/srv", "-b", "::1", "--port=1"],
        ["-d", "/srv", "-b::1", "-p", "1"],
    ],
)
@pytest.mark.parametrize("command", [["serve"], []], ids=["serve", "nothing"])
def test_options_may_be_written_as_other_servers_have_them(
    words: list[str], command: list[str], served: list[Settings]
) -> None:
    assert main([*command, *words]) == 0
    assert served == [read_settings({"path": "/srv", "host": "::1", "port": "1"})]


def test_a_path_where_a_command_belongs_is_served(
    served: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bogus").touch()
    paths = [".", "/srv", "huge.csv", "a/b", "bogus"]
    for path in paths:
        assert main([path]) == 0
    assert served == [read_settings({"path": path}) for path in paths]


def test_a_command_comes_before_a_path_of_its_name(
    served: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings").mkdir()
    assert main(["settings"]) == 0
    assert served == []


def test_a_sample_is_made_and_served_where_no_path_is_given(
    served: list[Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is made once, and shown as briefly as it can be written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("freight.cli.SAMPLE_BYTES", 6400)
    words = ["serve", "--sample", str(tmp_path / "sample.csv"), "--port", "0"]
    assert main(words) == 0
    assert verify((tmp_path / "sample.csv").read_bytes(), 0)
    assert capsys.readouterr().err == "freight: making sample.csv, 1 GB, to serve (only the first time)\n"
    assert main(words) == 0
    assert capsys.readouterr().err == ""
    assert main([*words, "/srv"]) == 0
    monkeypatch.setenv("FREIGHT_PATH", "/data")
    assert main(words) == 0
    assert [settings.path for settings in served] == [Path("sample.csv")] * 2 + [Path("/srv"), Path("/data")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--colour"], "--colour: no such option"),
        (["--memory", "1"], "--memory: 1B is too little"),
        (["--host", "192.0.2.77"], "--host: 192.0.2.77 is not an address of this machine"),
        (["--tls-cert", "/none", "--tls-key", "/none"], "--tls-cert: cannot read /none"),
    ],
)
def test_no_sample_is_made_for_a_server_that_would_not_start(
    words: list[str], said: str, served: list[Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = run_python("-m", "freight", "serve", "--sample", str(tmp_path / "sample.csv"), "--port", "0", *words)
    assert (ended.returncode, ended.stdout, list(tmp_path.iterdir())) == (2, "", [])
    assert ended.stderr.startswith(f"freight: {said}")


def test_no_sample_is_made_for_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run_python("-m", "freight", "serve", "--sample", str(tmp_path / "sample.csv"), "--port", port)
    assert (ended.returncode, list(tmp_path.iterdir())) == (2, [])
    assert ended.stderr.startswith(f"freight: --port: port {port} of 127.0.0.1 is taken by another program")


def test_proxies_are_given_one_by_one_or_together(served: list[Settings]) -> None:
    assert main(["serve", "--trusted-proxy", "10.0.0.0/8,::1", "--trusted-proxy", "192.168.1.1"]) == 0
    assert served == [read_settings({"trusted-proxy": "10.0.0.0/8,::1,192.168.1.1"})]


def test_a_server_can_read_the_file_anew(
    monkeypatch: pytest.MonkeyPatch, served: list[Settings], tmp_path: Path
) -> None:
    file = tmp_path / "freight.toml"
    file.write_text("queue = 1\n")
    read: list[Settings] = []

    def run(settings: Settings, warnings: Sequence[str], reread: Reread) -> int:
        file.write_text("queue = 2\nport = 2\n")
        read.extend([settings, reread().settings])
        file.write_text("queue = many\n")
        reread()
        return 0

    monkeypatch.setattr(sys.modules["freight.app"], "run", run)
    assert main(["serve", "--config", str(file), "--port", "1"]) == 2
    assert read == [read_settings({"queue": "1", "port": "1"}), read_settings({"queue": "2", "port": "1"})]


def test_what_is_ignored_is_said_and_does_not_keep_a_server_from_starting(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By ``serve`` in its log, in the format that it has."""
    told: list[str] = []

    def run(settings: Settings, warnings: Sequence[str], reread: Reread) -> int:
        told.extend(warnings)
        return 0

    monkeypatch.setattr(sys.modules["freight.app"], "run", run)
    monkeypatch.setenv("FREIGHT_SERVICE_HOST", "10.3.2.1")
    assert main(["serve"]) == 0
    assert told == ["ignoring FREIGHT_SERVICE_HOST: there is no such setting"]
    assert main(["settings", "--check"]) == 0
    assert capsys.readouterr() == ("ok\n", f"freight: {told[0]}\n")


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


def test_a_check_of_settings_finds_all_that_serve_would_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("freight.toml").write_text('memory = "20Q"\nhost = "192.0.2.77"\n')
    Path("cert.pem").write_text("nonsense")
    monkeypatch.setenv("FREIGHT_MEMORY", "1KiB")
    words = ["--tls-cert", "cert.pem", "--tls-key", "none.pem", "--admin", "192.0.2.77:9080", "nothere"]
    assert main(["settings", "--check", "--config", "freight.toml", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(";")[0].split(": ")[1:3] for line in err.splitlines()] == [
        ["freight.toml:1", "memory"],
        ["PATH", "cannot serve nothere"],
        ["FREIGHT_MEMORY", "1KiB is too little"],
        ["--tls-key", "cannot read none.pem"],
        ["freight.toml:2", "host"],
        ["--admin", "192.0.2.77 is not an address of this machine"],
    ]


def test_a_check_of_settings_does_not_mind_a_server_that_has_the_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is for a look at a file before a reload or a restart; and the one that listens does not notice."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.setblocking(False)
        port = str(taken.getsockname()[1])
        assert main(["settings", "--check", str(tmp_path), "--port", port]) == 0
        with pytest.raises(BlockingIOError):
            taken.accept()
    assert capsys.readouterr() == ("ok\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/none"], "PATH: cannot serve /none: No such file"),
        (["--memory", "1"], "--memory: 1B is too little"),
        (["--tls-cert", "/none", "--tls-key", "/none"], "--tls-cert: cannot read /none"),
        (["--tls-cert", "/none"], "--tls-cert: needs --tls-key too"),
        (["--host", "no such host"], "--host: 'no such host' is neither an address nor a known name"),
        (["--agent", "192.0.2.77:1"], "--agent: 192.0.2.77 is not an address of this machine"),
        (["--queue", "many"], "--queue: 'many' is not a whole number"),
    ],
)
def test_what_a_check_says_is_what_serve_says(words: list[str], said: str) -> None:
    checked = run_python("-m", "freight", "settings", "--check", *words)
    served = run_python("-m", "freight", "serve", "--port", "0", *words)
    assert (checked.returncode, served.returncode) == (2, 2)
    assert checked.stderr.startswith(f"freight: {said}")
    assert served.stderr.startswith(checked.stderr.rstrip("\n"))


def test_settings_shows_a_value_on_its_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "a\nport  1  \udcff\x1b[2J"]) == 0
    assert r"'a\nport  1  \udcff\x1b[2J'  PATH" in capsys.readouterr().out


def test_the_exit_status_is_the_servers(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["freight.app"], "run", lambda *_: 7)
    assert main(["serve"]) == 7


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (
            Unservable("sockets were passed, but none for files"),
            2,
            "freight: sockets were passed, but none for files\n",
        ),
        (Unservable("80 is taken", "port"), 2, "freight: --port: 80 is taken\n"),
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
    def fail(*_: object) -> int:
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
        (["serve", "--port"], "freight: --port: needs a value"),
        (["serve", "--log-format", "xml"], "freight: --log-format: 'xml' is not one of"),
        (["serve", "--colour"], "freight: --colour: no such option (see freight serve --help)"),
        (["serve", "--memmory", "1"], "freight: --memmory: no such option; did you mean --memory?"),
        (["serve", "--threads", "4"], "freight: --threads: no such option; did you mean --workers?"),
        (["serve", "--bidn", "::"], "freight: --bidn: no such option; did you mean --host?"),
        (["--threads", "4"], "did you mean freight serve --workers?"),
        (["--verison"], "freight: --verison: no such option; did you mean --version?"),
        (["serve", "a", "b"], "freight: 'b': unexpected extra argument; one PATH is served"),
        (["serve", "--host", "::", "--bind", "::1"], "freight: --bind: means the same as --host; give only one"),
        (["serve", ".", "-d", "."], "freight: -d: means the same as PATH"),
        (["serve", "--bind", "::1", "--port", "x"], "freight: --port: 'x' is not a whole number"),
        (["serve", "--bind", "127.0.0.1:80"], "freight: --bind: '127.0.0.1:80' has a port; write --host 127.0.0.1"),
        (["plan", "64MiB"], "'64MiB' is not a number of clients; write --memory 64MiB"),
        (["sample"], "freight: FILE: is missing (see freight sample --help)"),
        (["sample", "x.csv", "--size", "10Q"], "freight: --size: '10Q' has no unit of size"),
        (["sample", "x.csv", "--size", "0"], "a sample has from 1 byte"),
        (["bogus"], "freight: 'bogus': no such command, and no file or directory has that name (see freight --help)"),
        (["srve"], "'srve': no such command; did you mean \"freight serve\"?"),
        (["status"], 'did you mean "freight top"?'),
        (["8000"], 'did you mean "freight serve --port 8000"?'),
        (["fleet", "haprxy"], "'haprxy': no such command; did you mean \"freight fleet haproxy\"?"),
        (["fleet", "nginx"], "freight: 'nginx': no such command (see freight fleet --help)"),
        (["help"], 'did you mean "freight --help"?'),
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


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("command", ["serve", "settings"])
def test_the_manual_has_every_setting_with_its_default_and_whole_text(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    manual = " ".join(printed.split())
    for setting in SETTINGS:
        assert setting.option in manual
        default = "" if setting.kind is Kind.FLAG else f" [default: {setting.default}]"
        assert setting.help + default in manual
        for alias in (setting.short, *setting.aliases):
            assert alias in manual
    assert "--config FILE" in manual
    assert 'FREIGHT_MAX_WAIT=1m max-wait = "1m"' in manual
    assert "Examples:" in manual
    assert max(map(len, printed.splitlines())) <= max(columns, 80)


def test_the_manual_has_each_option_under_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    headings = [line[:-1] for line in lines if re.fullmatch(r"[A-Z].*:", line)]
    assert headings == [*GROUPS, "Other"]
    under, shown = "", {}
    for line in lines:
        if re.fullmatch(r"[A-Z].*:", line):
            under = line[:-1]
        elif found := re.match(r"  (?:-\w, )?(--[\w-]+)", line):
            shown[found[1]] = under
    assert {row.option: row.group for row in SETTINGS if row.kind is not Kind.PATH}.items() <= shown.items()


def test_an_interpreter_that_cannot_be_started_again_is_a_warning(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It serves all the same, with the allocator that it has."""
    monkeypatch.delenv("PYTHONMALLOC", raising=False)
    for variable in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))
    monkeypatch.setattr(sys, "argv", ["freight", "serve", "."])
    monkeypatch.setattr(sys, "executable", "/none/python")
    assert main() == 0
    assert served == [read_settings({})]
    err = capsys.readouterr().err
    assert err.startswith(
        "freight: cannot start /none/python again with PYTHONMALLOC=malloc (No such file or directory);"
    )
    assert err.count("\n") == 1


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
    heavy = {"asyncio", "httptools", "ssl", "socket", "tomllib", "difflib", "matplotlib"}
    assert not (heavy | {"freight.sample", "freight.check"}) & loaded
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
        ("serve --sam", "plain,--sample"),
        ("ser", "plain,serve"),
        ("hug", "file,hug"),
        ("huge.csv --po", "plain,--port"),
        ("-p 80 --hos", "plain,--host"),
        ("serve hug", "file,hug"),
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
    assert capsys.readouterr() == (f"{path}: 6.40kB, 100 lines\n", "")


def test_sample_refuses_to_overwrite_without_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(b"precious")
    assert main(["sample", str(path), "--size", "64B"]) == 2
    assert capsys.readouterr().err == f"freight: {path}: exists; use --force to replace it\n"
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
    assert capsys.readouterr().err == (
        f"freight: {path}: not a freight sample, or damaged in the 1,000,000 bytes from offset 0\n"
    )
