"""The command line. Each command imports what it needs itself; the settings' options are in :mod:`freight.options`.

The first byte must be out within 400 ms of the command and an idle server must stay small, so nothing here may import
asyncio or httptools before a command has been chosen.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any, NoReturn

import click
from click.formatting import wrap_text

from freight import __version__
from freight.config import Gathered, gather
from freight.errors import Unservable
from freight.fleet.command import fleet
from freight.lab.command import lab
from freight.options import ARGUMENTS, NOTATION, given, parameters
from freight.plan.command import plan
from freight.quantities import format_size, parse_size
from freight.settings import SETTINGS
from freight.stamp.command import stamp
from freight.top.command import top

DONE, FAILED, MISUSED = 0, 1, 2
_ALLOCATOR, _ARENAS, _TUNABLES = "PYTHONMALLOC", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"  # docs/decisions/010
_SIGNALLED = 128  # a shell's convention: 128 + the number of the signal that ended the command

_WIDTH, _VALUE_WIDTH = 80, 30

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: this process's own) and return its exit status. Whatever fails is one line."""
    if arguments is None and "serve" in sys.argv[1:2]:
        _use_plain_allocator()
    try:
        # Not standalone: click would answer a mistake with three lines, and Ctrl-C with status 1.
        status = freight.main(arguments, prog_name="freight", standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "freight"
        return _complain(f"{error.format_message()} (see {command} --help)", MISUSED)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except Unservable as error:
        return _complain(str(error), MISUSED)
    except OSError as error:
        return _complain(_described(error), FAILED)
    except (click.Abort, KeyboardInterrupt):
        return _SIGNALLED + signal.SIGINT
    return status if isinstance(status, int) else DONE


def _use_plain_allocator() -> None:
    """Begin again with the C library's allocator, which can give memory back, unless one has been chosen already."""
    if _ALLOCATOR not in os.environ and sys.platform == "linux":
        os.environ[_ALLOCATOR] = "malloc"
        os.environ.setdefault(_ARENAS, "1")  # the threads hardly run side by side, and each would have a heap
        os.environ.setdefault(_TUNABLES, "glibc.malloc.tcache_count=0")  # each would keep pieces that hold their pages
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _complain(message: str, status: int) -> int:
    click.echo(f"freight: {' '.join(message.split())}", err=True)
    return status


def _described(error: OSError) -> str:
    why = error.strerror or type(error).__name__
    return why if error.filename is None else f"{os.fsdecode(error.filename)}: {why}"


@click.group(
    context_settings=_CONTEXT,
    invoke_without_command=True,  # so that the manual, not an error, answers a bare "freight"
    epilog="""\b
Examples:
  freight serve huge.csv                 then: wget localhost:8080/huge.csv
  freight serve /data --host 0.0.0.0     a directory, for the whole network
  freight sample huge.csv --size 10GB    something to try it with
  freight plan --clients 500             how much memory that takes
  freight fleet haproxy --nodes a:8080,b:8080   a balancer's configuration
  freight fleet simulate                 what many nodes would do
  freight top                            a running server, in this terminal
  freight stamp /data data.manifest      the same tags on every replica
  freight lab --quick                    what it costs on this machine, drawn

\b
Exit status:
  0    done; a server was stopped and its downloads were finished
  1    it could not be finished: the disk is full, say
  2    it could not be begun: a mistake in the command, a missing path, a taken port
  128+N  ended by signal N""",
)
@click.version_option(__version__, prog_name="freight", message="%(prog)s %(version)s")
@click.pass_context
def freight(context: click.Context) -> None:
    """Serve files of any size to any number of clients over HTTP, from a fixed amount of memory.

    "freight COMMAND --help" explains a command.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(MISUSED)


freight.add_command(lab)


def _gather(values: Mapping[str, Any]) -> Callable[[], Gathered]:
    """What gathers the settings of a command line, now and whenever they may have changed."""
    flags, config = given(values), values["config"]
    return lambda: gather(flags, os.environ, config)


def _gathered(gather_now: Callable[[], Gathered]) -> Gathered:
    """The settings as they are now. What was passed over is said."""
    gathered = gather_now()
    for warning in gathered.warnings:
        click.echo(f"freight: {warning}", err=True)
    return gathered


def _serve(**values: Any) -> int:
    gather_now = _gather(values)
    settings = _gathered(gather_now).settings
    with _without_ssl():
        from freight.app import run
    return run(settings, lambda: gather_now().settings)


@contextmanager
def _without_ssl() -> Iterator[None]:
    """Let asyncio be imported without ssl, which it does without where there is none: 4 MiB that are not used here."""
    if "ssl" in sys.modules or "asyncio" in sys.modules:
        yield
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # how Python marks a module that cannot be imported
    try:
        yield
    finally:
        del sys.modules["ssl"]


freight.add_command(
    click.Command(
        "serve",
        callback=_serve,
        params=parameters(),
        context_settings=_CONTEXT,
        short_help="Serve a file or a directory over HTTP.",
        help=f"""Serve a file or a directory over HTTP.

{ARGUMENTS}

A line on standard output says where it listens, and a second one where the admin listener does, if there is one. Each
request is a line on standard error when it ends. Ctrl-C or SIGTERM lets running downloads finish, within --drain, and a
second one ends at once. SIGHUP has the file of --config read again. SIGUSR2 starts this command anew and hands over to
it: nobody is refused, and running downloads are finished as above.

{NOTATION}""",
        epilog="""\b
Examples:
  freight serve huge.csv
  freight serve /data --host 0.0.0.0 --port 80 --memory 256MiB
  freight serve . --port 0 --log-format json
  freight serve --config /etc/freight.toml""",
    )
)


def _settings(as_json: bool, **values: Any) -> None:
    gathered = _gathered(_gather(values))
    if as_json:
        import json

        click.echo(json.dumps(dict(_rows(gathered)), indent=2))
    else:
        click.echo("\n".join(_columns(dict(_rows(gathered)))))


def _rows(gathered: Gathered) -> Iterator[tuple[str, dict[str, Any]]]:
    for setting in SETTINGS:
        yield (
            setting.name,
            {
                "value": setting.show(getattr(gathered.settings, setting.field)),
                "origin": gathered.given[setting.name].origin,
                "live": setting.live,
                "help": setting.help,
            },
        )


def _columns(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Name, value and origin in columns, and the meaning beneath; within 80 columns unless a value is very long."""
    values = {name: row["value"] if row["value"].isprintable() else repr(row["value"]) for name, row in rows.items()}
    name_width, value_width = max(map(len, values)), min(_VALUE_WIDTH, max(map(len, values.values())))
    indent = " " * 4
    for name, row in rows.items():
        yield f"{name:{name_width}}  {values[name]:{value_width}}  {row['origin']}"
        yield wrap_text(row["help"], _WIDTH, indent, indent)


freight.add_command(
    click.Command(
        "settings",
        callback=_settings,
        params=[*parameters(), click.Option(["--json", "as_json"], is_flag=True, help="Print them as a JSON object.")],
        context_settings=_CONTEXT,
        short_help="Show what the settings are, and where each comes from.",
        help=f"""Show what the settings would be: each with its value, where that comes from, and what it means.

What it is given is what "freight serve" is given. Nothing is served.

{ARGUMENTS}

{NOTATION}""",
        epilog="""\b
Examples:
  freight settings --config /etc/freight.toml
  FREIGHT_MEMORY=20MB freight settings --json""",
    )
)

freight.add_command(fleet)
freight.add_command(plan)
freight.add_command(stamp)
freight.add_command(top)


@freight.command(
    context_settings=_CONTEXT,
    epilog="""\b
Examples:
  freight sample huge.csv --size 10GB
  freight sample huge.csv --check""",
)
@click.argument("file", type=click.Path())
@click.option("--size", metavar="SIZE", default="1GB", show_default=True, help="How long, rounded up to whole lines.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@click.option(
    "--check", is_flag=True, help="Make nothing; say whether FILE is an undamaged sample, or a beginning of one."
)
def sample(file: str, size: str, force: bool, check: bool) -> int:
    """Make a CSV file of any size to try downloads with.

    Every line is 64 bytes and begins with its own offset, so that any range of it proves itself. FILE appears when it
    is complete: nothing is left of one that was interrupted.
    """
    if check:
        return _check(file)
    try:
        size_bytes = parse_size(size)
    except ValueError as error:
        raise Unservable(f"size: {error}") from None
    return _make(file, size_bytes, force)


def _make(file: str, size_bytes: int, force: bool) -> int:
    from freight.sample import LINE_BYTES, whole_lines, write_sample

    signal.signal(signal.SIGTERM, _end)  # by default it would end us without a chance to remove what is unfinished
    size_bytes = whole_lines(size_bytes)
    if sys.stderr.isatty():
        bar = click.progressbar(length=size_bytes, label=file, file=sys.stderr, update_min_steps=size_bytes // 200)
    else:
        bar = None
    with nullcontext() if bar is None else bar:
        write_sample(file, size_bytes, force=force, wrote=None if bar is None else bar.update)
    click.echo(f"{file}: {format_size(size_bytes)}, {size_bytes // LINE_BYTES} lines")
    return DONE


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(_SIGNALLED + number)


def _check(file: str) -> int:
    from freight.sample import BLOCK_BYTES, find_difference

    offset = find_difference(file)
    if offset is None:
        click.echo(f"{file}: undamaged, {os.stat(file).st_size} bytes")
        return DONE
    return _complain(f"{file}: not a sample's bytes in the {BLOCK_BYTES} from offset {offset}", FAILED)


@freight.command(
    context_settings=_CONTEXT,
    epilog="""\b
Examples:
  eval "$(freight completion bash)"                                    in ~/.bashrc
  eval "$(freight completion zsh)"                                     in ~/.zshrc
  freight completion fish > ~/.config/fish/completions/freight.fish""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete freight's commands and options."""
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    assert completer is not None  # the choice above lists only shells that click has
    click.echo(completer(freight, {}, "freight", "_FREIGHT_COMPLETE").source())
