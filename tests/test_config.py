"""Settings from flags, environment and file: who has the last word, and one line that says where a mistake was made."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.config import FILE_BYTES_MAX, Gathered, Given, examine, gather, reload
from freight.errors import Unservable
from freight.kinds import Kind, Setting
from freight.settings import SETTINGS, read_settings

Write = Callable[[str | bytes], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Makes a file, and says what it is called from where we are."""
    monkeypatch.chdir(tmp_path)

    def written(content: str | bytes) -> str:
        Path("freight.toml").write_bytes(content.encode() if isinstance(content, str) else content)
        return "freight.toml"

    return written


def flag(name: str, text: str) -> dict[str, Given]:
    return {name: Given(text, f"--{name}", f"--{name}")}


def origins(gathered: Gathered) -> dict[str, str]:
    """Where each setting comes from that has not its default."""
    return {name: one.origin for name, one in gathered.given.items() if one.origin != "default"}


def test_without_flags_environment_and_file_all_are_defaults() -> None:
    gathered = gather({}, {})
    assert gathered.settings == read_settings({})
    assert gathered.warnings == ()
    assert list(gathered.given) == [setting.name for setting in SETTINGS]
    assert origins(gathered) == {}


def test_flags_come_before_the_environment_the_environment_before_the_file_the_file_before_defaults(
    write: Write,
) -> None:
    file = write('memory = "1MB"\nport = 1\nqueue = 1\n')
    gathered = gather(flag("memory", "3MB"), {"FREIGHT_MEMORY": "2MB", "FREIGHT_PORT": "2"}, file)
    assert gathered.settings == read_settings({"memory": "3MB", "port": "2", "queue": "1"})
    assert origins(gathered) == {"memory": "--memory", "port": "FREIGHT_PORT", "queue": "freight.toml:3"}


def test_what_is_switched_on_below_is_switched_off_above(write: Write) -> None:
    file = write("hidden = true\nno-length = true\nfollow-links = true\n")
    gathered = gather(flag("hidden", "false"), {"FREIGHT_NO_LENGTH": "false"}, file)
    assert gathered.settings == read_settings({"follow-links": "true"})


