"""``freight completion``."""

from __future__ import annotations

import click

from freight.cli.output import CONTEXT


@click.command(
    context_settings=CONTEXT,
    short_help="Print a shell's completion script.",
    epilog="""\b
Examples:
  eval "$(freight completion bash)"                                    in ~/.bashrc
  eval "$(freight completion zsh)"                                     in ~/.zshrc
  freight completion fish > ~/.config/fish/completions/freight.fish""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which a shell completes freight's commands, options and files."""
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    assert completer is not None  # click has a class for each of these shells
    click.echo(completer(context.find_root().command, {}, "freight", "_FREIGHT_COMPLETE").source())
