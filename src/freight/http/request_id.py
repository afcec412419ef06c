"""X-Request-Id: which values are taken from a proxy, and the field in a response. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from freight.model import Plan

# No quotes and no blanks: the value stands in logs and on command lines. Base64 and URNs are included.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._~+/=:@\-]{1,128}")


def is_well_formed(text: str) -> bool:
    """Return whether a text may be a request id: at most 128 letters, digits and ``._~+/=:@-``."""
    return _WELL_FORMED.fullmatch(text) is not None


def with_request_id(plan: Plan, request_id: str) -> Plan:
    """Return the plan with an X-Request-Id. With "" return it unchanged."""
    return replace(plan, fields=(*plan.fields, ("X-Request-Id", request_id))) if request_id else plan
