"""The command line: generated from the settings, fast to start, and one clear line for each mistake."""

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
from freight.cli.main import main
from freight.config.load import ResolvedSettings
from freight.config.settings import Settings, read_settings
from freight.config.table import GROUPS, SETTINGS
from freight.config.types import Setting, SettingType
from freight.errors import ConfigurationError
from freight.tools.sample import verify
from support.servers import run_python

OPTIONS = {
    "host": "0.0.0.0",
    "port": "0",
    "memory": "20MB",
    "workers": "2",
    "queue-size": "10",
    "queue-timeout": "5s",
    "max-per-client": "4",
    "min-rate": "none",
    "rate-limit": "100MB/s",
    "client-rate-limit": "10MB/s",
    "idle-timeout": "2m",
    "pause-timeout": "4m",
    "keep-alive-timeout": "3m",
    "disk-timeout": "30s",
    "shutdown-timeout": "5s",
    "shutdown-delay": "2s",
    "admin": "[::1]:9080",
    "admin-token-file": "token",
    "admin-allow-host": "freight,freight.default.svc",
    "socket-mode": "0600",
    "socket-owner": "www-data:www-data",
    "haproxy-agent": "[::1]:8081",
    "trusted-proxy": "10.0.0.0/8,::1",
    "allow-links-to": "/srv/shared:/srv/pool",
    "cors-origin": "https://maps.example,http://localhost:3000",
    "header": "X-Robots-Tag: noindex",
    "cache-control": "max-age=60",
    "index": "index.html",
    "signing-keys": "keys",
    "mount": "/data=/srv/data:/more=/srv/more",
    "prefix": "/files",
    "users": "staff",
    "tokens": "ci",
    "access": "users",
    "tls-cert": "cert.pem",
    "tls-key": "key.pem",
    "redirect-port": "8081",
    "log-format": "json",
    "log-file": "/var/log/freight/access.log",
    "log-file-size": "100MiB",
    "log-files": "9",
}
FLAGS = ("proxy-protocol", "chunked", "show-hidden", "inline", "precompressed", "request-id")
OPPOSITES = ("tls-self-signed", "follow-symlinks")  # given as --no-tls-self-signed, --no-follow-symlinks


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("FREIGHT_")]:
        monkeypatch.delenv(variable)


Reread = Callable[[], ResolvedSettings]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Return the settings of each server that would have been started; none is."""
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
    options = [word for name, text in OPTIONS.items() for word in (f"--{name}", text)]
    flags = [f"--{name}" for name in FLAGS] + [f"--no-{name}" for name in OPPOSITES]
    assert main(["serve", str(tmp_path), *options, *flags]) == 0
    expected = {"path": str(tmp_path)} | OPTIONS | dict.fromkeys(FLAGS, "true") | dict.fromkeys(OPPOSITES, "false")
    assert expected.keys() == {setting.name for setting in SETTINGS}
    assert served == [read_settings(expected)]


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "freight.toml"
    file.write_text("port = 1\nqueue-size = 1\nshutdown-timeout = 1\n")
    monkeypatch.setenv("FREIGHT_CONFIG", str(file))
    monkeypatch.setenv("FREIGHT_PORT", "2")
    monkeypatch.setenv("FREIGHT_QUEUE_SIZE", "2")
    assert main(["serve", "--port", "3"]) == 0
    assert served == [read_settings({"port": "3", "queue-size": "2", "shutdown-timeout": "1"})]


@pytest.mark.parametrize("setting", [row for row in SETTINGS if row.kind is SettingType.FLAG], ids=lambda row: row.name)
def test_a_flag_that_is_on_elsewhere_can_be_turned_off(
    setting: Setting, served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting.variable, "true")
    assert main(["serve"]) == 0
    assert main(["serve", setting.off_option]) == 0
    assert served == [read_settings({setting.name: "true"}), read_settings({setting.name: "false"})]


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
    """It is made once, and its path is printed in its shortest form."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("freight.cli.make_sample.SAMPLE_BYTES", 6400)
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


def test_a_server_can_read_the_file_again(
    monkeypatch: pytest.MonkeyPatch, served: list[Settings], tmp_path: Path
) -> None:
    file = tmp_path / "freight.toml"
    file.write_text("queue-size = 1\n")
    read: list[Settings] = []

    def run(settings: Settings, warnings: Sequence[str], reread: Reread) -> int:
        file.write_text("queue-size = 2\nport = 2\n")
        read.extend([settings, reread().settings])
        file.write_text("queue-size = 'many'\n")
        reread()
        return 0

    monkeypatch.setattr(sys.modules["freight.app"], "run", run)
    assert main(["serve", "--config", str(file), "--port", "1"]) == 2
    assert read == [read_settings({"queue-size": "1", "port": "1"}), read_settings({"queue-size": "2", "port": "1"})]


