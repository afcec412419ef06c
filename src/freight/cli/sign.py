"""``freight sign``: print a link to one file."""

from __future__ import annotations

import click

from freight.cli.output import CONTEXT, DONE
from freight.errors import ConfigurationError
from freight.units import parse_seconds


@click.command(
    context_settings=CONTEXT,
    short_help="Print a link to one file that expires.",
    epilog="""\b
Examples:
  freight sign /exports/42.parquet --signing-keys keys --base-url https://files.example.org
  freight sign /huge.csv --signing-keys keys --expires 7d --client 192.0.2.0/24
  freight sign /huge.csv --signing-keys keys --base-url http://localhost:8080/files

The last one is for a server with --prefix /files.""",
)
@click.argument("path", metavar="PATH")
@click.option(
    "--signing-keys",
    metavar="FILE",
    type=click.Path(),
    required=True,
    envvar="FREIGHT_SIGNING_KEYS",
    help="The keys of the server; or FREIGHT_SIGNING_KEYS in the environment.",
)
@click.option("--expires", metavar="TIME", default="24h", show_default=True, help="For how long the link is good.")
@click.option("--client", metavar="NETWORK", default="", help="Only these clients: 192.0.2.7 or 192.0.2.0/24.")
@click.option("--filename", metavar="NAME", default="", help="The name under which clients save the file.")
@click.option("--key", metavar="ID", default="", help="The key that signs. [default: the last of the file]")
@click.option(
    "--base-url",
    metavar="URL",
    default="",
    help="What stands before PATH, with the prefix of the server: https://files.example.org/files.",
)
def sign(path: str, signing_keys: str, expires: str, client: str, filename: str, key: str, base_url: str) -> int:
    """Print a link by which anybody who has it can download one file until it expires.

    PATH is the path on the server, as in the listing: "/exports/my file.csv". It starts with the path of a mount, but
    not with the prefix of the server, which belongs to --base-url. With a slash at its end it is a directory: the link
    opens its listing, but nothing in it. A server with the same --signing-keys accepts the link.
    """
    from freight.access.sign_url import sign_url

    try:
        seconds = parse_seconds(expires)
    except ValueError as error:
        raise ConfigurationError(f"--expires: {error}") from None
    try:
        url = sign_url(
            path,
            keys=signing_keys,
            expires=seconds,
            base_url=base_url,
            client=client,
            filename=filename,
            key=key,
        )
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    click.echo(url)
    return DONE
