#!/usr/bin/env python3
"""Users download what they may: FastAPI authorises, signs a link and redirects to it; freight sends the file.

usage: signed_fastapi.py PORT KEYS BASE_URL

  freight key new keys
  freight serve exports --port 8080 --signing-keys keys
  ./signed_fastapi.py 8000 keys http://localhost:8080
  curl --location --user alice:secret --remote-name --remote-header-name localhost:8000/reports/1
"""

from __future__ import annotations

import secrets
import sys
from datetime import timedelta
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import RedirectResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials

import freight

REPORTS = {1: ("alice", "/alice/1.csv"), 2: ("bob", "/bob/2.csv")}  # in place of a database


def current_user(given: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> str:
    """Return the user of a request. In place of a real login."""
    if not secrets.compare_digest(given.password.encode(), b"secret"):
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})
    return given.username


def make_app(keys: str, base_url: str) -> FastAPI:
    """Return the application. ``keys`` is the file of --signing-keys, ``base_url`` the address of freight."""
    app = FastAPI()

    @app.get("/reports/{number}")
    def download(number: int, user: Annotated[str, Depends(current_user)]) -> RedirectResponse:
        owner, path = REPORTS.get(number, ("", ""))
        if owner != user:
            raise HTTPException(404)
        link = freight.sign_url(
            path, keys=keys, expires=timedelta(minutes=1), base_url=base_url, filename=f"report-{number}.csv"
        )
        return RedirectResponse(link, 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})

    return app


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    port, keys, base_url = sys.argv[1:]
    uvicorn.run(make_app(keys, base_url), port=int(port))