def test_an_ignored_variable_is_a_warning_and_the_server_starts(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``serve`` writes the warning to its log, ``settings`` to standard error."""
    logged: list[str] = []

    def run(settings: Settings, warnings: Sequence[str], reread: Reread) -> int:
        logged.extend(warnings)
        return 0

    monkeypatch.setattr(sys.modules["freight.app"], "run", run)
    monkeypatch.setenv("FREIGHT_SERVICE_HOST", "10.3.2.1")
    assert main(["serve"]) == 0
    assert logged == ["ignoring FREIGHT_SERVICE_HOST: there is no such setting"]
    assert main(["settings", "--check"]) == 0
    assert capsys.readouterr() == ("ok\n", f"freight: {logged[0]}\n")


def test_settings_shows_value_origin_and_meaning_within_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("freight.toml").write_text('\n\nmemory = 20_000_000\ntrusted-proxy = ["10.0.0.0/8", "fd00::/8"]\n')
    monkeypatch.setenv("FREIGHT_SHUTDOWN_TIMEOUT", "500ms")
    assert main(["settings", "/srv", "--config", "freight.toml", "--no-show-hidden"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split() for line in lines if not line.startswith(" ")]
    assert [head[0] for head in heads] == [setting.name for setting in SETTINGS]
    shown = {head[0]: tuple(head[1:]) for head in heads}
    assert shown["path"] == ("/srv", "PATH")
    assert shown["memory"] == ("20MB", "freight.toml")
    assert shown["trusted-proxy"] == ("10.0.0.0/8,fd00::/8", "freight.toml")
    assert shown["shutdown-timeout"] == ("500ms", "FREIGHT_SHUTDOWN_TIMEOUT")
    assert shown["show-hidden"] == ("false", "--no-show-hidden")
    assert shown["port"] == ("8080", "default")
    assert max(map(len, lines)) <= 80
    assert len({found.end() for line in lines if (found := re.match(r"\S+ +\S+ +", line))}) == 1
    text = " ".join(" ".join(lines).split())
    assert all(setting.help in text for setting in SETTINGS)


def test_settings_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FREIGHT_RATE_LIMIT", "10MB")
    assert main(["settings", "--json", "--max-per-client", "4"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == [setting.name for setting in SETTINGS]
    (rate,) = (setting for setting in SETTINGS if setting.name == "rate-limit")
    assert shown["rate-limit"] == {"value": "10MB/s", "origin": "FREIGHT_RATE_LIMIT", "live": True, "help": rate.help}
    assert (shown["max-per-client"]["value"], shown["max-per-client"]["origin"]) == ("4", "--max-per-client")
    read_settings({name: row["value"] for name, row in shown.items()})


def test_a_check_of_settings_finds_every_error_that_serve_would_report(
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
        ["freight.toml", "memory"],
        ["PATH", "cannot serve nothere"],
        ["FREIGHT_MEMORY", "1KiB is too little"],
        ["--tls-key", "cannot read none.pem"],
        ["freight.toml", "host"],
        ["--admin", "192.0.2.77 is not an address of this machine"],
    ]


def test_a_check_of_settings_ignores_and_leaves_alone_a_server_on_its_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command checks a file before a reload or a restart, while the server runs."""
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
        (["--haproxy-agent", "192.0.2.77:1"], "--haproxy-agent: 192.0.2.77 is not an address of this machine"),
        (["--queue-size", "many"], "--queue-size: 'many' is not a whole number"),
    ],
)
def test_a_check_prints_the_errors_of_serve(words: list[str], said: str) -> None:
    checked = run_python("-m", "freight", "settings", "--check", *words)
    served = run_python("-m", "freight", "serve", "--port", "0", *words)
    assert (checked.returncode, served.returncode) == (2, 2)
    assert checked.stderr.startswith(f"freight: {said}")
    assert served.stderr.startswith(checked.stderr.rstrip("\n"))


def test_settings_shows_any_value_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "a\nport  1  \udcff\x1b[2J"]) == 0
    assert r"'a\nport  1  \udcff\x1b[2J'  PATH" in capsys.readouterr().out


