"""``freight passwd`` and ``freight token``: what they write, what they print, and what they refuse."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import bcrypt
import pytest

from freight.access import tokens, users
from freight.cli.main import main


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def type_in(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def passwd(monkeypatch: pytest.MonkeyPatch, data: bytes, *words: str) -> int:
    type_in(monkeypatch, data)
    return main(["passwd", "users", *words, "--cost", "4"])


def found() -> dict[str, bytes]:
    return dict(users.parse(Path("users").read_bytes(), "users").hashes)


def test_a_password_is_added_changed_and_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert passwd(monkeypatch, b"one two\nmore\n", "alice") == 0
    assert stat.S_IMODE(os.stat("users").st_mode) == 0o600
    assert bcrypt.checkpw(b"one two", found()["alice"])
    Path("users").write_text("# staff\n" + Path("users").read_text())
    os.chmod("users", 0o640)
    assert passwd(monkeypatch, "schön".encode(), "bob") == 0
    assert passwd(monkeypatch, b"three", "alice") == 0
    assert list(found()) == ["alice", "bob"]
    assert bcrypt.checkpw(b"three", found()["alice"])
    assert bcrypt.checkpw("schön".encode(), found()["bob"])
    assert stat.S_IMODE(os.stat("users").st_mode) == 0o640  # as the operator has set it
    assert Path("users").read_text().startswith("# staff\n")
    assert passwd(monkeypatch, b"", "alice", "--delete") == 0
    assert list(found()) == ["bob"]
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [f"users: {what}" for what in ("added alice", "added bob", "changed alice")] + [
        "users: removed alice"
    ]
    assert captured.out == ""
    assert os.listdir() == ["users"]


@pytest.mark.parametrize(
    ("data", "user", "why"),
    [
        (b"", "alice", "the password is empty"),
        (b"\n", "alice", "the password is empty"),
        (b"a\0b\n", "alice", "control characters"),
        (b"x" * 73, "alice", "73 bytes; bcrypt uses 72"),
        (b"\xff\xfe", "alice", "not UTF-8"),
        (b"freight_" + b"a" * 43, "alice", "this is a token"),
        (b"secret", "a:b", "cannot be the name"),
        (b"secret", "", "cannot be the name"),
        (b"secret", "a\nb", "cannot be the name"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: bytes, user: str, why: str
) -> None:
    assert passwd(monkeypatch, data, user) == 2
    assert why in capsys.readouterr().err
    assert os.listdir() == []


def test_a_wrong_file_and_a_missing_user_leave_the_file_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert passwd(monkeypatch, b"", "alice", "--delete") == 2
    assert "there is no user 'alice'" in capsys.readouterr().err
    Path("users").write_text("alice:plain\n")
    assert passwd(monkeypatch, b"secret", "bob") == 2
    assert "users:1: the password of 'alice' is not a bcrypt hash" in capsys.readouterr().err
    assert Path("users").read_text() == "alice:plain\n"


def test_a_link_to_the_file_stays_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("users").symlink_to("real")
    assert passwd(monkeypatch, b"secret", "alice") == 0
    assert Path("users").is_symlink()
    assert list(users.parse(Path("real").read_bytes(), "real").hashes) == ["alice"]


def test_a_token_is_printed_once_listed_and_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    made = []
    for words in (["ci"], ["ci", "--expires", "90d"], ["backup", "--expires", "2090-01-31"]):
        assert main(["token", "new", "tokens", *words]) == 0
        made.append(capsys.readouterr().out.strip())
    assert len(set(made)) == 3
    assert stat.S_IMODE(os.stat("tokens").st_mode) == 0o600
    stored = tokens.parse(Path("tokens").read_bytes(), "tokens")
    assert [getattr(stored.find(text), "name", None) for text in made] == ["ci", "ci", "backup"]
    assert not any(text in Path("tokens").read_text() for text in made)

    assert main(["token", "list", "tokens"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["ci", "ci", "backup"]
    assert listed[0].endswith("never expires")
    assert listed[2].endswith("expires 2090-01-31T00:00:00Z")

    assert main(["token", "revoke", "tokens", "ci", "--hash", tokens.digest_of(made[0]).hex()[:8]]) == 0
    left = tokens.parse(Path("tokens").read_bytes(), "tokens")
    assert [left.find(text) is not None for text in made] == [False, True, True]
    assert main(["token", "revoke", "tokens", "backup"]) == 0
    assert main(["token", "revoke", "tokens", "backup"]) == 2
    assert "there is no token 'backup'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["a b"], "cannot be the name of a token"),
        (["ci", "--expires", "soon"], "--expires: "),
        (["ci", "--expires", "2001-01-31"], "is in the past"),
        (["ci", "--expires", "0d"], "is in the past"),
    ],
)
def test_a_wrong_token_is_refused(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "new", "tokens", *words]) == 2
    captured = capsys.readouterr()
    assert why in captured.err
    assert captured.out == ""
    assert os.listdir() == []
