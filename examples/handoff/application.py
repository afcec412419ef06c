#!/usr/bin/env python3
"""Users download what they may: this application decides, a proxy in front asks it, and freight sends the files.

usage: application.py PORT

  freight serve exports --host unix:/run/freight/freight.sock --trusted-proxy unix
  ./application.py 8000
  nginx or Caddy with the configuration beside this file
  curl --user alice:secret --remote-name --remote-header-name http://localhost/reports/1
  curl --user alice:secret --remote-name http://localhost/files/alice/1.csv
"""

from __future__ import annotations

import base64
import secrets
import sys
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import quote, unquote_to_bytes
from wsgiref.simple_server import WSGIServer, make_server

REPORTS = {"/reports/1": ("alice", "/alice/1.csv"), "/reports/2": ("bob", "/bob/50 %.csv")}  # in place of a database
USERS = ("alice", "bob")

Environ = dict[str, Any]
Fields = list[tuple[str, str]]


def application(environ: Environ, start_response: Callable[[str, Fields], object]) -> Iterable[bytes]:
    """Answer a request of WSGI, without content: with a file for the proxy to get, or with a decision about one."""
    status, fields = respond(environ)
    start_response(status, [*fields, ("Cache-Control", "private")])
    return ()


def respond(environ: Environ) -> tuple[str, Fields]:
    """Return the status and the fields of the answer to a request."""
    user, path = current_user(environ), environ["PATH_INFO"]
    if user is None:
        return "401 Unauthorized", [("WWW-Authenticate", "Basic"), ("Content-Length", "0")]
    if path == "/authorize":  # from auth_request of nginx and forward_auth of Caddy
        if may_read(user, environ.get("HTTP_X_FORWARDED_URI", "")):
            return "204 No Content", []
    elif REPORTS.get(path, ("", ""))[0] == user:
        return "200 OK", [
            ("X-Accel-Redirect", "/freight" + quote(REPORTS[path][1])),
            ("Content-Disposition", f'attachment; filename="report-{path[-1]}.csv"'),
            ("Content-Length", "0"),
        ]
    return "403 Forbidden", [("Content-Length", "0")]


def current_user(environ: Environ) -> str | None:
    """Return the user of a request, or None. In place of a real login."""
    scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    try:
        user, _, password = base64.b64decode(given).decode().partition(":")
    except ValueError:
        return None
    right = secrets.compare_digest(password.encode(), b"secret")
    return user if scheme.lower() == "basic" and user in USERS and right else None


def may_read(user: str, uri: str) -> bool:
    """Return whether a user may read the file of a URI: each user the directory of that name below /files/.

    freight removes empty and dot segments, "/files/alice/../bob/" is "/files/bob/" there. A URI with one is refused
    here, so that both mean the same file by all others. Decode once, and never compare what is not decoded.
    """
    names = unquote_to_bytes(uri.partition("?")[0]).split(b"/")
    if any(name in (b"", b".", b"..") for name in names[1:-1]) or names[-1] in (b".", b".."):
        return False
    return names[:3] == [b"", b"files", user.encode()] and len(names) > 3


class Server(ThreadingMixIn, WSGIServer):
    """Serve each connection in a thread."""

    daemon_threads = True


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit(__doc__)
    with make_server("127.0.0.1", int(sys.argv[1]), application, Server) as server:
        print(f"application: http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
