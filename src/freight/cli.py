"""The command line. Each command imports what it needs itself; the settings' options are in :mod:`freight.options`.

The first byte must be out within 400 ms of the command and an idle server must stay small, so nothing here may import
asyncio or httptools before a command has been chosen.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from freight import __version__, standard
from freight.config import Gathered, Given, examine, gather
from freight.deploy.command import deploy
from freight.errors import Unservable
from freight.fleet.command import fleet
from freight.lab.command import lab
from freight.options import ARGUMENTS, NOTATION, Command, Option, given, parameters
from freight.plan.command import plan
from freight.sampling import SAMPLE_BYTES, make, sample
from freight.settings import COMMON, SETTINGS
from freight.stamp.command import stamp
from freight.top.command import top

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

DONE, FAILED, MISUSED = 0, 1, 2
_ALLOCATOR, _ARENAS, _TUNABLES = "PYTHONMALLOC", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"  # docs/decisions/010
_SIGNALLED = 128  # a shell's convention: 128 + the number of the signal that ended the command

_WIDTH, _VALUE_WIDTH = 80, 30

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: this process's own) and return its exit status. Whatever fails is one line."""
    if arguments is None and freight.serves(sys.argv[1:]):
        standard.open_missing()
        _use_plain_allocator()
    try:
        # Not standalone: click would answer a mistake with three lines, and Ctrl-C with status 1.
        status = freight.main(arguments, prog_name="freight", standalone_mode=False)
    except click.UsageError as error:
        from freight import mistakes

        return _complain(mistakes.explain(error), MISUSED)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except Unservable as error:
        return _complain(f"--{error}" if error.setting else str(error), MISUSED)
    except OSError as error:
        return _complain(_described(error), FAILED)
    except (click.Abort, KeyboardInterrupt):
        return _SIGNALLED + signal.SIGINT
    return status if isinstance(status, int) else DONE


def _use_plain_allocator() -> None:
    """Start again with the C library's allocator, which can give memory back, unless one has been chosen already."""
    if _ALLOCATOR not in os.environ and sys.platform == "linux":
        os.environ[_ALLOCATOR] = "malloc"
        os.environ.setdefault(_ARENAS, "1")  # the threads hardly run side by side, and each would have a heap
        os.environ.setdefault(_TUNABLES, "glibc.malloc.tcache_count=0")  # each would keep pieces that hold their pages
        try:
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        except OSError as error:  # it serves all the same
            _complain(
                f"cannot start {sys.executable} again with {_ALLOCATOR}=malloc ({error.strerror}); memory that many "
                "clients have used will not be given back",
                FAILED,
            )


def _complain(message: str, status: int) -> int:
    try:
        click.echo(f"freight: {' '.join(message.split())}", err=True)
    except OSError:  # nobody can take it: the status says it too
        standard.silence(standard.STDERR)
    return status


def _described(error: OSError) -> str:
    why = error.strerror or type(error).__name__
    return why if error.filename is None else f"{os.fsdecode(error.filename)}: {why}"


class _Commands(click.Group):
    """The commands. A path, or an option of ``serve``, where a command belongs means ``serve``."""

    def serves(self, words: Sequence[str]) -> bool:
        """Whether a command line serves."""
        return words[:1] == ["serve"] or self._implies_serve(words)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See :meth:`click.Group.parse_args`."""
        return super().parse_args(ctx, ["serve", *args] if self._implies_serve(args) else args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See :meth:`click.Group.resolve_command`."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            from freight import mistakes

            raise click.UsageError(mistakes.no_such_command(args[0], ctx), ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """See :meth:`click.Group.shell_complete`: files too."""
        from click.shell_completion import CompletionItem

        files = [] if incomplete.startswith("-") else [CompletionItem(incomplete, type="file")]
        return [*files, *super().shell_complete(ctx, incomplete)]

    def _implies_serve(self, words: Sequence[str]) -> bool:
        if not words or words[0] in self.commands:
            return False
        word = words[0]
        if word.startswith("-"):
            name = word.partition("=")[0] if word.startswith("--") else word[:2]
            return any(name in (*each.opts, *each.secondary_opts) for each in self.commands["serve"].params)
        return "/" in word or "." in word or os.path.lexists(word)


@click.group(
    cls=_Commands,
    context_settings=_CONTEXT,
    invoke_without_command=True,  # so that the manual, not an error, answers a bare "freight"
    epilog="""\b
