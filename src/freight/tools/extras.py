"""The libraries of freight's extras: check for one, and name the command that installs it for the running freight.

pip, pipx and uv each add a library in another way, and ``pip install 'freight[lab]'`` only works if an index has
freight. So the command is derived from the environment. The imports for that happen only when a library is missing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from freight.errors import ConfigurationError

_CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Environment:
    """Where freight is installed. ``source``: the arguments by which an installer finds freight itself."""

    prefix: Path
    python: str
    source: tuple[str, ...]
    has_pip: bool


def require(library: str, purpose: str, *, module: str = "") -> None:
    """Raise ConfigurationError if a library is not installed. The message has the command that installs it.

    ``purpose`` is what needs it, such as "freight lab"; ``module`` is its import name, if that differs.
    """
    if not _is_installed(module or library):
        raise ConfigurationError(
            f"{purpose} needs {library}, which is not installed; run: {command(library, _environment())}"
        )


def command(library: str, environment: Environment, checkout: Path = _CHECKOUT) -> str:
    """Return the shell command that installs ``library``. ``checkout``: the directory of the sources."""
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


def _is_installed(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ValueError:  # sys.modules has an object of this name that is no module
        return False


def _environment() -> Environment:
    return Environment(Path(sys.prefix).resolve(), sys.executable, _source(), _is_installed("pip"))


def _source() -> tuple[str, ...]:
    """Return what freight was installed from: a path, a URL, or its name in an index."""
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
    """Return the options that keep earlier additions to a uv tool, because uv installs it from scratch."""
    from tomllib import loads

    requirements = loads(receipt.read_text(encoding="utf-8"))["tool"]["requirements"]
    names = [row["name"] + row.get("specifier", "") for row in requirements if row["name"] != "freight"]
    return [word for name in names for word in ("--with", name)]
