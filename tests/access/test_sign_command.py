"""``freight sign`` and ``freight key new``: what they print, and their mistakes as one line."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from freight.access import links
from freight.access.keys import load
from freight.cli.main import main
from freight.model import Grant, Request


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "keys"
    assert main(["key", "new", str(path), "first"]) == 0
    assert capsys.readouterr().out == f"{path}: new key first\n"
    return path


def test_a_key_has_the_time_as_its_name(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "new", str(keys)]) == 0
    assert re.fullmatch(rf"{keys}: new key \d{{8}}-\d{{6}}\n", capsys.readouterr().out)
    assert len(load(keys).secrets) == 2
    assert load(keys).secrets["first"] not in capsys.readouterr().out.encode()


def test_a_link_is_printed(keys: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    main(["key", "new", str(keys), "last"])
    capsys.readouterr()
    monkeypatch.setenv("FREIGHT_SIGNING_KEYS", str(keys))
    options = ["--expires", "2h", "--client", "192.0.2.0/24", "--filename", "b c.csv", "--key", "first"]
    assert main(["sign", "/a b.csv", "--base-url", "https://files.example.org", *options]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("https://files.example.org/a%20b.csv?expires=") and "&key=first&" in printed
    target = printed.strip().removeprefix("https://files.example.org")
    request = Request("GET", target, (), client="192.0.2.1")
    checked = links.LinkChecker(load(keys)).check(request, time.time() + 7000)
    assert isinstance(checked, Request) and checked.grant == Grant(True, "b c.csv")
    assert main(["sign", "/a.csv"]) == 0
    assert re.fullmatch(r"/a\.csv\?expires=\d+&key=last&signature=[\w-]{43}\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["sign", "a.csv"], "path: 'a.csv' does not start with /"),
        (["sign", "/../a.csv"], "path: '/../a.csv' has an empty segment"),
        (["sign", "/a", "--expires", "soon"], "--expires: 'soon' is not a time"),
        (["sign", "/a", "--expires", "0s"], "expires: 0"),
        (["sign", "/a", "--client", "10.0.0.1/8"], "client: 10.0.0.1/8 has host bits set"),
        (["sign", "/a", "--filename", "a/b"], "filename: 'a/b' has a slash"),
        (["sign", "/a", "--key", "none"], "there is no key 'none'; there are first"),
        (["sign", "/a", "--base-url", "x"], "base_url: 'x' is not like https://"),
        (["sign", "/a", "--signing-keys", "/none"], "--signing-keys: cannot read /none"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], why: str, keys: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FREIGHT_SIGNING_KEYS", str(keys))
    assert main(words) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"freight: {why}") and printed.count("\n") == 1


def test_keys_are_needed_and_a_new_one_spoils_no_file(
    keys: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FREIGHT_SIGNING_KEYS", raising=False)
    assert main(["sign", "/a"]) == 2
    assert "--signing-keys" in capsys.readouterr().err
    assert main(["key", "new", str(keys), "first"]) == 2
    assert "has a key 'first' already" in capsys.readouterr().err
    assert main(["key", "new", str(keys.parent), "x"]) == 1
    assert main(["key"]) == 2


def test_settings_are_checked_with_the_keys(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    served = keys.parent / "served"
    served.mkdir()
    words = ["settings", "--check", str(served), "--port", "0", "--admin", "none", "--signing-keys", str(keys)]
    assert main(words) == 0
    keys.write_text("x y\n")
    assert main(words) == 2
    assert "--signing-keys: " in capsys.readouterr().err