Examples:
  freight huge.csv                       then: wget localhost:8080/huge.csv
  freight serve /data --host 0.0.0.0     a directory, for the whole network
  freight sample sample.csv --size 10GB  something to try it with
  freight plan --clients 500             how much memory that takes
  freight top                            watch a running server
  freight stamp /data data.manifest      the same tags on every replica
  freight fleet haproxy --nodes a:8080,b:8080   a balancer's configuration
  freight lab --quick                    what a download costs on this machine

\b
Exit status:
  0      done; a server was stopped, and its downloads were finished
  1      not finished: the disk is full, for example
  2      not started: a mistake in the command, a missing path, a taken port
  128+N  ended by signal N""",
)
@click.version_option(__version__, prog_name="freight", message="%(prog)s %(version)s")
@click.pass_context
def freight(context: click.Context) -> None:
    """Serve files of any size to any number of clients over HTTP, from a fixed amount of memory.

    "freight PATH" is short for "freight serve PATH"; "freight COMMAND --help" explains a command.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(MISUSED)


freight.add_command(lab)


def _gather(values: Mapping[str, Any], fallback: Mapping[str, Given] | None = None) -> Callable[[], Gathered]:
    """What gathers the settings of a command line, now and whenever they may have changed."""
    flags, config = given(values), values["config"]
    return lambda: gather(flags, os.environ, config, fallback)


def _serve(sample_file: str | None, **values: Any) -> int:
    if sample_file is None:
        gather_now = _gather(values)
        gathered = gather_now()
    else:
        path = _within_here(sample_file)
        gather_now = _gather(values, {"path": Given(path, "--sample", "--sample")})
        gathered = gather_now()
        if gathered.given["path"].origin == "--sample" and not os.path.lexists(path):
            _make_sample(path, gathered)
    with _without_ssl():
        from freight.app import run
    try:
        return run(gathered.settings, gathered.warnings, gather_now)
    except Unservable as error:
        what = gathered.explain(error)
        if error.setting == "path" and isinstance(error.__cause__, FileNotFoundError):
            what += f"; {_advice(sample_file)}"
        raise Unservable(what) from None


def _within_here(path: str) -> str:
    """A path as short as it can be written: relative where it is beneath the working directory."""
    relative = os.path.relpath(path)
    return os.path.abspath(path) if relative.startswith("..") else relative


def _make_sample(path: str, gathered: Gathered) -> None:
    """Make the sample that is to be served, once everything else is known to be right."""
    with _without_ssl():
        from freight.check import find_problems
    for problem in find_problems(gathered.settings):
        if problem.setting != "path":
            raise Unservable(gathered.explain(problem))
    _complain(f"making {path}, 1 GB, to serve (only the first time)", DONE)
    make(path, SAMPLE_BYTES)


