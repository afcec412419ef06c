"""What plain HTTP is answered where files are served by HTTPS: go there."""

from __future__ import annotations

import re

from freight.core.decide import refuse
from freight.model import Plan, Request

HTTPS_PORT = 443
_NAME = re.compile(r"(\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9._-]++)(?::[0-9]*+)?+")


def redirect(request: Request, port: int) -> Plan:
    """308 to the same target at ``port`` of the same host by https; 400 where Host names none.

    The connection ends behind it: the client goes elsewhere.
    """
    accept, named = request.field("accept"), _NAME.fullmatch(request.field("host") or "")
    if named is None:
        return refuse(400, "Host must say which host this is for, and where to go on by HTTPS.", accept, close=True)
    if not request.target.startswith("/"):  # of OPTIONS and CONNECT
        return refuse(421, "Ask by https.", accept, close=True)
    at = named[1] if port == HTTPS_PORT else f"{named[1]}:{port}"
    location = f"https://{at}{request.target}"
    return refuse(308, "These files are served by HTTPS.", accept, (("Location", location),), close=True)
