#!/usr/bin/env python3
"""Users download what they may: Django authorises, signs a link and redirects to it; freight sends the file.

usage: signed_django.py PORT KEYS BASE_URL

  freight key new keys
  freight serve exports --port 8080 --signing-keys keys
  ./signed_django.py 8000 keys http://localhost:8080
  curl --location --user alice:secret --remote-name --remote-header-name localhost:8000/reports/1
"""

from __future__ import annotations

import secrets
import sys
from base64 import b64decode
from datetime import timedelta
from wsgiref.simple_server import make_server

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path as route

import freight

REPORTS = {1: ("alice", "/alice/1.csv"), 2: ("bob", "/bob/2.csv")}  # in place of a database


def current_user(request: HttpRequest) -> str | None:
    """Return the user of a request. In place of request.user and a real login."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        name, _, password = b64decode(given, validate=True).decode().partition(":") if kind == "Basic" else ("", "", "")
    except ValueError:
        return None
    return name if secrets.compare_digest(password.encode(), b"secret") else None


def download(request: HttpRequest, number: int) -> HttpResponse:
    """Redirect a user to a link of a report that is theirs."""
    user = current_user(request)
    if user is None:
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Basic"})
    owner, path = REPORTS.get(number, ("", ""))
    if owner != user:
        raise Http404
    link = freight.sign_url(
        path,
        keys=settings.FREIGHT_KEYS,
        expires=timedelta(minutes=1),
        base_url=settings.FREIGHT_URL,
        filename=f"report-{number}.csv",
    )
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return HttpResponseRedirect(link, status=303, headers=headers)


urlpatterns = [route("reports/<int:number>", download)]

if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["localhost", "127.0.0.1"],
        SECRET_KEY=secrets.token_urlsafe(),
        FREIGHT_KEYS=sys.argv[2],
        FREIGHT_URL=sys.argv[3],
    )
    with make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application()) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()
