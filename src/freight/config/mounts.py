"""What is served where: the values of ``--mount`` and ``--prefix``, read from text. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from freight.names import from_system

MOUNTS_MAX = 256
_SEPARATOR = re.compile(r":(?=/[^:=]*=)")  # a colon before the next /POINT=; another one belongs to a path
_REFUSED = re.compile(r"[\x00-\x1f\x7f%?#\\]")
_DOTS = (".", "..")


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory or file, and the names of the URL path at which it is served. ``point`` is never empty."""

    point: tuple[str, ...]
    path: Path

    @property
    def shown_point(self) -> str:
        """Return the mount point as the operator writes it: ``/data``."""
        return show_point(self.point)

    def __str__(self) -> str:
        return f"{self.shown_point}={self.path}"


def read_mounts(text: str) -> tuple[Mount, ...]:
    """Read ``/POINT=PATH``, several with a colon between them. Raise ValueError with a sentence for the user."""
    mounts = tuple(map(_mount, _SEPARATOR.split(text)))
    if len(mounts) > MOUNTS_MAX:
        raise ValueError(f"{len(mounts)} mounts are too many; at most {MOUNTS_MAX} are possible")
    points: set[tuple[str, ...]] = set()
    for mount in mounts:
        if mount.point in points:
            raise ValueError(f"{mount.shown_point} is given twice; give each mount point once")
        points.add(mount.point)
    return mounts


def show_mounts(mounts: tuple[Mount, ...]) -> str:
    """Return the text that :func:`read_mounts` reads as these mounts."""
    return ":".join(map(str, mounts))


def read_prefix(text: str) -> tuple[str, ...]:
    """Read the URL path ``/files`` as its names. Raise ValueError with a sentence for the user."""
    names = _point(text, "prefix", "/files")
    if not names:
        raise ValueError("/ is no prefix; write /files,")
    return names


def show_point(names: tuple[str, ...]) -> str:
    """Return names as the text of a URL path, without percent-encoding and without a slash at its end."""
    return "/" + "/".join(names)


def _mount(text: str) -> Mount:
    shown, separator, path = text.partition("=")
    if not separator:
        name = Path(text).name or "data"
        raise ValueError(f"{text!r} is not /POINT=PATH; write /{name}={text or '/srv/data'}")
    point = _point(shown, "mount point", "/data")
    if not point:
        raise ValueError(f"give {path or 'it'} as PATH to serve it at /")
    if not path or "\0" in path:
        raise ValueError(f"{text!r} has no path; write {shown}=/srv/data")
    return Mount(point, Path(path))


def _point(text: str, what: str, example: str) -> tuple[str, ...]:
    """Return the names of a URL path that is written without percent-encoding."""
    if not text.startswith("/"):
        raise ValueError(
            f"{text!r} is not a {what}: it has no slash at its start; write {f'/{text}' if text else example}"
        )
    if (refused := _REFUSED.search(text)) is not None:
        hint = "; write names without percent-encoding" if refused[0] == "%" else ""
        raise ValueError(f"{text!r} is not a {what}: it has the character {refused[0]!r}{hint}")
    names = tuple(from_system(text).removesuffix("/")[1:].split("/"))
    if names == ("",):
        return ()
    if any(not name or name in _DOTS for name in names):
        plain = show_point(tuple(name for name in names if name and name not in _DOTS))
        raise ValueError(f"{text!r} is not a {what}: it has an empty name, . or ..; write {plain}")
    return names
