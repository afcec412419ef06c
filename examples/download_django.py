#!/usr/bin/env python3
"""Users download what they may: Django authorises, and sends the file itself with the parts of freight's response.

usage: download_django.py PORT DIRECTORY

  ./download_django.py 8000 exports
  curl --user alice:secret --remote-name --remote-header-name localhost:8000/reports/1

In production: gunicorn --worker-class gthread --threads 40 with make_app.
"""

from __future__ import annotations

import secrets
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIServer, make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import path as route

from freight.wsgi import FileResponse

REPORTS = {1: ("alice", "alice/1.csv"), 2: ("bob", "bob/2.csv")}  # in place of a database


def current_user(request: HttpRequest) -> str | None:
    """Return the user of a request, or None. In place of a real login."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        name, _, password = b64decode(given, validate=True).decode().partition(":") if kind == "Basic" else ("", "", "")
    except ValueError:
        return None
    return name if secrets.compare_digest(password.encode(), b"secret") else None


def make_app(directory: Path) -> Callable[..., Any]:
    """Return the application."""

    def download(request: HttpRequest, number: int) -> HttpResponseBase:
        user = current_user(request)
        if user is None:
            return HttpResponse(status=401, headers={"WWW-Authenticate": "Basic"})
        owner, path = REPORTS.get(number, ("", ""))
        if owner != user:
            raise Http404
        response = FileResponse(directory / path, filename=f"report-{number}.csv")
        status, fields, body = response.parts(request.META)
        return StreamingHttpResponse(body, status=int(status[:3]), headers=dict(fields))

    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(route("reports/<int:number>", download),))
    django.setup()
    return get_wsgi_application()


class Server(ThreadingMixIn, WSGIServer):
    """A server for trying it."""

    daemon_threads = True


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with make_server("127.0.0.1", int(sys.argv[1]), make_app(Path(sys.argv[2])), Server) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
