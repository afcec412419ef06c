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
