"""Files of users and tokens, and the fields that sign in."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

import bcrypt

PASSWORD, TOKEN = "open sesame", "freight_" + "Tk" * 21 + "0"
BEARER = f"Authorization: Bearer {TOKEN}"


def basic(user: str, password: str) -> str:
    return f"Authorization: Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


ALICE, BOB = basic("alice", PASSWORD), basic("bob", PASSWORD)


def write_access_files(folder: Path) -> list[str]:
    """Write the users alice and bob, whose passwords cost little to check, and the token ci. Return the options."""
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "users").write_text(f"alice:{stored}\nbob:{stored}\n")
    (folder / "tokens").write_text(f"ci {hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    return ["--users", str(folder / "users"), "--tokens", str(folder / "tokens")]
