"""``freight passwd``: set the password of a user in a file of users."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from freight.access import tokens, users
from freight.errors import ConfigurationError
from freight.tools.access import secret_file
from freight.tools.extras import require


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Set the password of a user.",
    epilog="""\b
Examples:
  freight passwd users alice                    asks for the password twice
  pwgen -s 20 1 | freight passwd users ci       the first line of standard input
  freight passwd users alice --delete
  freight serve /data --users users""",
)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("user")
@click.option("--delete", is_flag=True, help="Remove the user.")
@click.option(
    "--cost",
    type=click.IntRange(users.MIN_COST, users.MAX_COST),
    default=users.DEFAULT_COST,
    metavar="NUMBER",
    help=f"Work of each check: one more doubles it. {users.MIN_COST} to {users.MAX_COST}. "
    f"[default: {users.DEFAULT_COST}, about 50 ms]",
)
def passwd(file: Path, user: str, delete: bool, cost: int) -> None:
    """Set the password of USER in FILE, for freight serve --users FILE.

    The file is made, with mode 0600, if it does not exist. Only the bcrypt hash of the password is stored. A running
    server reads the file again on SIGHUP.
    """
    if problem := users.wrong_name(user):
        raise ConfigurationError(problem)
    hashed = b"" if delete else _hash(_ask(user), cost)
    with secret_file.locked(file) as path:
        lines = secret_file.split(secret_file.read(path))
        users.parse(b"\n".join(lines), str(file))  # an invalid file stays as it is
        if not (new := _changed(lines, user.encode() + b":", hashed)):
            raise ConfigurationError(f"{file}: there is no user {user!r}")
        secret_file.replace(path, new[0])
    click.echo(f"{file}: {new[1]} {user}", err=True)


def _changed(lines: list[bytes], start: bytes, hashed: bytes) -> tuple[list[bytes], str] | None:
    """Return the lines after the change, and what was done. An empty hash removes the user; None: there is none."""
    at = next((number for number, line in enumerate(lines) if line.startswith(start)), None)
    if not hashed:
        return None if at is None else ([*lines[:at], *lines[at + 1 :]], "removed")
    if at is None:
        return [*lines, start + hashed], "added"
    return [*lines[:at], start + hashed, *lines[at + 1 :]], "changed"


def _ask(user: str) -> bytes:
    """Return a password from the terminal, typed twice, or from the first line of standard input."""
    if sys.stdin.isatty():
        text = click.prompt(f"Password of {user}", hide_input=True, confirmation_prompt="Again", err=True)
    else:
        text = sys.stdin.buffer.readline().rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    password = os.fsencode(text)
    try:
        password.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError("the password is not UTF-8") from None
    if not password:
        raise ConfigurationError("the password is empty")
    if any(byte < 0x20 or byte == 0x7F for byte in password):
        raise ConfigurationError("a password cannot have control characters")
    if len(password) > users.PASSWORD_BYTES:
        raise ConfigurationError(f"the password has {len(password)} bytes; bcrypt uses {users.PASSWORD_BYTES}")
    if tokens.is_token(text):
        raise ConfigurationError("this is a token, not a password; freight token new makes one for --tokens")
    return password


def _hash(password: bytes, cost: int) -> bytes:
    require("bcrypt", "freight passwd")
    import bcrypt

    return bcrypt.hashpw(password, bcrypt.gensalt(cost))
