#!/usr/bin/env python3
"""Users download what they may: FastAPI authorises, and sends the file itself with freight's response.

usage: download_fastapi.py PORT DIRECTORY

  ./download_fastapi.py 8000 exports
  curl --user alice:secret --remote-name --remote-header-name localhost:8000/reports/1
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from freight.asgi import FileResponse, Files

REPORTS = {1: ("alice", "alice/1.csv"), 2: ("bob", "bob/2.csv")}  # in place of a database


def current_user(given: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> str:
    """Return the user of a request. In place of a real login."""
    if not secrets.compare_digest(given.password.encode(), b"secret"):
        raise HTTPException(401, headers={"WWW-Authenticate": "Basic"})
    return given.username


def make_app(directory: Path) -> FastAPI:
    """Return the application. Everybody may read what is below ``public`` in the directory."""
    app = FastAPI()
    app.mount("/public", Files(directory / "public"))

    @app.get("/reports/{number}")
    async def download(number: int, user: Annotated[str, Depends(current_user)]) -> FileResponse:
        owner, path = REPORTS.get(number, ("", ""))
        if owner != user:
            raise HTTPException(404)
        return FileResponse(directory / path, filename=f"report-{number}.csv")

    return app


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    uvicorn.run(make_app(Path(sys.argv[2])), port=int(sys.argv[1]))
