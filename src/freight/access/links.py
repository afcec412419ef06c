"""Signed links as a server checks them: the signature first, then the time, then the client.

A link that has expired still resumes a download for a day. The proof that the download began before is the entity tag
in the request: a client knows it only from an earlier response. The request must have Range, and If-Range or If-Match
with one strong tag, and the answer must be 206; the file server checks the latter.

Programs that read a file by many ranges send one link a thousand times. To read and verify it takes a quarter of the
time of such a request, so the last valid ones are remembered. Time and client are checked for each request.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from freight.access import signing
from freight.access.keys import Keys
from freight.errors import ConfigurationError
from freight.http.client_address import Networks
from freight.model import Grant, Request

RESUME_SECONDS = 86_400
"""For how long after its expiry a link resumes a download that began before."""

_MOST_REMEMBERED = 256
_LONGEST_REMEMBERED = 512  # characters of a target: together less than 512 KiB, whatever clients append to their links

_NOT_VALID = "The signature of this link is not valid: the link was changed, or its key has been withdrawn."


class _Valid(NamedTuple):
    """A link whose signature is right. ``target`` is the request target without it."""

    link: signing.Link
    target: str
    grant: Grant


class LinkChecker:
    """Checks the links that ``keys`` may have signed."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self._remembered: dict[str, _Valid] = {}

    def check(self, request: Request, now: float) -> Request | str | None:
        """Check the link of a request. ``now`` is in seconds since the epoch. Never raises.

        Return the request with what the link grants, and with a target without the link, so that nothing after this
        can show it. Return a sentence for the client if the link is not valid, or None if the request has none.
        """
        valid = self._remembered.get(request.target) or self._verify(request.target)
        if not isinstance(valid, _Valid):
            return valid
        link, target, grant = valid
        if now >= link.expires:
            if now >= link.expires + RESUME_SECONDS or not _may_resume(request):
                return expired_sentence(link.expires)
            grant = replace(grant, expired_at=link.expires)
        if link.client and not _is_in(link.client, request.client):
            return "This link is for another client: your address is not in the network that it was made for."
        return replace(request, target=target, grant=grant)

    def _verify(self, target: str) -> _Valid | str | None:
        signed = signing.read(target)
        if signed is None:
            return None
        if isinstance(signed, signing.Malformed):
            return signed.why
        link = signed.link
        secret = self.keys.secrets.get(link.key)
        if secret is None or not signing.is_signed_by(signed, secret):
            return _NOT_VALID
        plain = f"{link.path}?{signed.query}" if signed.query else link.path
        valid = _Valid(link, plain, Grant(is_link=True, filename=link.filename))
        if len(target) <= _LONGEST_REMEMBERED:
            if len(self._remembered) == _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[target] = valid
        return valid


def expired_sentence(expires: int) -> str:
    """Return what a client reads whose link has expired."""
    when = datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"This link expired at {when}. Ask for a new one where you got it."


def _may_resume(request: Request) -> bool:
    """Return whether a request names the version that it has a part of, by one strong entity tag."""
    if request.method != "GET" or request.field("range") is None:
        return False
    tag = request.field("if-range") or request.field("if-match") or ""
    return tag.startswith('"') and tag.endswith('"') and tag.count('"') == 2


@lru_cache(maxsize=_MOST_REMEMBERED)  # of valid links only: to parse addresses takes as long as to verify a link
def _is_in(network: str, client: str) -> bool:
    try:
        return client in Networks.parse((network,))
    except ConfigurationError:  # signed by a program that does not check it
        return False
