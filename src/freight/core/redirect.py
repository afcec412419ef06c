"""What plain HTTP is answered where files are served by HTTPS: go there."""

from __future__ import annotations

import re

from freight.core.decide import refuse
from freight.core.pages import Link
from freight.model import Plan, Request

HTTPS_PORT = 443
_NAME = re.compile(r"(\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9._-]++)(?::[0-9]*+)?+")


def redirect(request: Request, port: int) -> Plan:
    """308 to the same target at ``port`` of the same host by https; 400 where Host names none.

    The connection ends behind it: the client goes elsewhere.
    """
    accept, named = request.field("accept"), _NAME.fullmatch(request.field("host") or "")
    if named is None:
        return refuse(
            400, "The request has no valid Host field, so there is no HTTPS address to go on to.", accept, close=True
        )
    if not request.target.startswith("/"):  # of OPTIONS and CONNECT
        return refuse(421, "This port only leads to HTTPS. Use https://.", accept, close=True)
    at = named[1] if port == HTTPS_PORT else f"{named[1]}:{port}"
    location = f"https://{at}{request.target}"
    detail, fields = "These files are served by HTTPS.", (("Location", location),)
    return refuse(308, detail, accept, fields, close=True, link=Link(location, location))