def test_the_exit_status_is_the_servers(served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["freight.app"], "run", lambda *_: 7)
    assert main(["serve"]) == 7


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (
            ConfigurationError("sockets were passed, but none for files"),
            2,
            "freight: sockets were passed, but none for files\n",
        ),
        (ConfigurationError("80 is taken", "port"), 2, "freight: --port: 80 is taken\n"),
        (OSError(28, "No space left on device", "/x"), 1, "freight: /x: No space left on device\n"),
        (KeyboardInterrupt(), 130, "\n"),
    ],
)
def test_a_failure_is_one_line_and_a_status(
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
        (["serve", "--max-per-client", "0"], "freight: --max-per-client: must be at least 1 or none"),
        (["serve", "--shutdown-timeout", "-3s"], "freight: --shutdown-timeout: '-3s' is not a time"),
        (["serve", "--trusted-proxy", "a", "--trusted-proxy", "::1"], "freight: --trusted-proxy: 'a' is not an addr"),
        (["serve", ""], "freight: PATH: must not be empty"),
        (["serve", "--admin", "127.0.0.1:8080"], "freight: --admin: 127.0.0.1:8080 is where files are served"),
        (["serve", "--config", "/none.toml"], "freight: --config: cannot read /none.toml: No such file"),
        (["settings", "--port", "70000"], "freight: --port: must be at most 65535"),
        (["settings", "--config", "/none.toml"], "freight: --config: cannot read /none.toml: No such file"),
        (["serve", "--port"], "freight: --port: needs a value"),
        (["serve", "--log-format", "xml"], "freight: --log-format: 'xml' is not one of"),
        (["serve", "--colour"], "freight: --colour: no such option (see freight serve --help)"),
        (["serve", "--length"], "freight: --length: no such option; did you mean --no-chunked?"),
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
        (["make-sample"], "freight: FILE: is missing (see freight make-sample --help)"),
        (["make-sample", "x.csv", "--size", "10Q"], "freight: --size: '10Q' has no unit of size"),
        (["make-sample", "x.csv", "--size", "0"], "a sample has from 1 byte"),
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


FORMER_NAMES = {
    "per-client-rate": "client-rate-limit",
    "drain-delay": "shutdown-delay",
    "follow-links": "follow-symlinks",
    "no-length": "chunked",
    "max-wait": "queue-timeout",
    "per-client": "max-per-client",
    "queue": "queue-size",
    "drain": "shutdown-timeout",
    "hidden": "show-hidden",
    "agent": "haproxy-agent",
    "rate": "rate-limit",
}


@pytest.mark.parametrize("command", ["serve", "settings"])
@pytest.mark.parametrize("former", FORMER_NAMES)
def test_the_former_name_of_an_option_leads_to_the_new_one(
    former: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, f"--{former}", "1"]) == 2
    new = FORMER_NAMES[former]
    assert capsys.readouterr().err.startswith(f"freight: --{former}: no such option; did you mean --{new}? (")


