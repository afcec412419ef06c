"""The file of keys: what is read, what is refused without showing a secret, and how a new key gets into it."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path

import pytest

from freight.access.keys import Keys, create, load
from freight.errors import ConfigurationError

SECRET = b64encode(bytes(range(32))).decode()
OTHER = b64encode(bytes(32)).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.touch(0o600)
    return path


def test_the_last_key_signs_and_every_key_is_known(file: Path) -> None:
    file.write_text(f"# comment\n\n  old {SECRET}\r\nnew\t{OTHER}\n")
    keys = load(file)
    assert keys.secrets == {"old": bytes(range(32)), "new": bytes(32)}
    assert (keys.to_sign(), keys.to_sign("old")) == (("new", bytes(32)), ("old", bytes(range(32))))
    assert keys.warning == ""
    with pytest.raises(ValueError, match="there is no key 'x'; there are old, new"):
        keys.to_sign("x")


@pytest.mark.parametrize("form", [SECRET, SECRET.rstrip("="), SECRET.replace("+", "-").replace("/", "_")])
def test_base64_may_be_that_of_urls_and_have_no_padding(file: Path, form: str) -> None:
    file.write_text(f"k {form}")
    assert load(file).secrets == {"k": bytes(range(32))}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no key"),
        ("# k AAAA\n", "has no key"),
        (SECRET, "line 1: it is not an id and a secret"),
        (f"k {SECRET} x", "line 1: it is not an id and a secret"),
        (f"a {OTHER}\nk/1 {SECRET}", "line 2: it is not an id and a secret"),
        (f"{'k' * 33} {SECRET}", "line 1: it is not an id"),
        (f"\N{LATIN SMALL LETTER E WITH ACUTE} {SECRET}", "line 1: it is not an id"),
        (f"k {SECRET}\nk {OTHER}", "line 2: the id k occurs twice"),
        (f"k {SECRET[:-4]}!!!!", "line 1: the secret is not base64"),
        (f"k {SECRET[:20]}", "line 1: a secret has 32 to 128 bytes, this one 15"),
        (f"k {b64encode(bytes(129)).decode()}", "line 1: a secret has 32 to 128 bytes, this one 129"),
        ("".join(f"k{number} {SECRET}\n" for number in range(101)), "more than 100 keys"),
        ("#" * 65537, "larger than 64 KiB"),
    ],
)
def test_an_invalid_file_is_refused_and_no_secret_is_shown(file: Path, text: str, why: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=why) as failed:
        load(file)
    assert failed.value.setting == "signing-keys"
    assert SECRET[:8] not in str(failed.value) and OTHER[:8] not in str(failed.value)


def test_a_file_that_is_open_to_all_users_is_refused_or_gives_a_warning(file: Path) -> None:
    file.write_text(f"k {SECRET}")
    file.chmod(0o640)
    assert load(file).warning == ""
    file.chmod(0o644)
    assert load(file).warning == f"every user of this machine can read the keys in {file}; chmod 600 it"
    file.chmod(0o602)
    with pytest.raises(ConfigurationError, match="every user of this machine can write"):
        load(file)


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(ConfigurationError, match="signing-keys: cannot read"):
            load(path)


def test_secrets_are_not_in_the_text_of_the_keys() -> None:
    assert "secrets" not in repr(Keys({"k": bytes(32)}))


def test_new_keys_are_appended_to_a_file_of_the_owner(tmp_path: Path) -> None:
    path, before = tmp_path / "keys", os.umask(0)
    try:
        create(path, "a")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text(path.read_text().rstrip("\n"))  # as an editor may leave it
    create(path, "b")
    found = load(path).secrets
    assert list(found) == ["a", "b"]
    assert len(set(found.values())) == 2 and {len(secret) for secret in found.values()} == {32}


def test_a_new_key_spoils_no_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    create(path, "a")
    (tmp_path / "other").write_text("something else entirely\n")
    for file, key_id, why in (
        (path, "a", "has a key 'a' already"),
        (path, "a b", "'a b' is no id of a key"),
        (tmp_path / "other", "b", "line 1: it is not an id"),
    ):
        text = file.read_text()
        with pytest.raises(ConfigurationError, match=why):
            create(file, key_id)
        assert file.read_text() == text
    with pytest.raises(OSError, match=r"regular|directory"):
        create(tmp_path, "a")
