#!/usr/bin/env python3
"""Users download what they may: Flask authorises, signs a link and redirects to it; freight sends the file.

usage: signed_flask.py PORT KEYS BASE_URL

  freight key new keys
  freight serve exports --port 8080 --signing-keys keys
  ./signed_flask.py 8000 keys http://localhost:8080
  curl --location --user alice:secret --remote-name --remote-header-name localhost:8000/reports/1
"""

from __future__ import annotations

import secrets
import sys
from datetime import timedelta

from flask import Flask, Response, abort, redirect, request

import freight

REPORTS = {1: ("alice", "/alice/1.csv"), 2: ("bob", "/bob/2.csv")}  # in place of a database


def make_app(keys: str, base_url: str) -> Flask:
    """Return the application. ``keys`` is the file of --signing-keys, ``base_url`` the address of freight."""
    app = Flask(__name__)

    def current_user() -> str:
        given = request.authorization
        if given is None or not secrets.compare_digest((given.password or "").encode(), b"secret"):
            abort(Response(status=401, headers={"WWW-Authenticate": "Basic"}))  # in place of real passwords
        return given.username or ""

    @app.get("/reports/<int:number>")
    def download(number: int) -> Response:
        user = current_user()
        owner, path = REPORTS.get(number, ("", ""))
        if owner != user:
            abort(404)
        link = freight.sign_url(
            path, keys=keys, expires=timedelta(minutes=1), base_url=base_url, filename=f"report-{number}.csv"
        )
        response = redirect(link, 303)
        response.headers.update({"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        return response

    return app


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    port, keys, base_url = sys.argv[1:]
    make_app(keys, base_url).run(port=int(port))