def _advice(sample_file: str | None) -> str:
    """What to do about a PATH that is missing."""
    if sample_file is not None:
        return f"without a PATH, {os.path.basename(sample_file)} (1 GB) is made and served"
    return '"freight sample sample.csv" makes a file to try freight with'


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
    Command(
        "serve",
        callback=_serve,
        params=[
            *parameters(),
            Option(
                ["--sample", "sample_file"],
                group=COMMON,
                shown="--sample FILE",
                metavar="FILE",
                type=click.Path(),
                help="Serve FILE when no PATH is given, and make it first (a sample of 1 GB) if it is missing.",
            ),
        ],
        context_settings=_CONTEXT,
        short_help="Serve a file or a directory over HTTP.",
        help=f"""Serve a file or a directory over HTTP.

{ARGUMENTS}

Where it listens is printed on standard output. The log, a line for each request when it ends, goes to standard error.
""",
        epilog=f"""\b
Signals:
  Ctrl-C, SIGTERM  finish running downloads within --drain, then stop;
                   a second one stops at once
  SIGHUP           reload the --config file and the certificate
  SIGUSR2          upgrade: start this command again and hand over to it

{NOTATION}

\b
Examples:
  freight serve huge.csv
  freight serve /data --host 0.0.0.0 --port 80 --memory 256MiB
  freight serve . --port 0 --log-format json
  freight serve --config /etc/freight.toml""",
    )
)


def _settings(as_json: bool, check: bool, **values: Any) -> int:
    if check:
        return _check(values)
    gathered = _gather(values)()
    _warn(gathered.warnings)
    if as_json:
        import json

        click.echo(json.dumps(dict(_rows(gathered)), indent=2))
    else:
        click.echo("\n".join(_columns(dict(_rows(gathered)))))
    return DONE


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        click.echo(f"freight: {warning}", err=True)


def _check(values: Mapping[str, Any]) -> int:
    """Say all that is wrong, a line each, or that nothing is."""
    from freight.check import find_problems
    from freight.server.binding import is_taken

    gathered, warnings, errors = examine(given(values), os.environ, values["config"])
    _warn(warnings)
    if gathered is not None:
        errors += [gathered.explain(each) for each in find_problems(gathered.settings) if not is_taken(each)]
    for error in errors:
        _complain(error, MISUSED)
    if errors:
        return MISUSED
    click.echo("ok")
    return DONE


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
    from textwrap import fill

    values = {name: row["value"] if row["value"].isprintable() else repr(row["value"]) for name, row in rows.items()}
    name_width, value_width = max(map(len, values)), min(_VALUE_WIDTH, max(map(len, values.values())))
    indent = " " * 4
    for name, row in rows.items():
        yield f"{name:{name_width}}  {values[name]:{value_width}}  {row['origin']}"
        yield fill(row["help"], _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


freight.add_command(
    Command(
        "settings",
        callback=_settings,
        params=[
            *parameters(),
            click.Option(["--check"], is_flag=True, help='Find everything that "freight serve" would refuse.'),
            click.Option(["--json", "as_json"], is_flag=True, help="Print the settings as a JSON object."),
        ],
        context_settings=_CONTEXT,
        short_help="Show the settings and where each comes from, or check them.",
        help=f"""Show the settings that "freight serve" would have with the same options: each with its value, where the
value comes from, and what it means. Nothing is served.

With --check, print everything that "freight serve" would refuse, one line each, with status 2; or "ok". That includes a
missing PATH or certificate, too little memory, addresses that this machine does not have, and wrong values in the file
that another place overrides. Whether ports are free is not checked.

{ARGUMENTS}""",
        epilog=f"""{NOTATION}

\b
Examples:
  freight settings --config /etc/freight.toml
  freight settings --check --config /etc/freight.toml
  FREIGHT_MEMORY=20MB freight settings --json""",
    )
)

freight.add_command(deploy)
freight.add_command(fleet)
freight.add_command(plan)
freight.add_command(sample)
freight.add_command(stamp)
freight.add_command(top)


@freight.command(
    context_settings=_CONTEXT,
    short_help="Print a shell's completion script.",
    epilog="""\b
Examples:
  eval "$(freight completion bash)"                                    in ~/.bashrc
  eval "$(freight completion zsh)"                                     in ~/.zshrc
  freight completion fish > ~/.config/fish/completions/freight.fish""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script with which a shell completes freight's commands, options and files."""
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    assert completer is not None  # the choice above lists only shells that click has
    click.echo(completer(freight, {}, "freight", "_FREIGHT_COMPLETE").source())
