"""Cross-origin resource sharing: which pages of other origins may read responses by script. Pure.

The Fetch standard (https://fetch.spec.whatwg.org/#http-cors-protocol) defines the fields. A browser asks by a
*preflight* before a request that a form could not make: OPTIONS with Access-Control-Request-Method. It never has
credentials, and only a 2xx status allows the request, so it is answered without a look-up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from freight.model import Fields, Plan, Request

ANY_ORIGIN = "*"

ALLOWED_METHODS = "GET, HEAD"

ALLOWED_FIELDS = (
    "Authorization, Cache-Control, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range, "
    "Want-Repr-Digest"
)
"""The request fields that a script may set, beyond those that the Fetch standard always allows."""

EXPOSED_FIELDS = (
    "Accept-Ranges, Content-Disposition, Content-Encoding, Content-Length, Content-Range, ETag, Last-Modified, "
    "Repr-Digest, Retry-After, Server-Timing, X-Request-Id"
)
"""The response fields that a script may read, beyond those that the Fetch standard always exposes."""

_MAX_AGE_SECONDS = 86_400  # browsers shorten it: Chromium to two hours
_EXPOSE = ("Access-Control-Expose-Headers", EXPOSED_FIELDS)
_ANY_FIELDS = (
    ("Access-Control-Allow-Origin", ANY_ORIGIN),
    _EXPOSE,
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("Timing-Allow-Origin", ANY_ORIGIN),
)
_PREFLIGHT_FIELDS = (
    ("Access-Control-Allow-Methods", ALLOWED_METHODS),
    ("Access-Control-Allow-Headers", ALLOWED_FIELDS),
    ("Access-Control-Max-Age", str(_MAX_AGE_SECONDS)),
)


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """The origins whose pages may read responses: serialized origins, or :data:`ANY_ORIGIN` for all; empty for none.

    The server never allows credentials mode (cookies), so a page cannot borrow a visitor's identity.
    """

    origins: frozenset[str] = frozenset()

    def apply(self, plan: Plan, request: Request) -> Plan:
        """Return the response with the permission for the origin of the request.

        With a list of origins every response varies by Origin, even one to a request without it: a cache must not give
        it to a page (RFC 9110 section 12.5.5).
        """
        if not self.origins:
            return plan
        if ANY_ORIGIN in self.origins:
            return replace(plan, fields=(*plan.fields, *_ANY_FIELDS))
        origin = request.field("origin")
        fields = _vary_by_origin(plan.fields)
        if origin is None or origin not in self.origins:
            return replace(plan, fields=fields)
        shared = (
            ("Access-Control-Allow-Origin", origin),
            _EXPOSE,
            ("Cross-Origin-Resource-Policy", "cross-origin"),
            ("Timing-Allow-Origin", origin),
        )
        return replace(plan, fields=(*fields, *shared))

    def preflight(self, request: Request) -> Plan | None:
        """Return the response to a preflight; None if ``request`` is none, or no origin is allowed."""
        if not self.origins or request.method != "OPTIONS" or request.field("origin") is None:
            return None
        if request.field("access-control-request-method") is None:
            return None
        return self.apply(Plan(204, _PREFLIGHT_FIELDS, content=False), request)


def _vary_by_origin(fields: Fields) -> Fields:
    """Return the fields with Origin in Vary, in one line."""
    vary = [value for name, value in fields if name == "Vary"]
    others = tuple(field for field in fields if field[0] != "Vary")
    return (*others, ("Vary", ", ".join([*vary, "Origin"])))
