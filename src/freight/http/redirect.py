"""Redirect plain HTTP to HTTPS. Pure."""

from __future__ import annotations

import re

from freight.http.error_pages import Link
from freight.http.error_response import plan_error
from freight.http.redacted import redacted
from freight.http.target import as_uri
from freight.model import Plan, Request

HTTPS_PORT = 443
_ZONE = r"(?:%(?:25)?[A-Za-z0-9._~-]++)?"
_NAME = re.compile(rf"(\[[0-9A-Fa-f:.]++{_ZONE}\]|[A-Za-z0-9._-]++)(?::[0-9]*+)?+")


def redirect(request: Request, port: int) -> Plan:
    """Return a 308 to the same target and host at ``port`` by https; 400 if Host names no host.

    The connection closes after the response: the client continues on another one.
    """
    accept, named = request.field("accept"), _NAME.fullmatch(request.field("host") or "")
    if named is None:
        return plan_error(
            400, "The request has no valid Host field, so the server cannot redirect it to HTTPS.", accept, close=True
        )
    if not request.target.startswith("/"):  # of OPTIONS and CONNECT
        return plan_error(421, "This port only redirects to HTTPS. Use https://.", accept, close=True)
    # A zone is written as RFC 6874 demands. It means something to this client only, as it has sent it.
    host = named[1].replace("%25", "%").replace("%", "%25")
    at = host if port == HTTPS_PORT else f"{host}:{port}"
    location = as_uri(f"https://{at}{request.target}")
    detail, fields = "These files are served over HTTPS.", (("Location", location),)
    return plan_error(308, detail, accept, fields, close=True, link=Link(location, redacted(location)))
