"""The keys that sign links: a file with a line for each, ``ID SECRET``, the secret in base64.

The last key signs; every key of the file verifies. So a key is rotated in three steps: append a new one and have every
server read the file again, wait until the last link of the old one has expired, delete the old one.
"""

from __future__ import annotations

import binascii
import errno
import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from freight.access.signing import KEY_ID
from freight.config.operator_file import open_regular
from freight.errors import ConfigurationError

SETTING = "signing-keys"

SECRET_BYTES = 32
"""The length of a new secret, and the shortest that is accepted: as long as the output of SHA-256 (RFC 2104)."""

_MAX_SECRET_BYTES = 128
_MAX_FILE_BYTES = 64 << 10
_MAX_KEYS = 100


@dataclass(frozen=True, slots=True)
class Keys:
    """Secrets by id, the one that signs last. ``warning`` is what is wrong with the file, or ""."""

    secrets: Mapping[str, bytes] = field(repr=False)
    warning: str = ""

    def to_sign(self, key_id: str = "") -> tuple[str, bytes]:
        """Return the id and the secret of a key, by default of the last. Raise ValueError if there is none."""
        if not key_id:
            return list(self.secrets.items())[-1]
        if key_id not in self.secrets:
            raise ValueError(f"there is no key {key_id!r}; there are {', '.join(self.secrets)}")
        return key_id, self.secrets[key_id]


def load(path: str | os.PathLike[str]) -> Keys:
    """Read a file of keys. Raise ConfigurationError, whose text never has a secret."""
    shown = os.fspath(path)
    try:
        with open_regular(path) as file:
            mode, data = os.fstat(file.fileno()).st_mode, file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {shown}: {error.strerror}", SETTING) from None
    if mode & stat.S_IWOTH:
        raise ConfigurationError(f"every user of this machine can write {shown}; chmod 600 it", SETTING)
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigurationError(f"{shown} is larger than 64 KiB, so it is no file of keys", SETTING)
    warning = f"every user of this machine can read the keys in {shown}; chmod 600 it" if mode & stat.S_IROTH else ""
    return Keys(_parse(data, shown), warning)


def create(path: str | os.PathLike[str], key_id: str) -> None:
    """Append a new random key to a file, which is made if it is missing, readable by its owner only.

    Raise ConfigurationError if the file has that id, or is no file of keys, and OSError if it cannot be written.
    """
    if not KEY_ID.fullmatch(key_id):
        raise ConfigurationError(f"{key_id!r} is no id of a key; use up to 32 letters, digits, '.', '_' and '-'")
    line = f"{key_id} {b64encode(os.urandom(SECRET_BYTES)).decode()}\n".encode()
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
    with open(fd, "r+b", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", os.fspath(path))
        before = file.read(_MAX_FILE_BYTES)
        if before:
            keys = _parse_for_command(before, os.fspath(path))
            if key_id in keys:
                raise ConfigurationError(f"{os.fspath(path)} has a key {key_id!r} already; give another id")
            if len(keys) == _MAX_KEYS:
                raise ConfigurationError(f"{os.fspath(path)} has {_MAX_KEYS} keys; delete old ones")
        # One write: a server that reads the file meanwhile sees the whole line or nothing of it.
        file.write((b"\n" if before and not before.endswith(b"\n") else b"") + line)
        os.fsync(fd)


def check_secret(secret: bytes) -> None:
    """Raise ValueError if a secret is too short or too long."""
    if not SECRET_BYTES <= len(secret) <= _MAX_SECRET_BYTES:
        raise ValueError(f"a secret has {SECRET_BYTES} to {_MAX_SECRET_BYTES} bytes, this one {len(secret)}")


def _parse(data: bytes, shown: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, raw in enumerate(data.splitlines(), 1):
        words = raw.decode("ascii", "replace").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            if len(words) != 2 or not KEY_ID.fullmatch(words[0]):
                raise ValueError("it is not an id and a secret in base64; freight key new makes one")
            if words[0] in keys:
                raise ValueError(f"the id {words[0]} occurs twice")
            keys[words[0]] = _secret(words[1])
        except ValueError as error:
            raise ConfigurationError(f"{shown}, line {number}: {error}", SETTING) from None
    if not keys:
        raise ConfigurationError(f"{shown} has no key; freight key new makes one", SETTING)
    if len(keys) > _MAX_KEYS:
        raise ConfigurationError(f"{shown} has more than {_MAX_KEYS} keys", SETTING)
    return keys


def _parse_for_command(data: bytes, shown: str) -> dict[str, bytes]:
    """Parse a file that a command names, not a setting."""
    try:
        return _parse(data, shown)
    except ConfigurationError as error:
        raise ConfigurationError(error.why) from None


def _secret(text: str) -> bytes:
    try:
        secret = b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("the secret is not base64") from None
    check_secret(secret)
    return secret