def test_the_environment_can_name_the_file_and_the_command_line_another(write: Write, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("port = 2\n")
    environment = {"FREIGHT_CONFIG": write("port = 1\n")}
    assert gather({}, environment).settings.port == 1
    assert gather({}, environment, "other.toml").settings.port == 2


def test_there_is_no_file_unless_one_is_named(write: Write) -> None:
    write("port = 1\n")
    assert gather({}, {}).settings.port == 8080


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_variable_and_a_key(setting: Setting, write: Write) -> None:
    assert origins(gather({}, {setting.variable: setting.default})) == {setting.name: setting.variable}
    file = write(f'{setting.name} = "{setting.default}"\n')
    assert origins(gather({}, {}, file)) == {setting.name: "freight.toml:1"}


@pytest.mark.parametrize(
    ("toml", "name", "text"),
    [
        ("port = 80", "port", "80"),
        ("port = 0x50", "port", "80"),
        ('port = "80"', "port", "80"),
        ("memory = 20_000_000", "memory", "20MB"),
        ('memory = "auto"', "memory", "auto"),
        ("drain = 5", "drain", "5s"),
        ("rate = 1000000", "rate", "1MB/s"),
        ("hidden = true", "hidden", "true"),
        ('hidden = "true"', "hidden", "true"),
        ("hidden = false", "hidden", "false"),
        ('trusted-proxy = ["10.0.0.0/8", "::1"]', "trusted-proxy", "10.0.0.0/8,::1"),
        ('trusted-proxy = "10.0.0.0/8,::1"', "trusted-proxy", "10.0.0.0/8,::1"),
        ("trusted-proxy = []", "trusted-proxy", "none"),
        ("'log-format' = 'json'", "log-format", "json"),
        ("path = '/srv/a b'", "path", "/srv/a b"),
    ],
)
def test_a_file_says_it_as_toml_does(toml: str, name: str, text: str, write: Write) -> None:
    assert gather({}, {}, write(toml)).settings == read_settings({name: text})


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("memory = '20Q'", "freight.toml:1: memory: '20Q' has no unit of size; write kB, MB, GB, TB or KiB"),
        ("# a\n\nport = 70000\n", "freight.toml:3: port: must be at most 65535"),
        ("port = -1", "freight.toml:1: port: '-1' is not a whole number"),
        ("host = ''", "freight.toml:1: host: must not be empty"),
        ("port = 1\nidle-timeot = '60s'", "freight.toml:2: there is no setting 'idle-timeot'; did you mean idle-timeo"),
        ("idle_timeout = 60", "freight.toml:1: there is no setting 'idle_timeout'; did you mean idle-timeout?"),
        ("colour = 'red'", "freight.toml:1: there is no setting 'colour'"),
        ("[server]\nport = 80", "freight.toml:1: there is no setting 'server'"),
        ("[[memory]]\na = 1", "freight.toml:1: memory: must be a number or a string, not an array"),
        ("port = 80\n[memory]\na = 1", "freight.toml:2: memory: must be a number or a string, not a table"),
        ("port = 80\nhost.name = 'a'\ndrain = 1.5", "freight.toml:2: host: must be a string, not a table"),
        ("drain = 1.5", "freight.toml:1: drain: must be a number or a string, not a fraction"),
        ("drain = inf", "freight.toml:1: drain: must be a number or a string, not a fraction"),
        ("drain = 07:32:00", "freight.toml:1: drain: must be a number or a string, not a date or time"),
        ("drain = 1979-05-27", "freight.toml:1: drain: must be a number or a string, not a date or time"),
        ("drain = 1979-05-27T07:32:00Z", "freight.toml:1: drain: must be a number or a string, not a date or time"),
        ("port = true", "freight.toml:1: port: must be a number or a string, not true or false"),
        ("hidden = 1", "freight.toml:1: hidden: must be true or false, not a number"),
        ("hidden = 'maybe'", "freight.toml:1: hidden: 'maybe' is not one of true, false"),
        ("path = 5", "freight.toml:1: path: must be a string, not a number"),
        ("log-format = ['text']", "freight.toml:1: log-format: must be a string, not an array"),
        ("admin = 9080", "freight.toml:1: admin: must be a string, not a number"),
        ("\ntrusted-proxy = ['10.0.0.0/8', 1]", "freight.toml:2: trusted-proxy: must be a string, or an array of"),
        ("trusted-proxy = ['nginx']", "freight.toml:1: trusted-proxy: 'nginx' is not an address or a network"),
        ("rate = 10", "freight.toml:1: rate: 10B/s is less than the 1KiB/s of --min-rate"),
        ("port = 80\nport = 81", "freight.toml:2: is not TOML: cannot overwrite a value"),
        ("port = 80\nmemory = 20MB\n", "freight.toml:2: is not TOML: "),
        ("port = 80\n\nmemory = ", "freight.toml:3: is not TOML: invalid value"),
        ("a = [", "freight.toml:1: is not TOML: "),
        ("a = " + "[" * 50_000, "freight.toml: is nested too deeply"),
        ("port = " + "9" * 5000, "freight.toml: is not TOML: a number is too long"),
        ("queue = 0x" + "f" * 5000, "freight.toml:1: queue: is too large a number"),
        (b"port = 80\n# caf\xe9\n", "freight.toml:2: is not UTF-8"),
        (b"port = 80\0", "freight.toml:1: is not TOML: "),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_says_where(toml: str | bytes, line: str, write: Write) -> None:
    with pytest.raises(Unservable) as refused:
        gather({}, {}, write(toml))
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


ODD_STATEMENTS = [
    "",
    "# [ { \" ' \"\"\" '''",
    'host = "#["',
    "'log-format' = 'te' # '",
    'path = """\nport = 1\n# [ """',
    'path = """\\\n  a\\"""\n""" # "',
    "path = '''\nhidden = true\n'''",
    'host = """a"""""',
    "host = '''a'''''",
    'trusted-proxy = [\n  "10.0.0.0/8", # ]\n\n  "::1",\n]',
    "trusted-proxy = [ '10.0.0.0/8', '''\n::1''' ]",
    "queue = 5 # memory = 1",
]


@given(
    st.lists(st.sampled_from(ODD_STATEMENTS), unique_by=lambda text: text.split("=")[0]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_the_line_is_that_of_the_key_whatever_stands_before_it(statements: list[str], end: str) -> None:
    text = "".join(f"{statement}\n" for statement in [*statements, "colour = 1"]).replace("\n", end)
    with a_file(text.encode()) as file, pytest.raises(Unservable) as refused:
        gather({}, {}, file)
    assert str(refused.value).startswith(f"{file}:{text.count(end)}: there is no setting 'colour'")


@contextmanager
def a_file(content: bytes) -> Iterator[str]:
    """A file for one example of hypothesis, which has no fixtures of its own."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(content)
        file.flush()
        yield file.name


def test_lines_end_as_they_do_on_any_system(write: Write) -> None:
    gathered = gather({}, {}, write("# a\r\nport = 80\r\n\r\nhidden = true\r\n"))
    assert origins(gathered) == {"port": "freight.toml:2", "hidden": "freight.toml:4"}


@pytest.mark.usefixtures("write")
@pytest.mark.parametrize(
    ("named", "environment", "config"),
    [("--config", {}, "none.toml"), ("FREIGHT_CONFIG", {"FREIGHT_CONFIG": "none.toml"}, None)],
)
def test_a_missing_file_is_told_with_what_named_it(named: str, environment: dict[str, str], config: str | None) -> None:
    with pytest.raises(Unservable, match=f"^{named}: cannot read none.toml: No such file or directory$"):
        gather({}, environment, config)


@pytest.mark.usefixtures("write")
def test_what_is_no_regular_file_is_refused_without_waiting_for_it() -> None:
    os.mkfifo("fifo")
    with pytest.raises(Unservable, match=r"^--config: cannot read fifo: it is a FIFO, not a regular file$"):
        gather({}, {}, "fifo")
    with pytest.raises(Unservable, match=r"^--config: cannot read \.: it is a directory, not a regular file$"):
        gather({}, {}, ".")
    with pytest.raises(Unservable, match=r"^FREIGHT_CONFIG: must not be empty$"):
        gather({}, {"FREIGHT_CONFIG": ""})


def test_a_file_has_a_bound(write: Write) -> None:
    line = "port = 80\n"
    gather({}, {}, write(line + "#" * (FILE_BYTES_MAX - len(line))))
    with pytest.raises(Unservable, match=r"^--config: freight\.toml is longer than 64KiB"):
        gather({}, {}, write(line + "#" * (FILE_BYTES_MAX - len(line) + 1)))


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_a_file_holds_is_read_or_refused(content: bytes) -> None:
    with a_file(content) as file:
        try:
            gather({}, {}, file)
        except Unservable:
            pass


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        ("FREIGHT_MEMORY", "20Q", "FREIGHT_MEMORY: '20Q' has no unit of size"),
        ("FREIGHT_PORT", "", "FREIGHT_PORT: '' is not a whole number"),
        ("FREIGHT_HIDDEN", "yes", "FREIGHT_HIDDEN: 'yes' is not one of true, false"),
        ("FREIGHT_ADMIN", "127.0.0.1:8080", "FREIGHT_ADMIN: 127.0.0.1:8080 is where files are served"),
    ],
)
def test_a_senseless_variable_is_refused_by_its_name(variable: str, text: str, line: str) -> None:
    with pytest.raises(Unservable, match=f"^{line}"):
        gather({}, {variable: text})


def test_a_variable_that_is_no_setting_is_ignored_with_a_warning() -> None:
    """A service called freight makes Kubernetes set them, ``FREIGHT_PORT`` among them, in every container it starts."""
    environment = {
        "FREIGHT_CONFIGURED": "1",
        "FREIGHT_MEMROY": "1MB",
        "FREIGHT_PORT": "tcp://10.3.2.1:8080",
        "FREIGHT_PORT_8080_TCP": "tcp://10.3.2.1:8080",
        "FREIGHT_SERVICE_HOST": "10.3.2.1",
        "PATH": "/bin",
        "_FREIGHT_COMPLETE": "bash_source",
    }
    gathered = gather({}, environment)
    assert gathered.settings == read_settings({})
    assert [warning.split(":")[0] for warning in gathered.warnings] == sorted(
        f"ignoring {variable}" for variable in environment if variable.startswith("FREIGHT_")
    )
    assert gathered.warnings[2].endswith(": its value is a Kubernetes service link, not a setting")
    assert "did you mean FREIGHT_MEMORY?" in gathered.warnings[1]
    assert not any("\n" in warning for warning in gathered.warnings)
    assert "did you mean" not in gathered.warnings[-1]


MASKED = """\
memory = "20Q"
hiden = true
port = 99999
queue = 7
"""


def test_an_examination_finds_every_error_and_those_that_another_place_hides(write: Write) -> None:
    file = write(MASKED)
    environment = {"FREIGHT_MEMORY": "64MiB", "FREIGHT_PORT": "http", "FREIGHT_MEMROY": "1"}
    gathered, warnings, errors = examine(flag("port", "80"), environment, file)
    assert [error.split(":")[:-1] for error in errors] == [
        ["freight.toml", "2"],
        ["freight.toml", "1", " memory"],
        ["freight.toml", "3", " port"],
        ["FREIGHT_PORT"],
    ]
    assert "did you mean FREIGHT_MEMORY?" in warnings[0]
    assert gathered is not None  # what counts is right
    assert (gathered.settings.port, gathered.settings.queue) == (80, 7)


def test_an_examination_finds_what_makes_no_sense_together_beside_an_error_that_is_hidden(write: Write) -> None:
    gathered, _, errors = examine(flag("rate", "1B"), {"FREIGHT_MEMORY": "1MB"}, write('memory = "20Q"\n'))
    assert gathered is None
    assert [error.split(": ")[0] for error in errors] == ["freight.toml:1", "--rate"]


def test_an_examination_without_a_readable_file_still_finds_the_rest() -> None:
    gathered, _, errors = examine({}, {"FREIGHT_PORT": "http"}, "/none.toml")
    assert gathered is None
    assert errors == [
        "--config: cannot read /none.toml: No such file or directory",
        "FREIGHT_PORT: 'http' is not a whole number",
    ]


def test_an_examination_of_what_is_right_is_what_is_gathered(write: Write) -> None:
    file = write("port = 1\n")
    assert examine({}, {}, file) == (gather({}, {}, file), (), [])


def test_a_table_ends_what_is_found_in_a_file(write: Write) -> None:
    """The lines of what stands after it are not known, and a wrong one would mislead."""
    _, _, errors = examine({}, {}, write("host.a = 1\nhost.b = 2\nqueue = 'x'\n"))
    assert [error.split(": ")[0] for error in errors] == ["freight.toml:1"]


def test_an_error_about_a_setting_names_the_place_that_decides(write: Write) -> None:
    error = Unservable("1B is too little", "memory")
    file = write("memory = 1\n")
    assert str(error) == "memory: 1B is too little"
    assert gather({}, {}).explain(error) == "--memory: 1B is too little"
    assert gather({}, {}, file).explain(error) == "freight.toml:1: memory: 1B is too little"
    assert gather({}, {"FREIGHT_MEMORY": "1"}, file).explain(error) == "FREIGHT_MEMORY: 1B is too little"
    assert gather({}, {}).explain(Unservable("no sockets")) == "no sockets"


def test_a_fallback_comes_before_the_defaults_only(write: Write) -> None:
    fallback = {"path": Given("sample.csv", "--sample", "--sample")}
    assert gather({}, {}, None, fallback).given["path"].origin == "--sample"
    assert gather({}, {}, write("path = 'a'\n"), fallback).given["path"].origin == "freight.toml:1"


def test_the_variable_that_names_the_file_is_not_a_stranger(write: Write) -> None:
    assert gather({}, {"FREIGHT_CONFIG": write("")}).warnings == ()


def test_a_reload_takes_over_what_is_live_and_names_what_needs_a_restart() -> None:
    running = read_settings({"memory": "20MB", "port": "1", "hidden": "true"})
    fresh = read_settings({"memory": "30MB", "port": "2", "hidden": "true", "rate": "1MB/s", "path": "/srv"})
    settings, waiting = reload(running, fresh)
    assert settings == dataclasses.replace(running, memory_bytes=30_000_000, rate_bytes_per_second=10**6)
    assert waiting == ("path", "port")


def test_a_reload_of_what_is_the_same_changes_nothing() -> None:
    settings = read_settings({"memory": "20MB"})
    assert reload(settings, read_settings({"memory": "20MB"})) == (settings, ())


CHANGED = {
    Kind.PATH: "/other",
    Kind.FILE: "/other",
    Kind.TEXT: "other",
    Kind.NUMBER: "7",
    Kind.SIZE: "7MB",
    Kind.RATE: "7MB/s",
    Kind.TIME: "7s",
    Kind.FLAG: "true",
    Kind.CHOICE: "json",
    Kind.NETWORKS: "::1",
    Kind.ADDRESS: "other:7",
    Kind.HOST: "other",
}


PAIR = {"tls-cert": "/cert.pem", "tls-key": "/key.pem"}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_is_either_taken_over_or_waits_for_a_restart(setting: Setting) -> None:
    beside = PAIR if setting.name in (*PAIR, "redirect-port") else {}  # none of these makes sense alone
    running, fresh = read_settings(beside), read_settings(beside | {setting.name: CHANGED[setting.kind]})
    assert running != fresh
    assert reload(running, fresh) == ((fresh, ()) if setting.live else (running, (setting.name,)))
