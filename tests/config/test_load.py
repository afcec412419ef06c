"""Settings from flags, environment and file: which place decides, and one line that names the place of a mistake."""

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

from freight.config.load import FILE_BYTES_MAX, ResolvedSettings, SettingValue, examine, reload, resolve
from freight.config.settings import read_settings
from freight.config.table import SETTINGS
from freight.config.types import Setting, SettingType
from freight.errors import ConfigurationError

Write = Callable[[str | bytes], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes a file and returns its name."""
    monkeypatch.chdir(tmp_path)

    def written(content: str | bytes) -> str:
        Path("freight.toml").write_bytes(content.encode() if isinstance(content, str) else content)
        return "freight.toml"

    return written


def flag(name: str, text: str) -> dict[str, SettingValue]:
    return {name: SettingValue(text, f"--{name}", f"--{name}")}


def origins(resolved: ResolvedSettings) -> dict[str, str]:
    """Return the origin of each setting that does not have its default."""
    return {name: one.origin for name, one in resolved.values.items() if one.origin != "default"}


def test_without_flags_environment_and_file_each_setting_has_its_default() -> None:
    resolved = resolve({}, {})
    assert resolved.settings == read_settings({})
    assert resolved.warnings == ()
    assert list(resolved.values) == [setting.name for setting in SETTINGS]
    assert origins(resolved) == {}


def test_flags_come_before_the_environment_the_environment_before_the_file_the_file_before_defaults(
    write: Write,
) -> None:
    file = write('memory = "1MB"\nport = 1\nqueue-size = 1\n')
    resolved = resolve(flag("memory", "3MB"), {"FREIGHT_MEMORY": "2MB", "FREIGHT_PORT": "2"}, file)
    assert resolved.settings == read_settings({"memory": "3MB", "port": "2", "queue-size": "1"})
    assert origins(resolved) == {"memory": "--memory", "port": "FREIGHT_PORT", "queue-size": "freight.toml"}


def test_a_flag_that_is_on_in_the_file_can_be_turned_off(write: Write) -> None:
    file = write("show-hidden = true\nchunked = true\nproxy-protocol = true\n")
    resolved = resolve(flag("show-hidden", "false"), {"FREIGHT_CHUNKED": "false"}, file)
    assert resolved.settings == read_settings({"proxy-protocol": "true"})


def test_the_environment_can_name_the_file_and_the_command_line_another(write: Write, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("port = 2\n")
    environment = {"FREIGHT_CONFIG": write("port = 1\n")}
    assert resolve({}, environment).settings.port == 1
    assert resolve({}, environment, "other.toml").settings.port == 2


def test_there_is_no_file_unless_one_is_named(write: Write) -> None:
    write("port = 1\n")
    assert resolve({}, {}).settings.port == 8080


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_variable_and_a_key(setting: Setting, write: Write) -> None:
    assert origins(resolve({}, {setting.variable: setting.default})) == {setting.name: setting.variable}
    file = write(f'{setting.name} = "{setting.default}"\n')
    assert origins(resolve({}, {}, file)) == {setting.name: "freight.toml"}


@pytest.mark.parametrize(
    ("toml", "name", "text"),
    [
        ("port = 80", "port", "80"),
        ("port = 0x50", "port", "80"),
        ('port = "80"', "port", "80"),
        ("memory = 20_000_000", "memory", "20MB"),
        ('memory = "auto"', "memory", "auto"),
        ("shutdown-timeout = 5", "shutdown-timeout", "5s"),
        ("rate-limit = 1000000", "rate-limit", "1MB/s"),
        ("show-hidden = true", "show-hidden", "true"),
        ('show-hidden = "true"', "show-hidden", "true"),
        ("show-hidden = false", "show-hidden", "false"),
        ('trusted-proxy = ["10.0.0.0/8", "::1"]', "trusted-proxy", "10.0.0.0/8,::1"),
        ('trusted-proxy = "10.0.0.0/8,::1"', "trusted-proxy", "10.0.0.0/8,::1"),
        ("trusted-proxy = []", "trusted-proxy", "none"),
        ('host = ["127.0.0.1", "::1"]', "host", "127.0.0.1,::1"),
        ('admin-allow-host = ["freight", "freight.svc"]', "admin-allow-host", "freight,freight.svc"),
        ("'log-format' = 'json'", "log-format", "json"),
        ("path = '/srv/a b'", "path", "/srv/a b"),
    ],
)
def test_a_file_has_values_of_toml(toml: str, name: str, text: str, write: Write) -> None:
    assert resolve({}, {}, write(toml)).settings == read_settings({name: text})


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("memory = '20Q'", "freight.toml: memory: '20Q' has no unit of size; write kB, MB, GB, TB or KiB"),
        ("# a\n\nport = 70000\n", "freight.toml: port: must be at most 65535"),
        ("port = -1", "freight.toml: port: '-1' is not a whole number"),
        ("host = ''", "freight.toml: host: must not be empty"),
        ("port = 1\nidle-timeot = '60s'", "freight.toml: there is no setting 'idle-timeot'; did you mean idle-timeo"),
        ("idle_timeout = 60", "freight.toml: there is no setting 'idle_timeout'; did you mean idle-timeout?"),
        ("colour = 'red'", "freight.toml: there is no setting 'colour'"),
        ("[server]\nport = 80", "freight.toml: there is no table 'server'; write 'port' outside of any table"),
        ("a.b = 1", "freight.toml: there is no table 'a'; write 'b' outside of any table"),
        ("[colour]\n", "freight.toml: there is no setting 'colour'"),
        ("drain = 5", "freight.toml: there is no setting 'drain'; did you mean shutdown-timeout?"),
        ("queue = 5", "freight.toml: there is no setting 'queue'; did you mean queue-size?"),
        ("[[memory]]\na = 1", "freight.toml: memory: must be a number or a string, not an array"),
        ("port = 80\n[memory]\na = 1", "freight.toml: memory: must be a number or a string, not a table"),
        (
            "port = 80\nhost.name = 'a'\nshutdown-timeout = 1.5",
            "freight.toml: host: must be a string, or an array of strings, not a table",
        ),
        ("shutdown-timeout = 1.5", "freight.toml: shutdown-timeout: must be a number or a string, not a fraction"),
        ("shutdown-timeout = inf", "freight.toml: shutdown-timeout: must be a number or a string, not a fraction"),
        (
            "shutdown-timeout = 07:32:00",
            "freight.toml: shutdown-timeout: must be a number or a string, not a date or time",
        ),
        (
            "shutdown-timeout = 1979-05-27",
            "freight.toml: shutdown-timeout: must be a number or a string, not a date or time",
        ),
        (
            "shutdown-timeout = 1979-05-27T07:32:00Z",
            "freight.toml: shutdown-timeout: must be a number or a string, not a date or time",
        ),
        ("port = true", "freight.toml: port: must be a number or a string, not true or false"),
        ("show-hidden = 1", "freight.toml: show-hidden: must be true or false, not a number"),
        ("show-hidden = 'maybe'", "freight.toml: show-hidden: 'maybe' is not one of true, false"),
        ("path = 5", "freight.toml: path: must be a string, not a number"),
        ("log-format = ['text']", "freight.toml: log-format: must be a string, not an array"),
        ("admin = 9080", "freight.toml: admin: must be a string, not a number"),
        ("\ntrusted-proxy = ['10.0.0.0/8', 1]", "freight.toml: trusted-proxy: must be a string, or an array of"),
        ("trusted-proxy = ['nginx']", "freight.toml: trusted-proxy: 'nginx' is not an address or a network"),
        ("rate-limit = 10", "freight.toml: rate-limit: 10B/s is less than the 1KiB/s of --min-rate"),
        ("port = 80\nport = 81", "freight.toml:2: is not TOML: cannot overwrite a value"),
        ("port = 80\nmemory = 20MB\n", "freight.toml:2: is not TOML: "),
        ("port = 80\n\nmemory = ", "freight.toml:3: is not TOML: invalid value"),
        ("a = [", "freight.toml:1: is not TOML: "),
        ("a = " + "[" * 50_000, "freight.toml: is nested too deeply"),
        ("port = " + "9" * 5000, "freight.toml: is not TOML: a number is too long"),
        ("queue-size = 0x" + "f" * 5000, "freight.toml: queue-size: is too large a number"),
        (b"port = 80\n# caf\xe9\n", "freight.toml:2: is not UTF-8"),
        (b"port = 80\0", "freight.toml:1: is not TOML: "),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_names_the_key(toml: str | bytes, line: str, write: Write) -> None:
    with pytest.raises(ConfigurationError) as refused:
        resolve({}, {}, write(toml))
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)


@contextmanager
def a_file(content: bytes) -> Iterator[str]:
    """Make a file for one example of hypothesis, which has no fixtures."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(content)
        file.flush()
        yield file.name


def test_lines_may_end_in_crlf(write: Write) -> None:
    resolved = resolve({}, {}, write("# a\r\nport = 80\r\n\r\nshow-hidden = true\r\n"))
    assert origins(resolved) == {"port": "freight.toml", "show-hidden": "freight.toml"}


@pytest.mark.usefixtures("write")
@pytest.mark.parametrize(
    ("named", "environment", "config"),
    [("--config", {}, "none.toml"), ("FREIGHT_CONFIG", {"FREIGHT_CONFIG": "none.toml"}, None)],
)
def test_an_error_about_a_missing_file_says_what_named_it(
    named: str, environment: dict[str, str], config: str | None
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named}: cannot read none.toml: No such file or directory$"):
        resolve({}, environment, config)


@pytest.mark.usefixtures("write")
def test_a_file_that_is_not_regular_is_an_error_at_once() -> None:
    os.mkfifo("fifo")
    with pytest.raises(ConfigurationError, match=r"^--config: cannot read fifo: it is a FIFO, not a regular file$"):
        resolve({}, {}, "fifo")
    with pytest.raises(ConfigurationError, match=r"^--config: cannot read \.: it is a directory, not a regular file$"):
        resolve({}, {}, ".")
    with pytest.raises(ConfigurationError, match=r"^FREIGHT_CONFIG: must not be empty$"):
        resolve({}, {"FREIGHT_CONFIG": ""})


def test_a_file_has_a_maximum_length(write: Write) -> None:
    line = "port = 80\n"
    resolve({}, {}, write(line + "#" * (FILE_BYTES_MAX - len(line))))
    with pytest.raises(ConfigurationError, match=r"^--config: freight\.toml is longer than 64KiB"):
        resolve({}, {}, write(line + "#" * (FILE_BYTES_MAX - len(line) + 1)))


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_file_is_read_or_is_an_error(content: bytes) -> None:
    with a_file(content) as file:
        try:
            resolve({}, {}, file)
        except ConfigurationError:
            pass


@pytest.mark.parametrize(
    ("variable", "text", "line"),
    [
        ("FREIGHT_MEMORY", "20Q", "FREIGHT_MEMORY: '20Q' has no unit of size"),
        ("FREIGHT_PORT", "", "FREIGHT_PORT: '' is not a whole number"),
        ("FREIGHT_SHOW_HIDDEN", "yes", "FREIGHT_SHOW_HIDDEN: 'yes' is not one of true, false"),
        ("FREIGHT_ADMIN", "127.0.0.1:8080", "FREIGHT_ADMIN: 127.0.0.1:8080 is where files are served"),
    ],
)
def test_an_invalid_variable_is_an_error_that_names_it(variable: str, text: str, line: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{line}"):
        resolve({}, {variable: text})


def test_a_variable_that_is_no_setting_is_ignored_with_a_warning() -> None:
    """For a service called freight Kubernetes sets such variables, ``FREIGHT_PORT`` among them, in every container."""
    environment = {
        "FREIGHT_CONFIGURED": "1",
        "FREIGHT_DRAIN": "5s",
        "FREIGHT_MEMROY": "1MB",
        "FREIGHT_PORT": "tcp://10.3.2.1:8080",
        "FREIGHT_PORT_8080_TCP": "tcp://10.3.2.1:8080",
        "FREIGHT_SERVICE_HOST": "10.3.2.1",
        "PATH": "/bin",
        "_FREIGHT_COMPLETE": "bash_source",
    }
    resolved = resolve({}, environment)
    assert resolved.settings == read_settings({})
    assert [warning.split(":")[0] for warning in resolved.warnings] == sorted(
        f"ignoring {variable}" for variable in environment if variable.startswith("FREIGHT_")
    )
    assert "did you mean FREIGHT_SHUTDOWN_TIMEOUT?" in resolved.warnings[1]
    assert resolved.warnings[3].endswith(": its value is a Kubernetes service link, not a setting")
    assert "did you mean FREIGHT_MEMORY?" in resolved.warnings[2]
    assert not any("\n" in warning for warning in resolved.warnings)
    assert "did you mean" not in resolved.warnings[-1]


WITH_MISTAKES = """\
memory = "20Q"
hiden = true
port = 99999
queue-size = 7
"""


def test_an_examination_finds_every_error_also_in_values_that_another_place_overrides(write: Write) -> None:
    file = write(WITH_MISTAKES)
    environment = {"FREIGHT_MEMORY": "64MiB", "FREIGHT_PORT": "http", "FREIGHT_MEMROY": "1"}
    resolved, warnings, errors = examine(flag("port", "80"), environment, file)
    assert [error.split(":")[:2] for error in errors] == [
        ["freight.toml", " there is no setting 'hiden'; did you mean show-hidden?"],
        ["freight.toml", " memory"],
        ["freight.toml", " port"],
        ["FREIGHT_PORT", " 'http' is not a whole number"],
    ]
    assert "did you mean FREIGHT_MEMORY?" in warnings[0]
    assert resolved is not None  # the values that decide are valid
    assert (resolved.settings.port, resolved.settings.queue_size) == (80, 7)


def test_an_examination_finds_contradictions_beside_an_error_that_is_overridden(write: Write) -> None:
    resolved, _, errors = examine(flag("rate-limit", "1B"), {"FREIGHT_MEMORY": "1MB"}, write('memory = "20Q"\n'))
    assert resolved is None
    assert [error.split(": ")[0] for error in errors] == ["freight.toml", "--rate-limit"]


def test_an_examination_without_a_readable_file_still_finds_the_rest() -> None:
    resolved, _, errors = examine({}, {"FREIGHT_PORT": "http"}, "/none.toml")
    assert resolved is None
    assert errors == [
        "--config: cannot read /none.toml: No such file or directory",
        "FREIGHT_PORT: 'http' is not a whole number",
    ]


def test_an_examination_of_valid_settings_returns_them(write: Write) -> None:
    file = write("port = 1\n")
    assert examine({}, {}, file) == (resolve({}, {}, file), (), [])


def test_an_examination_goes_on_after_a_table(write: Write) -> None:
    _, _, errors = examine({}, {}, write("host.a = 1\nhost.b = 2\nqueue-size = 'x'\n"))
    assert [error.split(": ")[:2] for error in errors] == [["freight.toml", "host"], ["freight.toml", "queue-size"]]


def test_an_error_about_a_setting_names_the_place_that_decides(write: Write) -> None:
    error = ConfigurationError("1B is too little", "memory")
    file = write("memory = 1\n")
    assert str(error) == "memory: 1B is too little"
    assert resolve({}, {}).explain(error) == "--memory: 1B is too little"
    assert resolve({}, {}, file).explain(error) == "freight.toml: memory: 1B is too little"
    assert resolve({}, {"FREIGHT_MEMORY": "1"}, file).explain(error) == "FREIGHT_MEMORY: 1B is too little"
    assert resolve({}, {}).explain(ConfigurationError("no sockets")) == "no sockets"


def test_a_fallback_comes_before_the_defaults_only(write: Write) -> None:
    fallback = {"path": SettingValue("sample.csv", "--sample", "--sample")}
    assert resolve({}, {}, None, fallback).values["path"].origin == "--sample"
    assert resolve({}, {}, write("path = 'a'\n"), fallback).values["path"].origin == "freight.toml"


def test_the_variable_that_names_the_file_is_no_reason_for_a_warning(write: Write) -> None:
    assert resolve({}, {"FREIGHT_CONFIG": write("")}).warnings == ()


def test_a_reload_changes_live_settings_and_names_those_that_need_a_restart() -> None:
    running = read_settings({"memory": "20MB", "port": "1", "show-hidden": "true"})
    fresh = read_settings({"memory": "30MB", "port": "2", "show-hidden": "true", "rate-limit": "1MB/s", "path": "/srv"})
    settings, waiting = reload(running, fresh)
    assert settings == dataclasses.replace(running, memory_bytes=30_000_000, rate_limit_bytes_per_second=10**6)
    assert waiting == ("path", "port")


def test_a_reload_of_the_same_settings_changes_nothing() -> None:
    settings = read_settings({"memory": "20MB"})
    assert reload(settings, read_settings({"memory": "20MB"})) == (settings, ())


@pytest.mark.parametrize(
    ("file", "environment", "flags", "path", "mounts"),
    [
        ("", {}, {}, ".", 0),
        ("", {}, {"mount": "/a=b"}, None, 1),
        ("", {}, {"mount": "none"}, ".", 0),
        ("", {}, {"mount": "/a=b", "path": "."}, ".", 1),
        ("", {"FREIGHT_MOUNT": "/a=b:/c=d"}, {}, None, 2),
        ("", {"FREIGHT_MOUNT": "/a=b:/c=d"}, {"mount": "none"}, ".", 0),
        ('mount = ["/a=b", "/c=d:e", "/f=g"]', {}, {}, None, 3),
        ('mount = ["/a=b"]\npath = "x"', {}, {}, "x", 1),
        ("mount = []", {}, {}, ".", 0),
    ],
)
def test_the_working_directory_is_served_only_if_nothing_else_is(
    tmp_path: Path, file: str, environment: dict[str, str], flags: dict[str, str], path: str | None, mounts: int
) -> None:
    """It would be a surprise beside mounts: nobody has named it."""
    config = tmp_path / "freight.toml"
    config.write_text(file)
    given = {name: SettingValue(text, f"--{name}", f"--{name}") for name, text in flags.items()}
    settings = resolve(given, environment, str(config)).settings
    assert settings.path == (None if path is None else Path(path))
    assert len(settings.mount) == mounts


CHANGED = {
    SettingType.PATH: "/other",
    SettingType.FILE: "/other",
    SettingType.TEXT: "other",
    SettingType.NUMBER: "7",
    SettingType.SIZE: "7MB",
    SettingType.RATE: "7MB/s",
    SettingType.TIME: "7s",
    SettingType.FLAG: "true",
    SettingType.CHOICE: "json",
    SettingType.NETWORKS: "::1",
    SettingType.NAMES: "freight",
    SettingType.ORIGINS: "https://maps.example",
    SettingType.DIRECTORIES: "/other",
    SettingType.MOUNTS: "/other=/other",
    SettingType.PREFIX: "/other",
    SettingType.ADDRESS: "other:7",
    SettingType.LISTENER: "unix:/other",
    SettingType.HOSTS: "other",
    SettingType.HEADERS: "X-Other: yes",
    SettingType.FIELD_VALUE: "no-transform",
    SettingType.MODE: "0600",
    SettingType.OWNER: "other",
}


PAIR = {"tls-cert": "/cert.pem", "tls-key": "/key.pem"}
BESIDE = dict.fromkeys((*PAIR, "redirect-port"), PAIR) | {"log-file-size": {"log-file": "/log"}}
"""What the settings need that are not valid alone."""


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_either_changes_at_a_reload_or_needs_a_restart(setting: Setting) -> None:
    beside = BESIDE.get(setting.name, {})
    text = "false" if setting.default == "true" else CHANGED[setting.kind]
    text = setting.choices[-1] if setting.choices else text
    running, fresh = read_settings(beside), read_settings(beside | {setting.name: text})
    assert running != fresh
    assert reload(running, fresh) == ((fresh, ()) if setting.live else (running, (setting.name,)))
