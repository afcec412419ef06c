"""Settings as keyword arguments: Python values, texts, and one line that names a mistake."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from freight import Bytes, ConfigurationError, Server
from freight.config.table import SETTINGS
from freight.library.options import Options

VALUES: tuple[tuple[str, Any, str, Any], ...] = (
    ("memory", 20_000_000, "memory_bytes", 20_000_000),
    ("memory", "20MB", "memory_bytes", 20_000_000),
    ("memory", None, "memory_bytes", None),
    ("queue_timeout", 1.5, "queue_timeout_seconds", 1.5),
    ("queue_timeout", timedelta(minutes=1), "queue_timeout_seconds", 60),
    ("queue_timeout", "500ms", "queue_timeout_seconds", 0.5),
    ("rate_limit", 5000, "rate_limit_bytes_per_second", 5000),
    ("rate_limit", "1Gbit/s", "rate_limit_bytes_per_second", 125_000_000),
    ("max_per_client", None, "max_per_client", None),
    ("show_hidden", True, "show_hidden", True),
    ("follow_symlinks", False, "follow_symlinks", False),
    ("follow_symlinks", "false", "follow_symlinks", False),
    ("host", ["127.0.0.1", "::1"], "host", ("127.0.0.1", "::1")),
    ("cors_origin", (), "cors_origin", ()),
    ("allow_links_to", [Path("/srv/a"), "/srv/b"], "allow_links_to", ("/srv/a", "/srv/b")),
    ("header", {"X-A": "1", "X-B": "2"}, "header", (("X-A", "1"), ("X-B", "2"))),
    ("users", Path("users"), "users", Path("users")),
    ("socket_mode", 0o600, "socket_mode", 0o600),
    ("socket_mode", "0600", "socket_mode", 0o600),
)

MISTAKES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"memory": "much"}, "memory: 'much' is not a size; write 20MB, 64MiB or a number of bytes or auto"),
    ({"memory": True}, "memory: must be a number or a text, not bool"),
    ({"memory": 2.5}, "memory: must be a number or a text, not float"),
    ({"queue_size": -1}, "queue_size: '-1' is not a whole number"),
    ({"queue_size": None}, "queue_size: must be a number or a text, not NoneType"),
    ({"queue_timeout": float("inf")}, "queue_timeout: inf is no time"),
    ({"queue_timeout": timedelta(seconds=-1)}, "queue_timeout: -1 day, 23:59:59 is no time"),
    ({"show_hidden": 1}, "show_hidden: must be True or False, not int"),
    ({"host": b"::1"}, "host: must be a text or a list of texts, not bytes"),
    ({"cors_origin": ["a,b"]}, "cors_origin: 'a,b' has a ',', which separates values"),
    ({"header": {"A": "1\nB: 2"}}, "header: 'A: 1\\nB: 2' has a '\\n', which separates values"),
    ({"mount": 1}, "mount: must be a text, a list of texts or a mapping, not int"),
    ({"memroy": 1}, "memroy: there is no such setting; did you mean memory?"),
    ({"queue-size": 1}, "queue-size: there is no such setting; did you mean queue_size?"),
    ({"tls_cert": "cert.pem"}, "tls_cert: needs tls_key too"),
    ({"workers": 2}, "workers: a server in an application is one process"),
)


def test_the_keyword_arguments_are_the_settings() -> None:
    assert [*Options.__annotations__] == [each.name.replace("-", "_") for each in SETTINGS if each.name != "path"]


@pytest.mark.parametrize(("name", "value", "field", "expected"), VALUES)
def test_a_setting_is_a_python_value_or_a_text(name: str, value: Any, field: str, expected: Any) -> None:
    settings = Server(".", **{name: value}).settings
    assert getattr(settings, field) == expected


@pytest.mark.parametrize(("options", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_names_the_argument(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Server(".", **options)
    assert str(raised.value).startswith(message)


def test_a_directory_may_be_named_like_a_word_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    assert Server("none").settings.path == Path("none")


def test_mounts_are_a_mapping() -> None:
    mounts = Server(mount={"/data": Path("/srv/data"), "/a/b": "/srv/b"}).settings.mount
    assert [(each.point, str(each.path)) for each in mounts] == [(("data",), "/srv/data"), (("a", "b"), "/srv/b")]


def test_there_must_be_something_to_serve() -> None:
    with pytest.raises(ConfigurationError, match=r"^path: there is nothing to serve"):
        Server()


def test_arguments_come_before_the_file_and_the_environment_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FREIGHT_MEMORY", "30MB")
    monkeypatch.setenv("FREIGHT_QUEUE_SIZE", "7")
    file = tmp_path / "freight.toml"
    file.write_text('path = "/srv"\nmemory = "20MB"\nport = 1\n[[rule]]\nmatch = "/**"\nindex = "none"\n')
    settings = Server(config=file, port=0).settings
    assert (settings.path, settings.memory_bytes, settings.port) == (Path("/srv"), 20_000_000, 0)
    assert settings.queue_size == 1000
    assert settings.rule


ROUTE_MISTAKES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"routes": {"x": Bytes(b"")}}, "routes: x: "),
    ({"routes": {"/": Bytes(b"")}}, "routes: /: "),
    ({"routes": {"/a:b": Bytes(b"")}}, "routes: /a:b: must not contain"),
    ({"routes": {"/a": b""}}, "routes: /a: must be a Directory, File, Bytes or Stream, not bytes"),
    ({"routes": {"/a": Bytes(b"", media_type="a\nb")}}, "routes: /a: "),
    ({"routes": {"/a": Bytes(b""), "/a/": Bytes(b"")}}, "routes: /a/: is given twice"),
    ({"routes": {"/a": Bytes(b"")}, "mount": "/b=/srv"}, "routes: they are in place of a path"),
    ({"routes": {}}, "path: there is nothing to serve"),
)


@pytest.mark.parametrize(("options", "message"), ROUTE_MISTAKES)
def test_a_mistake_in_a_route_is_one_line_that_names_it(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Server(**options)
    assert str(raised.value).startswith(message)


def test_nothing_listens_that_the_application_has_not_asked_for() -> None:
    assert Server(".").settings.admin is None
    assert Server(".", admin="auto").settings.admin == "auto"
