"""The command line. The module of a command is imported when that command, or the list of all, is needed.

A server must be small when idle and send its first byte within 400 ms, so this module imports neither asyncio nor a
command.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import click

from freight import __version__
from freight.cli import start_up
from freight.cli.output import CONTEXT, DONE, FAILED, MISUSED, SIGNALLED, complain, os_error_text
from freight.errors import ConfigurationError
from freight.runtime import standard_streams

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMANDS = {
    "completion": "freight.cli.completion:completion",
    "deploy": "freight.tools.deploy.command:deploy",
    "fleet": "freight.tools.fleet.command:fleet",
    "key": "freight.cli.key:key",
    "lab": "freight.tools.lab.command:lab",
    "make-sample": "freight.cli.make_sample:make_sample",
    "passwd": "freight.tools.access.passwd:passwd",
    "plan": "freight.tools.plan.command:plan",
    "rules": "freight.cli.rules:rules",
    "serve": "freight.cli.serve:serve",
    "settings": "freight.cli.settings:settings",
    "sign": "freight.cli.sign:sign",
    "sync-mtimes": "freight.tools.stamp.command:stamp",
    "token": "freight.tools.access.token:token",
    "top": "freight.tools.top.command:top",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: that of this process) and return its exit status. Print an error as one line."""
    if arguments is None:
        standard_streams.prepare()
        start_up.restart(freight.serves(sys.argv[1:]))
    try:
        # In standalone mode click prints three lines for a mistake, and ends with status 1 on Ctrl-C.
        status = freight.main(arguments, prog_name="freight", standalone_mode=False)
    except click.UsageError as error:
        from freight.cli import mistakes

        return complain(mistakes.explain(error), MISUSED)
    except click.ClickException as error:
        return complain(error.format_message(), error.exit_code)
    except ConfigurationError as error:
        return complain(f"--{error}" if error.setting else str(error), MISUSED)
    except OSError as error:
        return complain(os_error_text(error), FAILED)
    except (click.Abort, KeyboardInterrupt):
        return SIGNALLED + signal.SIGINT
    return status if isinstance(status, int) else DONE


class _Commands(click.Group):
    """The commands. A path, or an option of ``serve``, in place of a command means ``serve``."""

    def serves(self, words: Sequence[str]) -> bool:
        """Return whether a command line starts a server."""
        return words[:1] == ["serve"] or self._implies_serve(words)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _load(cmd_name) if cmd_name in _COMMANDS else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["serve", *args] if self._implies_serve(args) else args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not ctx.resilient_parsing:
            from freight.cli import mistakes

            raise click.UsageError(mistakes.no_such_command(args[0], ctx), ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete files too, because a path means ``serve``."""
        from click.shell_completion import CompletionItem

        files = [] if incomplete.startswith("-") else [CompletionItem(incomplete, type="file")]
        return [*files, *super().shell_complete(ctx, incomplete)]

    def _implies_serve(self, words: Sequence[str]) -> bool:
        if not words or words[0] in _COMMANDS:
            return False
        word = words[0]
        if word.startswith("-"):
            name = word.partition("=")[0] if word.startswith("--") else word[:2]
            return any(name in (*each.opts, *each.secondary_opts) for each in _load("serve").params)
        return "/" in word or "." in word or os.path.lexists(word)


def _load(name: str) -> click.Command:
    module, _, attribute = _COMMANDS[name].partition(":")
    command: click.Command = getattr(import_module(module), attribute)
    return command


@click.group(
    cls=_Commands,
    context_settings=CONTEXT,
    invoke_without_command=True,  # so that a bare "freight" prints the manual, not an error
    epilog="""\b
Examples:
  freight huge.csv                       then: wget localhost:8080/huge.csv
  freight serve /data --host 0.0.0.0     a directory, for the whole network
  freight make-sample f.csv --size 10GB  a file to try it with
  freight plan --clients 500             how much memory that takes
  freight top                            watch a running server
  freight sign /huge.csv --expires 24h   a link that expires
  freight sync-mtimes /data f.manifest   the same tags on every replica
  freight fleet haproxy --nodes a:8080,b:8080   a balancer's configuration
  freight lab --quick                    what a download costs on this machine

\b
Exit status:
  0      done; a server was stopped, and its downloads were finished
  1      not finished: the disk is full, for example
  2      not started: a mistake in the command, a missing path, a port in use
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
