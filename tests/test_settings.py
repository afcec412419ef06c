"""One table holds every setting; what it yields is checked, frozen, and named with its units."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.errors import Unservable
from freight.kinds import Address, Kind, Setting, parse_address
from freight.settings import GROUPS, SETTINGS, Settings, conflicts, read_settings

DEFAULTS = {
    "path": Path("."),
    "host": "127.0.0.1",
    "port": 8080,
    "memory_bytes": None,
    "workers": 1,
    "queue": 1000,
    "max_wait_seconds": 30.0,
    "per_client": None,
    "min_rate_bytes_per_second": 1024,
    "rate_bytes_per_second": None,
    "per_client_rate_bytes_per_second": None,
    "idle_timeout_seconds": 60.0,
    "drain_seconds": 30.0,
    "drain_delay_seconds": 0.0,
    "admin": "auto",
    "agent": None,
    "trusted_proxy": (),
    "proxy_protocol": False,
    "tls_cert": None,
    "tls_key": None,
    "tls_self_signed": False,
    "redirect_port": None,
    "no_length": False,
    "follow_links": False,
    "hidden": False,
    "log_format": "text",
}
LIVE = {
    "memory",
    "queue",
    "max-wait",
    "per-client",
    "min-rate",
    "rate",
    "per-client-rate",
    "idle-timeout",
    "drain",
    "drain-delay",
}
BY_NAME = {setting.name: setting for setting in SETTINGS}


def fields(settings: Settings) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}


def alternatives(stated: Any) -> set[Any]:
    """What an annotation allows: types, and the literals themselves."""
    if get_origin(stated) is Literal:
        return set(get_args(stated))
    if get_origin(stated) is tuple:
        return {tuple}
    return set().union(*map(alternatives, get_args(stated))) if get_args(stated) else {stated}


def test_what_is_not_given_has_its_documented_default() -> None:
    assert fields(read_settings({})) == DEFAULTS


def test_the_table_and_the_fields_are_the_same_in_the_same_order() -> None:
    assert [setting.field for setting in SETTINGS] == [field.name for field in dataclasses.fields(Settings)]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_row_of_the_table_reads_to_what_its_field_states(setting: Setting) -> None:
    allowed = alternatives(get_type_hints(Settings)[setting.field])
    default, words = setting.read(setting.default), list(setting.words.values())
    for value in (default, *words):
        kind = Path if isinstance(value, Path) else type(value)
        assert value in allowed or kind in allowed
    assert set(setting.choices) == {each for each in allowed if isinstance(each, str)} - set(words)
    assert (type(None) in allowed) == (None in words)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_written_value_reads_back_the_same(setting: Setting) -> None:
    for text in (setting.default, *setting.words):
        assert setting.read(setting.show(setting.read(text))) == setting.read(text)
    assert all(setting.show(value) == word for word, value in setting.words.items())


def test_only_what_nothing_was_built_upon_can_change_while_the_server_runs() -> None:
    assert {setting.name for setting in SETTINGS if setting.live} == LIVE


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_manual_entry_of_whole_sentences(setting: Setting) -> None:
    assert setting.help[0].isupper()
    assert setting.help.endswith(".")


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("path", "/data/a b.csv", "path", Path("/data/a b.csv")),
        ("host", "::1", "host", "::1"),
        ("host", "[::1]", "host", "::1"),
        ("host", "::", "host", "::"),
        ("host", "fe80::1%eth0", "host", "fe80::1%eth0"),
        ("port", "0", "port", 0),
        ("port", "65535", "port", 65_535),
        ("memory", "20MB", "memory_bytes", 20_000_000),
        ("memory", "1MiB", "memory_bytes", 2**20),
        ("memory", "auto", "memory_bytes", None),
        ("workers", "auto", "workers", None),
        ("workers", "2", "workers", 2),
        ("queue", "0", "queue", 0),
        ("max-wait", "500ms", "max_wait_seconds", 0.5),
        ("per-client", "4", "per_client", 4),
        ("per-client", "none", "per_client", None),
        ("min-rate", "none", "min_rate_bytes_per_second", None),
        ("min-rate", "10KiB/s", "min_rate_bytes_per_second", 10 * 1024),
        ("rate", "10MB/s", "rate_bytes_per_second", 10**7),
        ("rate", "10MB", "rate_bytes_per_second", 10**7),
        ("per-client-rate", "1GB/s", "per_client_rate_bytes_per_second", 10**9),
        ("admin", "none", "admin", None),
        ("admin", "0.0.0.0:9100", "admin", Address("0.0.0.0", 9100)),
        ("admin", "[::1]:0", "admin", Address("::1", 0)),
        ("admin", "localhost:9100", "admin", Address("localhost", 9100)),
        ("agent", "0.0.0.0:8081", "agent", Address("0.0.0.0", 8081)),
        ("trusted-proxy", "10.0.0.0/8", "trusted_proxy", ("10.0.0.0/8",)),
        ("trusted-proxy", "192.168.1.1, FD00::/8", "trusted_proxy", ("192.168.1.1/32", "fd00::/8")),
        ("proxy-protocol", "true", "proxy_protocol", True),
        ("drain", "0", "drain_seconds", 0.0),
        ("drain", "500ms", "drain_seconds", 0.5),
        ("idle-timeout", "2m", "idle_timeout_seconds", 120.0),
        ("no-length", "true", "no_length", True),
        ("follow-links", "true", "follow_links", True),
        ("hidden", "true", "hidden", True),
        ("log-format", "json", "log_format", "json"),
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
        ("port", "70000"),
        ("port", "-1"),
        ("port", "80.5"),
        ("port", "http"),
        ("port", "٨٠"),
        ("memory", "none"),
        ("memory", ""),
        ("workers", "0"),
        ("workers", "257"),
        ("queue", "1000001"),
        ("queue", "none"),
        ("max-wait", "none"),
        ("per-client", "0"),
        ("per-client", "auto"),
        ("min-rate", "0"),
        ("min-rate", "slow"),
        ("rate", "0B/s"),
        ("rate", "10M/s"),
        ("per-client-rate", "-1"),
        ("admin", ""),
        ("admin", "9100"),
        ("admin", ":9100"),
        ("admin", "[]:9100"),
        ("admin", "::1:9100"),
        ("admin", "[127.0.0.1]:9100"),
        ("admin", "[::1]"),
        ("admin", "127.0.0.1:65536"),
        ("admin", "127.0.0.1:http"),
        ("trusted-proxy", ""),
        ("trusted-proxy", "10.0.0.0/8,"),
        ("trusted-proxy", "10.0.0.1/8"),
        ("trusted-proxy", "10.0.0.0/33"),
        ("trusted-proxy", "none,10.0.0.0/8"),
        ("trusted-proxy", "proxy.example"),
        ("proxy-protocol", "v2"),
        ("memory", "-64MiB"),
        ("memory", "64M"),
        ("drain", "-1s"),
        ("drain", "soon"),
        ("idle-timeout", "0"),
        ("idle-timeout", "-60s"),
        ("idle-timeout", "inf"),
        ("hidden", "maybe"),
        ("log-format", "xml"),
    ],
)
def test_a_senseless_value_is_refused_in_one_line_that_names_the_setting(name: str, text: str) -> None:
    with pytest.raises(Unservable) as refused:
        read_settings({name: text})
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "text", "way_out"),
    [("memory", "20Q", "or auto"), ("per-client", "0", "or none"), ("admin", "9100", "or auto or none")],
)
def test_a_refusal_says_which_words_are_taken_too(name: str, text: str, way_out: str) -> None:
    with pytest.raises(Unservable, match=f"{way_out}$"):
        read_settings({name: text})


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("host", "10.0.0.5:80", "write --host 10.0.0.5 --port 80"),
        ("host", "[::1]:80", "write --host ::1 --port 80"),
        ("admin", "10.0.0.5", "'10.0.0.5' has no port; write 10.0.0.5:9080"),
        ("admin", "9080", "'9080' has no host; write 127.0.0.1:9080"),
        ("admin", "::1:9080", r"'::1:9080' is not HOST:PORT; write 127.0.0.1:9080 or \[::1\]:9080"),
        ("trusted-proxy", "10.1.2.3/8", "'10.1.2.3/8' has bits set after its prefix; write 10.0.0.0/8"),
    ],
)
def test_a_refusal_says_what_to_write(name: str, text: str, advice: str) -> None:
    with pytest.raises(Unservable, match=advice):
        read_settings({name: text})


def test_settings_stand_group_by_group_in_the_order_of_the_headings() -> None:
    assert list(dict.fromkeys(setting.group for setting in SETTINGS)) == list(GROUPS)
    assert [setting.group for setting in SETTINGS] == sorted((setting.group for setting in SETTINGS), key=GROUPS.index)


def test_no_option_means_two_things() -> None:
    options = [name for row in SETTINGS for name in (row.option, row.short, *row.aliases) if name]
    options += [row.off_option for row in SETTINGS if row.kind is Kind.FLAG]
    assert len(options) == len(set(options))


def test_every_conflict_is_found_and_not_the_first_only() -> None:
    texts = {"admin": "127.0.0.1:80", "port": "80", "tls-cert": "a", "redirect-port": "80"}
    settings = Settings(**{row.field: row.read(texts.get(row.name, row.default)) for row in SETTINGS})
    found = list(conflicts(settings, lambda name: name))
    assert [line.split(":")[0] for line in found] == ["admin", "tls-cert", "redirect-port"]


def test_a_refusal_names_the_origin_where_it_is_known() -> None:
    with pytest.raises(Unservable, match=r"^freight\.toml:3: memory: '20Q' has no unit of size"):
        read_settings({"memory": "20Q"}, {"memory": "freight.toml:3: memory"})


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        ({"admin": "127.0.0.1:8080"}, "admin: 127.0.0.1:8080"),
        ({"admin": "[::1]:80", "host": "::1", "port": "80"}, r"admin: \[::1\]:80"),
        ({"agent": "127.0.0.1:8080"}, "agent: 127.0.0.1:8080 is where files are served"),
        ({"agent": "0.0.0.0:9", "admin": "0.0.0.0:9"}, "agent: 0.0.0.0:9 is the address of the admin listener"),
        ({"rate": "1000/s"}, "rate: 1kB/s is less than the 1KiB/s of min-rate"),
        ({"per-client-rate": "1kB", "min-rate": "2kB"}, "per-client-rate: 1kB/s is less than the 2kB/s of min-rate"),
    ],
)
def test_what_makes_no_sense_together_is_refused_in_one_line(texts: dict[str, str], named: str) -> None:
    with pytest.raises(Unservable, match=f"^{named}") as refused:
        read_settings(texts)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "texts",
    [
        {"admin": "127.0.0.1:0", "port": "0"},
        {"admin": "127.0.0.2:8080"},
        {"agent": "127.0.0.1:0", "admin": "127.0.0.1:0", "port": "0"},
        {"rate": "1KiB/s"},
        {"rate": "1B/s", "min-rate": "none"},
    ],
)
def test_what_makes_sense_together_is_taken(texts: dict[str, str]) -> None:
    read_settings(texts)


@given(st.ip_addresses().map(str) | st.just("localhost"), st.integers(0, 65_535))
def test_a_written_address_reads_back_the_same(host: str, port: int) -> None:
    assert parse_address(str(Address(host, port))) == Address(host, port)


def test_the_fields_of_a_kind_end_in_its_unit() -> None:
    suffixes = {Kind.SIZE: "_bytes", Kind.RATE: "_bytes_per_second", Kind.TIME: "_seconds"}
    for setting in SETTINGS:
        assert setting.field == setting.name.replace("-", "_") + suffixes.get(setting.kind, "")


def test_a_setting_has_one_name_in_each_place() -> None:
    assert BY_NAME["idle-timeout"].option == "--idle-timeout"
    assert BY_NAME["idle-timeout"].variable == "FREIGHT_IDLE_TIMEOUT"
    assert BY_NAME["path"].option == "PATH"
    assert BY_NAME["hidden"].off_option == "--no-hidden"
    assert BY_NAME["no-length"].off_option == "--length"


def test_a_setting_nobody_knows_is_refused() -> None:
    with pytest.raises(Unservable, match="colour: there is no such setting"):
        read_settings({"colour": "red"})


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read_settings({}).port = 80  # type: ignore[misc]
