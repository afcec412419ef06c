"""The libraries of freight's extras: is one installed, and which command installs it for the freight that runs.

pip, pipx and uv each add a library in another way, and ``pip install 'freight[lab]'`` only works where an index has
freight. So the command is made from what the environment says of itself. What that takes is imported only when a
library is missing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from freight.errors import Unservable

_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Environment:
    """Where freight is installed. ``source``: the words that tell an installer where freight itself comes from."""

    prefix: Path
    python: str
    source: tuple[str, ...]
    has_pip: bool


def demand(library: str, purpose: str, *, module: str = "") -> None:
    """Raise Unservable where a library is not installed; the message has the command that installs it.

    ``purpose`` is what needs it, such as "freight lab"; ``module`` is what it is imported as, if that differs.
    """
    if not _is_there(module or library):
        raise Unservable(f"{purpose} needs {library}, which is not installed; run: {command(library, _environment())}")


def command(library: str, environment: Environment, checkout: Path = _CHECKOUT) -> str:
    """Return a shell command that installs ``library`` into ``environment``; ``checkout`` is where sources would be."""
    from shlex import join

    prefix, source = environment.prefix, environment.source
    setup = checkout / "scripts" / "setup"
    if prefix == checkout / ".venv" and setup.is_file():
        return join(["./scripts/setup" if Path.cwd() == checkout else str(setup), "all"])
    if (prefix / "uv-receipt.toml").is_file():
        return join(["uv", "tool", "install", *_added(prefix / "uv-receipt.toml"), "--with", library, *source])
    if (prefix / "pipx_metadata.json").is_file():
        if prefix.parent.name == "venvs":
            return join(["pipx", "inject", prefix.name, library])
        return join(["pipx", "run", "--with", library, "--spec", source[-1], "freight"])
    if any(part.startswith("archive-v") for part in prefix.parts):  # of uvx, in uv's cache
        return join(["uvx", "--with", library, "--from", source[-1], "freight"])
    if environment.has_pip:
        return join([environment.python, "-m", "pip", "install", library])
    return join(["uv", "pip", "install", "--python", environment.python, library])


def _is_there(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ValueError:  # sys.modules has something under this name that is no module
        return False


def _environment() -> Environment:
    return Environment(Path(sys.prefix).resolve(), sys.executable, _source(), _is_there("pip"))


def _source() -> tuple[str, ...]:
    """Return what freight was installed from: a path, an address, or the name by which an index has it."""
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote, urlsplit

    try:
        text = distribution("freight").read_text("direct_url.json")
    except PackageNotFoundError:  # run from its sources
        text = None
    if text is None:
        return ("freight",)
    origin = json.loads(text)
    url = origin["url"]
    if "vcs_info" in origin:
        return (f"{origin['vcs_info']['vcs']}+{url}",)
    place = unquote(urlsplit(url).path) if url.startswith("file:") else url
    return ("--editable", place) if origin.get("dir_info", {}).get("editable") else (place,)


def _added(receipt: Path) -> list[str]:
    """Return the options that keep what was added to a tool of uv before: its next installation is a new one."""
    from tomllib import loads

    requirements = loads(receipt.read_text(encoding="utf-8"))["tool"]["requirements"]
    names = [row["name"] + row.get("specifier", "") for row in requirements if row["name"] != "freight"]
    return [word for name in names for word in ("--with", name)]
