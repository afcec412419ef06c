#!/usr/bin/env python3
"""Users download what they may: Flask authorises, and sends the file itself with freight's response.

usage: download_flask.py PORT DIRECTORY

  ./download_flask.py 8000 exports
  curl --user alice:secret --remote-name --remote-header-name localhost:8000/reports/1

In production: gunicorn --worker-class gthread --threads 40 with make_app.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from flask import Flask, abort, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from freight.wsgi import FileResponse, Files

REPORTS = {1: ("alice", "alice/1.csv"), 2: ("bob", "bob/2.csv")}  # in place of a database


def current_user() -> str:
    """Return the user of the request. In place of a real login."""
    given = request.authorization
    if given is None or not secrets.compare_digest((given.password or "").encode(), b"secret"):
        abort(401, www_authenticate="Basic")
    return given.username or ""


def make_app(directory: Path) -> Flask:
    """Return the application. Everybody may read what is below ``public`` in the directory."""
    app = Flask(__name__)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/public": Files(directory / "public")})

    @app.get("/reports/<int:number>")
    def download(number: int) -> FileResponse:
        owner, path = REPORTS.get(number, ("", ""))
        if owner != current_user():
            abort(404)
        return FileResponse(directory.resolve() / path, filename=f"report-{number}.csv")

    return app


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    make_app(Path(sys.argv[2])).run(port=int(sys.argv[1]), threaded=True)
