"""The redirect to HTTPS: to the host that the client named."""

from __future__ import annotations

import pytest

from freight.http.redirect import redirect
from freight.model import Request


@pytest.mark.parametrize(
    ("host", "location"),
    [
        ("x.example", "https://x.example:8443/a"),
        ("[::1]:80", "https://[::1]:8443/a"),
        ("[fe80::1%25eth0]:80", "https://[fe80::1%25eth0]:8443/a"),
        ("[fe80::1%eth0]", "https://[fe80::1%25eth0]:8443/a"),  # RFC 6874 section 2
        ("x/y", None),
    ],
)
def test_the_location_has_the_host_of_the_request(host: str, location: str | None) -> None:
    plan = redirect(Request("GET", "/a", (("host", host),)), 8443)
    assert plan.status == (400 if location is None else 308)
    assert dict(plan.fields).get("Location") == location


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/a%20b?x=%C3%A9", "/a%20b?x=%C3%A9"),
        ("/\xc3\xa9?\xe9", "/%C3%A9?%E9"),
        ("/\\evil.example", "/%5Cevil.example"),
        ('/"<a>"', "/%22%3Ca%3E%22"),
        ("//evil.example/", "//evil.example/"),
        ("/%zz", "/%zz"),
    ],
)
def test_the_location_is_a_uri_whatever_the_target_is(target: str, sent: str) -> None:
    """RFC 9110 section 10.2.2, RFC 3986 section 2: many clients send bytes that no URI has."""
    plan = redirect(Request("GET", target, (("host", "x"), ("accept", "text/html"))), 443)
    assert dict(plan.fields)["Location"] == f"https://x{sent}"
    assert f'href="https://x{sent}"'.encode() in b"".join(part for part in plan.parts if isinstance(part, bytes))
