"""The secret of the admin listener: which files hold one, and which requests have it."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from freight.errors import ConfigurationError
from freight.model import Request
from freight.observe.admin_token import read_token, refuse

TOKEN = b"0123456789abcdef:%"


def request(target: str, *credentials: str) -> Request:
    fields = tuple(("authorization", each) for each in credentials)
    return Request("GET", target, fields)


def basic(text: bytes) -> str:
    return "Basic " + b64encode(text).decode()


@pytest.mark.parametrize(
    "credentials",
    ["Bearer 0123456789abcdef:%", "bearer  0123456789abcdef:% ", basic(b"x:" + TOKEN), basic(b":" + TOKEN)],
)
def test_the_token_is_a_bearer_token_or_a_password_with_any_user_name(credentials: str) -> None:
    assert refuse(request("/status", credentials), TOKEN) is None


@pytest.mark.parametrize(
    "credentials",
    [
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("Bearer 0123456789abcdef:",),
        ("Bearer 0123456789abcdef:%%",),
        ("Bearer \xe90123456789abcdef:%",),
        ("Bearer \u20ac",),
        ("Bearer wrong", "Bearer 0123456789abcdef:%"),
        (basic(TOKEN),),
        (basic(b"x:"),),
        (basic(b"x:wrong"),),
        ("Basic !",),
        ("Basic \xe9",),
        ("Basic eDow",),
        ("Digest 0123456789abcdef:%",),
        ("0123456789abcdef:%",),
    ],
)
def test_anything_else_is_401_with_both_challenges(credentials: tuple[str, ...]) -> None:
    plan = refuse(request("/status", *credentials), TOKEN)
    assert plan is not None
    assert plan.status == 401
    challenges = [value.partition(" ")[0] for name, value in plan.fields if name == "WWW-Authenticate"]
    assert challenges == ["Bearer", "Basic"]
    assert not any(TOKEN in part for part in plan.parts if isinstance(part, bytes))


@pytest.mark.parametrize("target", ["/", "/status?x", "/metrics", "/events", "/dashboard/charts.js", "/nothing"])
def test_every_path_needs_it(target: str) -> None:
    assert refuse(request(target), TOKEN) is not None


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/readyz?full"])
def test_probes_do_not(target: str) -> None:
    assert refuse(request(target), TOKEN) is None


@pytest.mark.parametrize("content", [TOKEN, TOKEN + b"\n", b"\n " + TOKEN + b"\r\n", b"x" * 1024])
def test_the_file_has_the_token_without_blanks_around_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    assert read_token(tmp_path / "token") == content.strip()


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"0123456789 abcdef", b"0123456789abcdef\xe9", b"x" * 1025])
def test_another_content_is_an_error_that_does_not_show_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        read_token(tmp_path / "token")
    assert refused.value.setting == "admin-token-file"
    assert not content.strip() or content.strip().decode("latin-1") not in str(refused.value)


def test_a_file_that_is_missing_or_none_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot read"):
            read_token(path)
