"""The Authorization field: what is read as a name and a password, as a token, and as neither."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.access.credentials import MAX_PASSWORD_BYTES, MAX_USER_BYTES, Basic, Bearer, Unusable, read


def basic(data: bytes) -> str:
    return f"Basic {b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (basic(b"alice:open sesame"), Basic("alice", b"open sesame")),
        (basic(b"alice:a:b:"), Basic("alice", b"a:b:")),
        (basic(b"alice:"), Basic("alice", b"")),
        (basic(b":secret"), Basic("", b"secret")),
        (basic("jürgen:schön".encode()), Basic("jürgen", "schön".encode())),
        (basic("jürgen:schön".encode("latin-1")), Basic("jürgen", "schön".encode())),  # Python requests
        (basic(b"alice:secret").replace("Basic ", "bAsIc  "), Basic("alice", b"secret")),
        ("Bearer freight_abc-_~+/==", Bearer("freight_abc-_~+/==")),
        ("bearer x", Bearer("x")),
        ("", Unusable.ABSENT),
        ("Negotiate abc", Unusable.ABSENT),
        ('Digest username="alice"', Unusable.ABSENT),
        ("Basics abc", Unusable.ABSENT),
        ("Basic", Unusable.MALFORMED),
        ("Bearer", Unusable.MALFORMED),
        ("Basic YWxpY2U6", Basic("alice", b"")),
        ("Basic YWxpY2U", Unusable.MALFORMED),
        ("Basic YWxp Y2U6", Unusable.MALFORMED),
        ("Basic YWxp\xe9Y2U6", Unusable.MALFORMED),
        ("Basic !!!!", Unusable.MALFORMED),
        (basic(b"alice"), Unusable.MALFORMED),
        (basic(b"alice:a\nb"), Unusable.MALFORMED),
        (basic(b"ali\0ce:ab"), Unusable.MALFORMED),
        (basic(b"alice:a\x7f"), Unusable.MALFORMED),
        (basic(b"a" * MAX_USER_BYTES + b":" + b"b" * MAX_PASSWORD_BYTES), Basic("a" * 255, b"b" * 1024)),
        (basic(b"a" * (MAX_USER_BYTES + 1) + b":b"), Unusable.MALFORMED),
        (basic(b"a:" + b"b" * (MAX_PASSWORD_BYTES + 1)), Unusable.MALFORMED),
        (basic(b"a:" + b"b" * 100_000), Unusable.MALFORMED),
        ("Bearer x y", Unusable.MALFORMED),
        ("Bearer x, Basic YTpi", Unusable.MALFORMED),
        ("Bearer " + "x" * 100_000, Unusable.MALFORMED),
        ("Basic YTpi, Basic YTpj", Unusable.MALFORMED),
    ],
)
def test_a_field_is_read_as_its_scheme_says(value: str, found: object) -> None:
    assert read((("host", "a"), ("authorization", value), ("accept", "*/*"))) == found


def test_two_fields_are_not_joined_and_not_chosen_from() -> None:
    one, other = ("authorization", basic(b"alice:a")), ("authorization", basic(b"bob:b"))
    assert read((one, other)) is read((one, one)) is Unusable.SEVERAL


def test_a_request_without_the_field_has_no_credentials() -> None:
    assert read((("proxy-authorization", basic(b"alice:a")), ("x-authorization", "Bearer x"))) is Unusable.ABSENT


def test_secrets_are_not_in_what_is_printed() -> None:
    found = read((("authorization", basic(b"alice:geheim")),))
    assert "geheim" not in repr(found)
    assert "geheim" not in repr(read((("authorization", "Bearer geheim"),)))


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for scheme in ("", "Basic ", "Bearer "):
        read((("authorization", scheme + text),))
