"""``freight deploy`` on the command line. Its commands are loaded when one of them, or its help, is asked for."""

from __future__ import annotations

import click

from freight.groups import Loaded, explain_alone


@click.group(
    cls=Loaded,
    commands="freight.deploy.files",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,  # so that the manual, not an error, answers a bare "freight deploy"
    short_help="Print units of systemd, alert rules, a dashboard.",
    epilog="""\b
Examples:
  freight deploy systemd                                 the units, and the settings they use
  freight deploy prometheus --output /etc/prometheus     alert rules, and their tests
  freight deploy grafana > freight.json                  a dashboard to import""",
)
@click.pass_context
def deploy(context: click.Context) -> None:
    """Print what systemd, Prometheus and Grafana need for a server: units, alert rules, a dashboard.

    The files are printed, or written by --output. Nothing is started, and nothing else is changed.
    """
    explain_alone(context)
