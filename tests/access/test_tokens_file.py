"""Tokens: their form, their file, and looking one up."""

from __future__ import annotations

import hashlib

import pytest

from freight.access import tokens
from freight.access.tokens import Token, Tokens, parse, write
from freight.errors import ConfigurationError

TEXT = "freight_" + "A-b_" * 10 + "012"
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()


def test_a_token_is_found_by_its_text_and_by_nothing_else() -> None:
    found = parse(f"# of CI\n\nci {DIGEST}\nother {'0' * 64} 2027-01-31\n".encode(), "f")
    assert found.find(TEXT) == Token("ci", bytes.fromhex(DIGEST))
    for text in ("", DIGEST, TEXT[:-1], TEXT + "A", TEXT.lower(), f" {TEXT}", "freight_" + "B" * 43, "x" * 10_000):
        assert found.find(text) is None
    assert Tokens().find(TEXT) is None


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2027-01-31", 1801353600.0),
        ("2027-01-31T12:00:00Z", 1801396800.0),
        ("2027-01-31T12:00:00+02:00", 1801389600.0),
    ],
)
def test_a_token_is_valid_before_its_expiry(text: str, at: float) -> None:
    token = parse(f"ci {DIGEST} {text}".encode(), "f").find(TEXT)
    assert token is not None
    assert token.expires_at == at
    assert not token.is_expired(at - 0.001)
    assert token.is_expired(at)
    assert not Token("ci", b"").is_expired(1e12)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ci", "a line is"),
        (f"ci {DIGEST} 2027-01-31 more", "a line is"),
        (f"ci {DIGEST[:-1]}", "64 hexadecimal"),
        (f"ci {DIGEST}0", "64 hexadecimal"),
        (f"ci {DIGEST} soon", "'soon' is not a time"),
        (f"ci {DIGEST} 2027-13-01", "is not a time"),
        (f"c:i {DIGEST}", "no name of a token"),
        (f"{'c' * 65} {DIGEST}", "no name of a token"),
        (f"other {'a' * 64}", "there already, as 'one'"),
        ("cï x", "not ASCII"),
        (TEXT, "is a token itself"),
        (f"ci {TEXT}", "64 hexadecimal"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number_and_without_a_token(line: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        parse(f"one {'a' * 64}\n{line}\n".encode(), "ci.tokens")
    assert str(caught.value).startswith("ci.tokens:2: ")
    assert TEXT not in str(caught.value)


def test_several_tokens_may_have_one_name() -> None:
    assert len(parse(f"ci {'a' * 64}\nci {'b' * 64}\n".encode(), "f").by_digest) == 2


def test_a_file_has_a_bounded_number_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    with pytest.raises(ConfigurationError, match=r"^f:3: a file has at most 2 tokens"):
        parse("".join(f"t {n:064}\n" for n in range(3)).encode(), "f")


@pytest.mark.parametrize("token", [Token("ci", bytes(32)), Token("a.b@c+d-e_f", bytes(range(32)), 1801353600.0)])
def test_what_is_written_is_read_as_the_same(token: Token) -> None:
    assert list(parse(write(token).encode(), "f").by_digest.values()) == [token]


def test_hashes_are_not_in_what_is_printed() -> None:
    assert "digest" not in repr(Token("ci", b"secret"))
