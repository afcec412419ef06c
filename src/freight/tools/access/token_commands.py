"""The commands of ``freight token``."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import click

from freight.access import tokens
from freight.access.tokens import Token
from freight.errors import ConfigurationError
from freight.tools.access import secret_file
from freight.units import parse_seconds

_FILE = click.argument("file", type=click.Path(path_type=Path))
_DAY_SECONDS = 86_400
_HASH_DIGITS = 8


@click.command(short_help="Make a token and print it.")
@_FILE
@click.argument("name")
@click.option("--expires", metavar="TIME", help="90d, 12h, or a date: 2027-01-31. [default: never]")
def new(file: Path, name: str, expires: str | None) -> None:
    """Make a token called NAME, print it on standard output, and add its hash to FILE.

    The token is not stored, and cannot be printed again. Several tokens may have one name, as while one replaces
    another.
    """
    if not tokens.is_name(name):
        raise ConfigurationError(f"{name!r} cannot be the name of a token: {tokens.NAME_RULE}")
    now = time.time()
    expires_at = None if expires is None else _expiry(expires, now)
    if expires_at is not None and expires_at <= now:
        raise ConfigurationError(f"--expires: {expires} is in the past")
    text = tokens.PREFIX + secrets.token_urlsafe(tokens.RANDOM_BYTES)
    with secret_file.locked(file) as path:
        lines = secret_file.split(secret_file.read(path))
        lines.append(tokens.write(Token(name, tokens.digest_of(text), expires_at)).encode())
        tokens.parse(b"\n".join(lines), str(file))  # an invalid file stays as it is
        secret_file.replace(path, lines)
    click.echo(text)
    click.echo(f"{file}: added {name}; the token is shown only here", err=True)


@click.command("list", short_help="List the names of the tokens.")
@_FILE
def list_tokens(file: Path) -> None:
    """List the tokens in FILE: name, the first digits of the hash, expiry."""
    now = time.time()
    for _, each in _read(file):
        expiry = "never expires" if each.expires_at is None else f"expires {tokens.format_time(each.expires_at)}"
        if each.is_expired(now):
            expiry = f"expired {tokens.format_time(each.expires_at or 0)}"
        click.echo(f"{each.name}  {each.digest.hex()[:_HASH_DIGITS]}  {expiry}")


@click.command(short_help="Remove a token.")
@_FILE
@click.argument("name")
@click.option("--hash", "digits", metavar="DIGITS", default="", help="Only the token whose hash begins with DIGITS.")
def revoke(file: Path, name: str, digits: str) -> None:
    """Remove all tokens called NAME from FILE. A running server needs SIGHUP to know."""
    with secret_file.locked(file) as path:
        gone = {
            number for number, each in _read(path) if each.name == name and each.digest.hex().startswith(digits.lower())
        }
        if not gone:
            of = f" with the hash {digits}" if digits else ""
            raise ConfigurationError(f"{file}: there is no token {name!r}{of}")
        lines = secret_file.split(secret_file.read(path))
        secret_file.replace(path, [line for number, line in enumerate(lines, 1) if number not in gone])
    click.echo(f"{file}: removed {len(gone)} token{'s' if len(gone) > 1 else ''} called {name}", err=True)


def _read(path: Path) -> list[tuple[int, Token]]:
    if not path.exists():
        raise ConfigurationError(f"cannot read {path}: there is no such file")
    return list(tokens.lines(secret_file.read(path), str(path)))


def _expiry(text: str, now: float) -> float:
    """Return the time of a duration or a date. Raise ConfigurationError."""
    days = text.removesuffix("d")
    try:
        if days != text and days.isascii() and days.isdecimal() and len(days) <= 5:
            return now + int(days) * _DAY_SECONDS
        return tokens.parse_time(text) if "-" in text else now + parse_seconds(text)
    except ValueError as error:
        raise ConfigurationError(f"--expires: {error}") from None


COMMANDS = {"list": list_tokens, "new": new, "revoke": revoke}
