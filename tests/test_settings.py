"""One table holds every setting; what it yields is checked, frozen, and named with its units."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from freight.errors import Unservable
from freight.settings import SETTINGS, Setting, Settings, read_settings

DEFAULTS = {
    "path": Path("."),
    "host": "127.0.0.1",
    "port": 8080,
    "memory_bytes": 64 * 2**20,
    "drain_seconds": 30.0,
    "idle_timeout_seconds": 60.0,
    "no_length": False,
    "follow_links": False,
    "hidden": False,
    "log_format": "text",
}


def test_what_is_not_given_has_its_documented_default() -> None:
    assert dataclasses.asdict(read_settings({})) == DEFAULTS


def test_the_table_and_the_fields_are_the_same_in_the_same_order() -> None:
    assert [setting.field for setting in SETTINGS] == [field.name for field in dataclasses.fields(Settings)]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_row_of_the_table_reads_to_the_type_its_field_states(setting: Setting) -> None:
    stated: Any = get_type_hints(Settings)[setting.field]
    value = setting.read(setting.default)
    if get_origin(stated) is not None:
        assert setting.choices == get_args(stated)
        assert value in setting.choices
    else:
        assert isinstance(value, stated)
        assert isinstance(value, bool) == (stated is bool)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_has_a_manual_entry_of_whole_sentences(setting: Setting) -> None:
    assert setting.help[0].isupper()
    assert setting.help.endswith(".")


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("path", "/data/a b.csv", "path", Path("/data/a b.csv")),
        ("host", "::1", "host", "::1"),
        ("port", "0", "port", 0),
        ("port", "65535", "port", 65_535),
        ("memory", "20MB", "memory_bytes", 20_000_000),
        ("memory", "1MiB", "memory_bytes", 2**20),
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
    assert dataclasses.asdict(read_settings({name: text})) == DEFAULTS | {field: value}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("path", ""),
        ("path", "a\0b"),
        ("host", ""),
        ("port", "70000"),
        ("port", "-1"),
        ("port", "80.5"),
        ("port", "http"),
        ("port", "٨٠"),
        ("memory", "1KB"),
        ("memory", "0"),
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


def test_a_setting_nobody_knows_is_refused() -> None:
    with pytest.raises(Unservable, match="colour: there is no such setting"):
        read_settings({"colour": "red"})


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read_settings({}).port = 80  # type: ignore[misc]
