"""The table of settings: each row is read, checked and frozen into a field whose name has its unit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.config.mounts import MOUNTS_MAX, Mount
from freight.config.settings import Settings, conflicts, read_settings
from freight.config.table import GROUPS, SETTINGS
from freight.config.types import Address, Setting, SettingType, parse_address
from freight.config.unix_address import UnixAddress
from freight.errors import ConfigurationError
from freight.http.rules import Rule

DEFAULTS = {
    "path": Path("."),
    "mount": (),
    "prefix": (),
    "host": ("127.0.0.1",),
    "port": 8080,
    "memory_bytes": None,
    "workers": 1,
    "queue_size": 1000,
    "queue_timeout_seconds": 30.0,
    "max_per_client": None,
    "min_rate_bytes_per_second": 1024,
    "rate_limit_bytes_per_second": None,
    "client_rate_limit_bytes_per_second": None,
    "idle_timeout_seconds": 60.0,
    "pause_timeout_seconds": 3600.0,
    "keep_alive_timeout_seconds": 75.0,
    "disk_timeout_seconds": 15.0,
    "shutdown_timeout_seconds": 30.0,
    "shutdown_delay_seconds": 0.0,
    "admin": "auto",
    "admin_token_file": None,
    "admin_allow_host": (),
    "socket_mode": 0o660,
    "socket_owner": None,
    "haproxy_agent": None,
    "trusted_proxy": (),
    "proxy_protocol": False,
    "signing_keys": None,
    "tls_cert": None,
    "tls_key": None,
    "tls_self_signed": False,
    "redirect_port": None,
    "chunked": False,
    "precompressed": False,
    "cors_origin": (),
    "header": (),
    "cache_control": None,
    "index": "list",
    "inline": False,
    "rule": (),
    "users": None,
    "tokens": None,
    "access": "auto",
    "follow_symlinks": True,
    "allow_links_to": (),
    "show_hidden": False,
    "log_format": "text",
    "log_file": None,
    "log_file_size_bytes": None,
    "log_files": 5,
    "request_id": False,
}
LIVE = {
    "memory",
    "queue-size",
    "queue-timeout",
    "max-per-client",
    "min-rate",
    "rate-limit",
    "client-rate-limit",
    "idle-timeout",
    "pause-timeout",
    "keep-alive-timeout",
    "disk-timeout",
    "shutdown-timeout",
    "shutdown-delay",
    "header",
    "cache-control",
    "index",
    "inline",
}
BY_NAME = {setting.name: setting for setting in SETTINGS}


def fields(settings: Settings) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}


def alternatives(stated: Any) -> set[Any]:
    """Return the types and literals that an annotation allows."""
    if get_origin(stated) is Literal:
        return set(get_args(stated))
    if get_origin(stated) is tuple:
        return {tuple}
    return set().union(*map(alternatives, get_args(stated))) if get_args(stated) else {stated}


def test_a_missing_setting_has_its_documented_default() -> None:
    assert fields(read_settings({})) == DEFAULTS


def test_the_table_and_the_fields_are_the_same_in_the_same_order() -> None:
    assert [setting.field for setting in SETTINGS] == [
        field.name for field in dataclasses.fields(Settings) if field.name != "rule"
    ]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_row_is_read_as_the_type_of_its_field(setting: Setting) -> None:
    allowed = alternatives(get_type_hints(Settings, localns={"Rule": Rule, "Mount": Mount})[setting.field])
    default, words = setting.read(setting.default), list(setting.keywords.values())
    for value in (default, *words):
        kind = Path if isinstance(value, Path) else type(value)
        assert value in allowed or kind in allowed
    assert set(setting.choices) == {each for each in allowed if isinstance(each, str)} - set(words)
    assert (type(None) in allowed) == (None in words)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_value_that_is_shown_is_read_as_the_same(setting: Setting) -> None:
    for text in (setting.default, *setting.keywords):
        assert setting.read(setting.show(setting.read(text))) == setting.read(text)
    assert all(setting.show(value) == word for word, value in setting.keywords.items())


def test_the_live_settings_are_these() -> None:
    assert {setting.name for setting in SETTINGS if setting.live} == LIVE


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_manual_entry_of_whole_sentences(setting: Setting) -> None:
    assert setting.help[0].isupper()
    assert setting.help.endswith(".")


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("path", "/data/a b.csv", "path", Path("/data/a b.csv")),
        ("host", "::1", "host", ("::1",)),
        ("host", "[::1]", "host", ("::1",)),
        ("host", "::", "host", ("::",)),
        ("host", "fe80::1%eth0", "host", ("fe80::1%eth0",)),
        ("host", "127.0.0.1, ::1,localhost", "host", ("127.0.0.1", "::1", "localhost")),
        ("port", "0", "port", 0),
        ("port", "65535", "port", 65_535),
        ("memory", "20MB", "memory_bytes", 20_000_000),
        ("memory", "1MiB", "memory_bytes", 2**20),
        ("memory", "auto", "memory_bytes", None),
        ("workers", "auto", "workers", None),
        ("workers", "2", "workers", 2),
        ("queue-size", "0", "queue_size", 0),
        ("queue-timeout", "500ms", "queue_timeout_seconds", 0.5),
        ("max-per-client", "4", "max_per_client", 4),
        ("max-per-client", "none", "max_per_client", None),
        ("min-rate", "none", "min_rate_bytes_per_second", None),
        ("min-rate", "10KiB/s", "min_rate_bytes_per_second", 10 * 1024),
        ("rate-limit", "10MB/s", "rate_limit_bytes_per_second", 10**7),
        ("rate-limit", "10MB", "rate_limit_bytes_per_second", 10**7),
        ("client-rate-limit", "1GB/s", "client_rate_limit_bytes_per_second", 10**9),
        ("admin", "none", "admin", None),
        ("admin", "0.0.0.0:9100", "admin", Address("0.0.0.0", 9100)),
        ("admin", "[::1]:0", "admin", Address("::1", 0)),
        ("admin", "localhost:9100", "admin", Address("localhost", 9100)),
        ("admin-allow-host", "freight, freight.default.svc", "admin_allow_host", ("freight", "freight.default.svc")),
        ("admin-allow-host", "*", "admin_allow_host", ("*",)),
        ("haproxy-agent", "0.0.0.0:8081", "haproxy_agent", Address("0.0.0.0", 8081)),
        ("trusted-proxy", "10.0.0.0/8", "trusted_proxy", ("10.0.0.0/8",)),
        ("trusted-proxy", "192.168.1.1, FD00::/8", "trusted_proxy", ("192.168.1.1/32", "fd00::/8")),
        ("proxy-protocol", "true", "proxy_protocol", True),
        ("shutdown-timeout", "0", "shutdown_timeout_seconds", 0.0),
        ("shutdown-timeout", "500ms", "shutdown_timeout_seconds", 0.5),
        ("idle-timeout", "2m", "idle_timeout_seconds", 120.0),
        ("chunked", "true", "chunked", True),
        ("precompressed", "true", "precompressed", True),
        ("host", "::1, unix:/run/a b.sock", "host", ("::1", "unix:/run/a b.sock")),
        ("admin", "unix:/run/admin.sock", "admin", UnixAddress("/run/admin.sock")),
        ("trusted-proxy", "unix,10.0.0.0/8", "trusted_proxy", ("unix", "10.0.0.0/8")),
        ("socket-mode", "600", "socket_mode", 0o600),
        ("socket-owner", "www-data", "socket_owner", ("www-data", "")),
        ("socket-owner", ":33", "socket_owner", ("", "33")),
        ("cors-origin", "*", "cors_origin", ("*",)),
        ("mount", "none", "mount", ()),
        ("mount", "/data=/srv/data", "mount", (Mount(("data",), Path("/srv/data")),)),
        ("mount", "/a/b/=c=d", "mount", (Mount(("a", "b"), Path("c=d")),)),
        ("mount", "/a=/b:/c:/d e=f", "mount", (Mount(("a",), Path("/b:/c")), Mount(("d e",), Path("f")))),
        ("mount", "/a=/b:c", "mount", (Mount(("a",), Path("/b:c")),)),
        ("prefix", "none", "prefix", ()),
        ("prefix", "/files", "prefix", ("files",)),
        ("prefix", "/a b/c/", "prefix", ("a b", "c")),
        ("cors-origin", "HTTPS://Maps.Example/", "cors_origin", ("https://maps.example",)),
        ("cors-origin", "https://a.example:443, http://b:80", "cors_origin", ("https://a.example", "http://b")),
        ("cors-origin", "http://localhost:3000", "cors_origin", ("http://localhost:3000",)),
        ("cors-origin", "http://[::1]:8000", "cors_origin", ("http://[::1]:8000",)),
        ("users", "/etc/freight/users", "users", Path("/etc/freight/users")),
        ("tokens", "none", "tokens", None),
        ("access", "everyone", "access", "everyone"),
        ("follow-symlinks", "false", "follow_symlinks", False),
        ("allow-links-to", "/srv/pool", "allow_links_to", ("/srv/pool",)),
        ("allow-links-to", "/srv/a, b:pool", "allow_links_to", ("/srv/a, b", "pool")),
        ("show-hidden", "true", "show_hidden", True),
        ("log-format", "json", "log_format", "json"),
        ("log-format", "combined", "log_format", "combined"),
        ("log-file", "none", "log_file", None),
        ("log-file", "/var/log/freight.log", "log_file", Path("/var/log/freight.log")),
    ],
)
def test_a_setting_is_read_from_text(name: str, text: str, field: str, value: object) -> None:
    assert fields(read_settings({name: text})) == DEFAULTS | {field: value}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("path", ""),
        ("path", "a\0b"),
        ("host", ""),
        ("host", "127.0.0.1:80"),
        ("host", "localhost:80"),
        ("host", "[::1]:80"),
        ("host", ":80"),
        ("host", "::1,"),
        ("host", "::1,127.0.0.1:80"),
        ("port", "70000"),
        ("port", "-1"),
        ("port", "80.5"),
        ("port", "http"),
        ("port", "٨٠"),
        ("memory", "none"),
        ("memory", ""),
        ("allow-links-to", ""),
        ("allow-links-to", "/srv/pool:"),
        ("workers", "0"),
        ("workers", "257"),
        ("queue-size", "1000001"),
        ("queue-size", "none"),
        ("queue-timeout", "none"),
        ("max-per-client", "0"),
        ("max-per-client", "auto"),
        ("min-rate", "0"),
        ("min-rate", "slow"),
        ("rate-limit", "0B/s"),
        ("rate-limit", "10M/s"),
        ("client-rate-limit", "-1"),
        ("admin", ""),
        ("admin", "9100"),
        ("admin", ":9100"),
        ("admin", "[]:9100"),
        ("admin", "::1:9100"),
        ("admin", "[127.0.0.1]:9100"),
        ("admin", "[::1]"),
        ("admin", "127.0.0.1:65536"),
        ("admin", "127.0.0.1:http"),
        ("host", "unix:"),
        ("host", "unix:/run/"),
        ("host", "unix:@abstract"),
        ("host", f"unix:/{'x' * 107}"),
        ("admin", "unix:"),
        ("socket-mode", "rw"),
        ("socket-mode", "8"),
        ("socket-mode", "1777"),
        ("socket-owner", ""),
        ("socket-owner", ":"),
        ("socket-owner", "a:b:c"),
        ("admin-allow-host", ""),
        ("access", "nobody"),
        ("users", ""),
        ("admin-allow-host", "freight:9080"),
        ("admin-allow-host", "http://freight"),
        ("admin-allow-host", "*.example"),
        *(
            ("cors-origin", text)
            for text in ("", "null", "maps.example", "ftp://maps.example", "https://", "https://a:b")
        ),
        *(
            ("cors-origin", f"https://{text}")
            for text in ("maps.example/app", "a@b.example", "a.example?x", "*.example")
        ),
        ("cors-origin", "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}.example"),
        ("path", "none"),
        *(
            ("mount", text)
            for text in (
                "",
                "/a",
                "a=b",
                "/=b",
                "/a=",
                "=b",
                "/a//b=c",
                "/a/../b=c",
                "/./a=c",
                "//=c",
                "/a\n=c",
                "/a%20=c",
            )
        ),
        *(("mount", text) for text in ("/a=b:/a=c", "/a=b:/a/=c", "/a?=b", "/a#=b", "/a\\b=c", "/a=b\0")),
        ("mount", ":".join(f"/{number}=x" for number in range(MOUNTS_MAX + 1))),
        *(("prefix", text) for text in ("", "/", "files", "/a//b", "/..", "/%41", "/a?b", "/a\tb")),
        ("trusted-proxy", ""),
        ("trusted-proxy", "10.0.0.0/8,"),
        ("trusted-proxy", "10.0.0.1/8"),
        ("trusted-proxy", "10.0.0.0/33"),
        ("trusted-proxy", "none,10.0.0.0/8"),
        ("trusted-proxy", "proxy.example"),
        ("proxy-protocol", "v2"),
        ("memory", "-64MiB"),
        ("memory", "64M"),
        ("shutdown-timeout", "-1s"),
        ("shutdown-timeout", "soon"),
        ("idle-timeout", "0"),
        ("disk-timeout", "0"),
        ("idle-timeout", "-60s"),
        ("idle-timeout", "inf"),
        ("show-hidden", "maybe"),
        ("log-format", "xml"),
        ("log-files", "0"),
        ("log-file-size", "1KiB"),
    ],
)
def test_an_invalid_value_is_an_error_of_one_line_that_names_the_setting(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_settings({name: text})
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "keywords"),
    [("memory", "20Q", "or auto"), ("max-per-client", "0", "or none"), ("admin", "9100", "or auto or none")],
)
def test_an_error_names_the_keywords_that_are_allowed(name: str, text: str, keywords: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{keywords}$"):
        read_settings({name: text})


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("host", "10.0.0.5:80", "write --host 10.0.0.5 --port 80"),
        ("host", "[::1]:80", "write --host ::1 --port 80"),
        ("admin", "10.0.0.5", "'10.0.0.5' has no port; write 10.0.0.5:9080"),
        ("admin", "9080", "'9080' has no host; write 127.0.0.1:9080"),
        ("admin", "::1:9080", r"'::1:9080' is not HOST:PORT; write 127.0.0.1:9080 or \[::1\]:9080"),
        (
            "trusted-proxy",
            "fe80::1%eth0",
            "'fe80::1%eth0' has a zone; write fe80::1, which is trusted on every interface",
        ),
        ("trusted-proxy", "10.1.2.3/8", "'10.1.2.3/8' has bits set after its prefix; write 10.0.0.0/8"),
    ],
)
def test_an_error_says_what_to_write(name: str, text: str, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        read_settings({name: text})


def test_the_table_is_in_the_order_of_the_headings() -> None:
    assert list(dict.fromkeys(setting.group for setting in SETTINGS)) == list(GROUPS)
    assert [setting.group for setting in SETTINGS] == sorted((setting.group for setting in SETTINGS), key=GROUPS.index)


def test_no_option_has_two_meanings() -> None:
    options = [name for row in SETTINGS for name in (row.option, row.short, *row.aliases) if name]
    options += [f"--{row.former_name}" for row in SETTINGS if row.former_name]
    options += [row.off_option for row in SETTINGS if row.kind is SettingType.FLAG]
    assert len(options) == len(set(options))


def test_every_conflict_is_found() -> None:
    texts = {"admin": "127.0.0.1:80", "port": "80", "tls-cert": "a", "redirect-port": "80"}
    settings = Settings(**{row.field: row.read(texts.get(row.name, row.default)) for row in SETTINGS})
    found = list(conflicts(settings, lambda name: name))
    assert [line.split(":")[0] for line in found] == ["admin", "tls-cert", "redirect-port"]


def test_an_error_names_the_origin_if_it_is_known() -> None:
    with pytest.raises(ConfigurationError, match=r"^freight\.toml: memory: '20Q' has no unit of size"):
        read_settings({"memory": "20Q"}, {"memory": "freight.toml: memory"})


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        ({"admin": "127.0.0.1:8080"}, "admin: 127.0.0.1:8080"),
        ({"admin": "[::1]:80", "host": "::1", "port": "80"}, r"admin: \[::1\]:80"),
        ({"admin": "[::1]:80", "host": "127.0.0.1,::1", "port": "80"}, r"admin: \[::1\]:80"),
        ({"haproxy-agent": "127.0.0.1:8080"}, "haproxy-agent: 127.0.0.1:8080 is where files are served"),
        (
            {"haproxy-agent": "0.0.0.0:9", "admin": "0.0.0.0:9"},
            "haproxy-agent: 0.0.0.0:9 is the address of the admin listener",
        ),
        ({"rate-limit": "1000/s"}, "rate-limit: 1kB/s is less than the 1KiB/s of min-rate"),
        (
            {"client-rate-limit": "1kB", "min-rate": "2kB"},
            "client-rate-limit: 1kB/s is less than the 2kB/s of min-rate",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_an_error_of_one_line(texts: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named}") as refused:
        read_settings(texts)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "texts",
    [
        {"admin": "127.0.0.1:0", "port": "0"},
        {"admin": "127.0.0.2:8080"},
        {"haproxy-agent": "127.0.0.1:0", "admin": "127.0.0.1:0", "port": "0"},
        {"rate-limit": "1KiB/s"},
        {"rate-limit": "1B/s", "min-rate": "none"},
    ],
)
def test_settings_that_only_seem_to_contradict_each_other_are_accepted(texts: dict[str, str]) -> None:
    read_settings(texts)


@given(st.ip_addresses().map(str) | st.just("localhost"), st.integers(0, 65_535))
def test_an_address_that_is_shown_is_read_as_the_same(host: str, port: int) -> None:
    assert parse_address(str(Address(host, port))) == Address(host, port)


def test_the_name_of_a_field_ends_in_its_unit() -> None:
    suffixes = {SettingType.SIZE: "_bytes", SettingType.RATE: "_bytes_per_second", SettingType.TIME: "_seconds"}
    for setting in SETTINGS:
        assert setting.field == setting.name.replace("-", "_") + suffixes.get(setting.kind, "")


def test_a_setting_has_one_name_in_each_place() -> None:
    assert BY_NAME["idle-timeout"].option == "--idle-timeout"
    assert BY_NAME["idle-timeout"].variable == "FREIGHT_IDLE_TIMEOUT"
    assert BY_NAME["path"].option == "PATH"
    assert BY_NAME["show-hidden"].off_option == "--no-show-hidden"
    assert BY_NAME["chunked"].off_option == "--no-chunked"


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="colour: there is no such setting"):
        read_settings({"colour": "red"})


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read_settings({}).port = 80  # type: ignore[misc]
