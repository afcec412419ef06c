"""``freight.sign_url``: a link that lets its holder download one file until it expires. For applications."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_network
from urllib.parse import quote, urlsplit

from freight.access import keys as key_files
from freight.access import signing
from freight.access.keys import Keys
from freight.access.signing import Link
from freight.http.target import encode

_NO_SEGMENTS = ("", ".", "..")


def sign_url(
    path: str,
    *,
    keys: str | os.PathLike[str] | Mapping[str, bytes],
    expires: timedelta | float,
    base_url: str = "",
    client: str = "",
    filename: str = "",
    key: str = "",
    now: float | None = None,
) -> str:
    """Return a URL by which anybody who has it can download ``path`` until it expires.

    - ``path``: as the server names the file, decoded: ``/exports/42.parquet``. With a slash at its end it is a
      directory, and the link opens its listing, but nothing in it.
    - ``keys``: the file of ``--signing-keys``, read at each call; or the secrets by id, the one that signs last.
    - ``expires``: for how long the link is good, as a timedelta or in seconds, rounded down to whole seconds.
    - ``base_url``: what stands before the path: ``https://files.example.org``. Without it the result is a path and a
      query.
    - ``client``: the address or network that may use the link, ``192.0.2.0/24``; "" for all.
    - ``filename``: the name under which clients save the file; "" for its own.
    - ``key``: the id of the key that signs; "" for the last one.
    - ``now``: seconds since the epoch; None for the clock's time.

    Raise ValueError if an argument is not valid: a path with ``..`` or an empty segment among others, so a path that an
    application puts together cannot leave its directory. Raise :class:`~freight.errors.ConfigurationError` if the file
    of keys is not valid or cannot be read.
    """
    key_id, secret = _keys(keys).to_sign(key)
    link = Link(_path(path), _expires(expires, now), key_id, _client(client), _filename(filename))
    return _base(base_url) + url_of(link, signing.sign(link, secret))


def url_of(link: Link, signature: str) -> str:
    """Return the path and query of a link."""
    optional = [("client", link.client), ("filename", link.filename)]
    pairs = [("expires", str(link.expires)), ("key", link.key), *(pair for pair in optional if pair[1])]
    query = "&".join(f"{name}={quote(value, safe='/:')}" for name, value in pairs)
    return f"{link.path}?{query}&signature={signature}"


def _keys(keys: str | os.PathLike[str] | Mapping[str, bytes]) -> Keys:
    if not isinstance(keys, Mapping):
        return key_files.load(keys)
    if not keys:
        raise ValueError("keys: there is none")
    for key_id, secret in keys.items():
        if not signing.KEY_ID.fullmatch(key_id):
            raise ValueError(f"keys: {key_id!r} is no id; use up to 32 letters, digits, '.', '_' and '-'")
        key_files.check_secret(secret)
    return Keys(keys)


def _path(path: str) -> str:
    segments = path.split("/")
    if segments[0]:
        raise ValueError(f"path: {path!r} does not start with /")
    names, directory = segments[1:], path.endswith("/")
    if directory:
        names.pop()
    if any(name in _NO_SEGMENTS for name in names) or "\0" in path:
        raise ValueError(f"path: {path!r} has an empty segment, a . or .., or NUL")
    try:
        return encode(names, directory)
    except UnicodeEncodeError:
        raise ValueError(f"path: {path!r} is no text") from None


def _expires(expires: timedelta | float, now: float | None) -> int:
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else float(expires)
    started = time.time() if now is None else now
    if not 1 <= seconds <= signing.MAX_EXPIRES - started:
        raise ValueError(f"expires: {expires!r} is not a time of at least 1 second that ends before the year 33,000")
    return int(started + seconds)


def _client(client: str) -> str:
    if not client:
        return ""
    try:
        if "%" in client:
            raise ValueError("a zone is not part of an address in a link")
        return str(ip_network(client))
    except ValueError as error:
        raise ValueError(f"client: {error}") from None


def _filename(filename: str) -> str:
    if not signing.is_filename(filename):
        raise ValueError(f"filename: {filename!r} has a slash, a control character, or more than 255 bytes")
    return filename


def _base(base_url: str) -> str:
    if not base_url:
        return ""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"base_url: {base_url!r} is not like https://files.example.org or https://example.org/files")
    return base_url.rstrip("/")