@pytest.mark.parametrize("former", ["hidden", "follow-links"])
def test_the_former_name_that_turned_a_flag_off_leads_to_the_new_one(
    former: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", f"--no-{former}"]) == 2
    assert f"did you mean --no-{FORMER_NAMES[former]}?" in capsys.readouterr().err


@pytest.mark.parametrize(("former", "new"), [("stamp", "sync-mtimes"), ("sample", "make-sample")])
def test_the_former_name_of_a_command_leads_to_the_new_one(
    former: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([former]) == 2
    assert f'did you mean "freight {new}"?' in capsys.readouterr().err


def test_a_server_imports_no_other_command() -> None:
    script = "import sys; from freight.cli.main import main; main(['serve', '--help']); print('loaded', *sys.modules)"
    loaded = run_python("-c", script).stdout.splitlines()[-1].split()
    assert "freight.cli.serve" in loaded
    others = {
        "freight.cli.key",
        "freight.cli.sign",
        "freight.cli.rules",
        "freight.config.rules",
        "freight.http.rules",
        "freight.cli.settings",
        "freight.cli.completion",
        "freight.cli.make_sample",
    }
    assert not {name for name in loaded if name.startswith("freight.tools.") or name in others}


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("command", ["serve", "settings"])
def test_the_manual_has_the_text_and_default_of_every_setting(
    command: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    manual = " ".join(printed.split())
    for setting in SETTINGS:
        assert setting.option in manual
        default = {"true": " [default: on]", "false": ""}.get(setting.default, f" [default: {setting.default}]")
        assert setting.help + default in manual
        for alias in (setting.short, *setting.aliases):
            assert alias in manual
    assert "--config FILE" in manual
    assert 'FREIGHT_QUEUE_TIMEOUT=1m queue-timeout = "1m"' in manual
    assert "Examples:" in manual
    assert max(map(len, printed.splitlines())) <= max(columns, 80)


def test_the_manual_lists_each_option_under_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
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
    assert {row.option: row.group for row in SETTINGS if row.kind is not SettingType.PATH}.items() <= shown.items()


def test_an_interpreter_that_cannot_start_again_is_a_warning(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server starts with the allocator that it has."""
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


def test_an_interpreter_with_a_chosen_allocator_does_not_start_again(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONMALLOC", "pymalloc")
    monkeypatch.setattr(sys, "argv", ["freight", "serve", "."])
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it starts again"))
    assert main() == 0
    assert served == [read_settings({})]


def test_asyncio_without_ssl_has_no_tls_and_ssl_can_be_imported_later() -> None:
    script = """
from freight.cli.start_up import asyncio_without_ssl
with asyncio_without_ssl():
    import asyncio.base_events
import ssl
print(asyncio.base_events.ssl, hasattr(ssl, "SSLContext"))
"""
    assert run_python("-c", script).stdout == "None True\n"


def test_a_bare_command_prints_the_manual_and_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Exit status:" in capsys.readouterr().err


def test_the_version_is_that_of_the_package() -> None:
    run = run_python("-m", "freight", "--version")
    assert (run.returncode, run.stdout, run.stderr) == (0, f"freight {freight.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--help"], ["serve", "--help"], ["serve", "--port", "x"], ["--version"], ["lab", "--help"]),
        ["settings", "--trusted-proxy", "none"],
    ],
)
def test_the_command_line_alone_imports_neither_the_loop_nor_the_parser(arguments: list[str]) -> None:
    script = f"import sys; from freight.cli.main import main; main({arguments!r}); print('loaded', *sys.modules)"
    run = run_python("-c", script)
    loaded = set(run.stdout.splitlines()[-1].split())
    assert "freight.cli.main" in loaded
    heavy = {"asyncio", "httptools", "ssl", "socket", "tomllib", "difflib", "matplotlib"}
    assert not (heavy | {"freight.tools.sample", "freight.cli.check"}) & loaded
    assert {name for name in loaded if name.startswith("freight.tools.lab.")} <= {"freight.tools.lab.command"}
    assert {name for name in loaded if name.startswith("freight.tools.stamp.")} <= {"freight.tools.stamp.command"}
    ours = {"freight.tools.plan.capacity", "freight.tools.top.fetch", "freight.tools.top.terminal"}
    assert not ({"rich", "http.client"} | ours) & loaded


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_FREIGHT_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("serve --me", "plain,--memory"),
        ("serve --no-sh", "plain,--no-show-hidden"),
        ("serve --no-ch", "plain,--no-chunked"),
        ("serve --conf", "plain,--config"),
        ("serve --log-format j", "plain,json"),
        ("lab --scenario stal", "plain,stalled"),
        ("settings --client-", "plain,--client-rate-limit"),
        ("plan --cl", "plain,--clients"),
        ("top --on", "plain,--once"),
        ("rules --jso", "plain,--json"),
        ("serve --index index.html-", "plain,index.html-only"),
        ("serve --hap", "plain,--haproxy-agent"),
        ("serve --sam", "plain,--sample"),
        ("ser", "plain,serve"),
        ("hug", "file,hug"),
        ("huge.csv --po", "plain,--port"),
        ("-p 80 --hos", "plain,--host"),
        ("serve hug", "file,hug"),
        ("sync-mtimes --wr", "plain,--write"),
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


def test_make_sample_prints_the_file_and_draws_no_bar_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.csv"
    assert main(["make-sample", str(path), "--size", "6400B"]) == 0
    assert verify(path.read_bytes(), 0)
    assert capsys.readouterr() == (f"{path}: 6.40kB, 100 lines\n", "")


def test_make_sample_overwrites_only_with_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes(b"precious")
    assert main(["make-sample", str(path), "--size", "64B"]) == 2
    assert capsys.readouterr().err == f"freight: {path}: exists; use --force to replace it\n"
    assert path.read_bytes() == b"precious"
    assert main(["make-sample", str(path), "--size", "64B", "--force"]) == 0
    assert path.stat().st_size == 64


def test_make_sample_finds_a_damaged_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.csv"
    assert main(["make-sample", str(path), "--size", "64kB"]) == 0
    assert main(["make-sample", str(path), "--check"]) == 0
    with path.open("r+b") as file:
        file.write(b"?")
    assert main(["make-sample", str(path), "--check"]) == 1
    assert capsys.readouterr().err == (
        f"freight: {path}: not a freight sample, or damaged in the 1,000,000 bytes from offset 0\n"
    )
