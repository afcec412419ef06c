"""The commands of ``freight deploy``: files of the package are printed, or written into a directory."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import click

from freight.errors import Unservable

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
PROGRAM = "/opt/freight/.venv/bin/freight"
"""The program in the unit as it is kept; printed, it is the program that prints."""

HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What ProtectHome= and PrivateTmp= keep from the service."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the package: its folder there and its name, and where it is put on a host."""

    folder: str
    name: str
    place: str

    def read(self) -> str:
        """Return its text, for this installation."""
        text = (resources.files("freight.deploy") / self.folder / self.name).read_text(encoding="utf-8")
        return text.replace(PROGRAM, " ".join(map(_escaped, program()))) if self.name.endswith(".service") else text


UNITS = {
    "service": File("systemd", "freight.service", "/etc/systemd/system/freight.service"),
    "socket": File("systemd", "freight.socket", "/etc/systemd/system/freight.socket"),
    "config": File("systemd", "freight.toml", "/etc/freight.toml"),
}
RULES = File("prometheus", "freight.rules.yml", "/etc/prometheus/freight.rules.yml")
TESTS = File("prometheus", "freight.test.yml", "/etc/prometheus/freight.test.yml")
DASHBOARD = File("grafana", "freight.json", "/var/lib/grafana/dashboards/freight.json")

_output = click.option(
    "--output", metavar="DIR", type=click.Path(), help="Write into this directory, which is made if it is missing."
)
_force = click.option("--force", is_flag=True, help="With --output: replace files that are there.")


@click.command(
    context_settings=_CONTEXT,
    short_help="Print a service, its socket and its settings.",
    epilog="""\b
Examples:
  freight deploy systemd                          all three, to look at
  freight deploy systemd --unit service --unit socket --output /etc/systemd/system
  freight deploy systemd --unit config --output /etc
  systemctl daemon-reload && systemctl enable --now freight.socket freight.service""",
)
@click.option(
    *("--unit", "units"),
    multiple=True,
    type=click.Choice(list(UNITS)),
    help="Only this one; may be repeated. config is the file of settings that the service reads.",
)
@_output
@_force
def systemd(units: Sequence[str], output: str | None, force: bool) -> None:
    """Print a service, the socket it gets from systemd, and the file of its settings.

    The service runs the freight that prints it. It runs as a user of its own that sees no home directory, so freight
    has to be installed where that user can read it, such as in a virtual environment in /opt/freight.
    """
    chosen = [UNITS[name] for name in UNITS if name in units or not units]
    if UNITS["service"] in chosen:
        _warn_of_hidden()
    _give(chosen, output, force)


@click.command(
    context_settings=_CONTEXT,
    short_help="Print alert rules.",
    epilog="""\b
Examples:
  freight deploy prometheus > /etc/prometheus/freight.rules.yml
  freight deploy prometheus --output rules && cd rules && promtool test rules freight.test.yml""",
)
@click.option("--tests", is_flag=True, help="Print the tests of the rules instead. --output writes both.")
@_output
@_force
def prometheus(tests: bool, output: str | None, force: bool) -> None:
    """Print alert rules for Prometheus, over what a server says at /metrics.

    The job that scrapes the servers has to be called freight.
    """
    _give([RULES, TESTS] if output is not None and not tests else [TESTS if tests else RULES], output, force)


@click.command(
    context_settings=_CONTEXT,
    short_help="Print a dashboard.",
    epilog="""\b
Examples:
  freight deploy grafana > freight.json           then, in Grafana: Dashboards, New, Import
  freight deploy grafana --output /var/lib/grafana/dashboards""",
)
@_output
@_force
def grafana(output: str | None, force: bool) -> None:
    """Print a dashboard for Grafana 10 or newer, over what Prometheus has of the servers."""
    _give([DASHBOARD], output, force)


def program() -> list[str]:
    """Return the words that run this freight: the path of the command, or its interpreter and ``-m freight``."""
    called = Path(sys.argv[0]).absolute()
    for path in (called, Path(sysconfig.get_path("scripts"), "freight")):
        if path.name == "freight" and path.is_file():
            return [str(path)]
    return [sys.executable, "-m", "freight"]


def interpreter() -> str:
    """Return the path of the Python that runs, behind the links of a virtual environment."""
    return str(Path(sys.executable).resolve())


def _escaped(word: str) -> str:
    """Return a path as systemd reads it in ExecStart=; it takes no program whose path has quotes or backslashes."""
    word = word.replace("%", "%%")
    return f'"{word}"' if " " in word else word


def _warn_of_hidden() -> None:
    """Say where the service could not start what the unit names: it sees neither home nor temporary directories."""
    paths = [program()[0], interpreter()]
    hidden = next((path for path in paths if any(Path(path).is_relative_to(place) for place in HIDDEN)), None)
    if hidden is not None:
        click.echo(
            f"freight: the service will not see {hidden}, because of ProtectHome= and PrivateTmp= in the unit; "
            "install freight elsewhere, such as in /opt/freight/.venv",
            err=True,
        )


def _give(files: Sequence[File], output: str | None, force: bool) -> None:
    if output is not None:
        _write(files, Path(output), force)
    elif len(files) == 1:
        click.echo(files[0].read(), nl=False)
    else:
        click.echo("\n".join(f"# {file.place}\n{file.read()}" for file in files), nl=False)


def _write(files: Sequence[File], directory: Path, force: bool) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for path in (directory / file.name for file in files):
        if path.exists() and not force:
            raise Unservable(f"{path} exists; use --force to replace it")
    for file in files:
        (directory / file.name).write_text(file.read(), encoding="utf-8")
        click.echo(directory / file.name)


COMMANDS = {command.name: command for command in (systemd, prometheus, grafana)}
