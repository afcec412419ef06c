"""The commands of ``freight deploy``, which print files of the package or write them to a directory."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import click

from freight.errors import ConfigurationError

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
PROGRAM = "/opt/freight/.venv/bin/freight"
"""The program in the stored unit; in the printed unit it is the running program."""

HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""Directories that ProtectHome= and PrivateTmp= hide from the service."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of the package: its folder and name there, and its path on a host."""

    folder: str
    name: str
    place: str

    def read(self) -> str:
        """Return its text, for this installation."""
        text = (resources.files("freight.tools.deploy") / self.folder / self.name).read_text(encoding="utf-8")
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
    "--output", metavar="DIR", type=click.Path(), help="Write to this directory; it is created if it does not exist."
)
_force = click.option("--force", is_flag=True, help="With --output: replace existing files.")


@click.command(
    context_settings=_CONTEXT,
    short_help="Print a service, its socket and its settings.",
    epilog="""\b
Examples:
  freight deploy systemd                          print all three
  freight deploy systemd --unit service --unit socket --output /etc/systemd/system
  freight deploy systemd --unit config --output /etc
  systemctl daemon-reload && systemctl enable --now freight.socket freight.service""",
)
@click.option(
    *("--unit", "units"),
    multiple=True,
    type=click.Choice(list(UNITS)),
    help="Only this unit; can be repeated. config is the settings file that the service reads.",
)
@_output
@_force
def systemd(units: Sequence[str], output: str | None, force: bool) -> None:
    """Print a service, the socket that systemd passes to it, and its settings file.

    The service runs the freight that prints it. Its own user sees no home directories, so install freight where that
    user can read it, such as in a virtual environment in /opt/freight.
    """
    chosen = [UNITS[name] for name in UNITS if name in units or not units]
    if UNITS["service"] in chosen:
        _warn_of_hidden()
    _output_files(chosen, output, force)


@click.command(
    context_settings=_CONTEXT,
    short_help="Print alert rules.",
    epilog="""\b
Examples:
  freight deploy prometheus > /etc/prometheus/freight.rules.yml
  freight deploy prometheus --output rules && cd rules && promtool test rules freight.test.yml""",
)
@click.option("--tests", is_flag=True, help="Print the tests of the rules instead; --output writes both.")
@_output
@_force
def prometheus(tests: bool, output: str | None, force: bool) -> None:
    """Print alert rules for Prometheus, which use the /metrics of the servers.

    The scrape job of the servers must be named freight.
    """
    _output_files([RULES, TESTS] if output is not None and not tests else [TESTS if tests else RULES], output, force)


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
    """Print a dashboard for Grafana 10 or newer, which uses the metrics in Prometheus."""
    _output_files([DASHBOARD], output, force)


def program() -> list[str]:
    """Return the words that run this freight: the path of the command, or its interpreter and ``-m freight``."""
    called = Path(sys.argv[0]).absolute()
    for path in (called, Path(sysconfig.get_path("scripts"), "freight")):
        if path.name == "freight" and path.is_file():
            return [str(path)]
    return [sys.executable, "-m", "freight"]


def interpreter() -> str:
    """Return the path of the running Python, with the links of a virtual environment resolved."""
    return str(Path(sys.executable).resolve())


def _escaped(word: str) -> str:
    """Return a path as written in ExecStart=. systemd accepts no quotes or backslashes in a program's path."""
    word = word.replace("%", "%%")
    return f'"{word}"' if " " in word else word


def _warn_of_hidden() -> None:
    """Warn if the program or its interpreter is in a directory that the unit hides from the service."""
    paths = [program()[0], interpreter()]
    hidden = next((path for path in paths if any(Path(path).is_relative_to(place) for place in HIDDEN)), None)
    if hidden is not None:
        click.echo(
            f"freight: the service cannot see {hidden}, because the unit sets ProtectHome= and PrivateTmp=; "
            "install freight elsewhere, such as in /opt/freight/.venv",
            err=True,
        )


def _output_files(files: Sequence[File], output: str | None, force: bool) -> None:
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
            raise ConfigurationError(f"{path} exists; use --force to replace it")
    for file in files:
        (directory / file.name).write_text(file.read(), encoding="utf-8")
        click.echo(directory / file.name)


COMMANDS = {command.name: command for command in (systemd, prometheus, grafana)}
