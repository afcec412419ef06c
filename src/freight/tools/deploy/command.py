"""``freight deploy`` on the command line. Its commands are imported when one of them, or the help, is used."""

from __future__ import annotations

import click

from freight.tools.groups import LazyGroup, show_help_if_bare


@click.group(
    cls=LazyGroup,
    commands="freight.tools.deploy.files",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,  # so that a bare "freight deploy" prints the help instead of an error
    short_help="Print systemd units, alert rules, a dashboard.",
    epilog="""\b
Examples:
  freight deploy systemd                                 the units, and the settings they use
  freight deploy prometheus --output /etc/prometheus     alert rules, and their tests
  freight deploy grafana > freight.json                  a dashboard to import""",
)
@click.pass_context
def deploy(context: click.Context) -> None:
    """Print files for systemd, Prometheus and Grafana: units, alert rules, a dashboard.

    The files are printed, or written with --output. Nothing is started, and nothing else is changed.
    """
    show_help_if_bare(context)
