"""The settings: one table, from which flags, environment, file and manual are made, and the frozen value it results in.

To add a setting, add a row to :data:`SETTINGS` and the field it names to :class:`Settings`; a test holds them together.
Defaults are written as a user would write them, and go through the same reading and the same bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from freight.errors import Unservable
from freight.kinds import PORT_MAX, Address, Kind, Setting
from freight.quantities import format_rate

SETTINGS = (
    Setting(
        name="path",
        kind=Kind.PATH,
        default=".",
        metavar="PATH",
        help="The file or directory to serve. A file answers at / and at /NAME; a directory lists what is in it.",
    ),
    Setting(
        name="host",
        kind=Kind.TEXT,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="The address to listen on. Only this machine can reach the default; 0.0.0.0 is every IPv4 address, "
        ":: every address.",
    ),
    Setting(
        name="port",
        kind=Kind.NUMBER,
        default="8080",
        metavar="NUMBER",
        help="The TCP port to listen on; 0 takes a free one and says which.",
        high=PORT_MAX,
    ),
    Setting(
        name="memory",
        kind=Kind.SIZE,
        default="auto",
        metavar="SIZE",
        help="The memory for everything that grows with clients: running, waiting and idle connections, in the process "
        "and in the kernel. auto is 64MiB, or a quarter of the cgroup's memory limit where that is less.",
        words={"auto": None},
        live=True,
    ),
    Setting(
        name="workers",
        kind=Kind.NUMBER,
        default="1",
        metavar="NUMBER",
        help="How many processes serve, all from the one --memory. More than one are for several cores. auto: as many "
        "as there are processors that it may use.",
        low=1,
        high=256,
        words={"auto": None},
    ),
    Setting(
        name="queue",
        kind=Kind.NUMBER,
        default="1000",
        metavar="NUMBER",
        help="How many requests may wait until there is room for their downloads; 0: none waits.",
        high=1_000_000,
        live=True,
    ),
    Setting(
        name="max-wait",
        kind=Kind.TIME,
        default="30s",
        metavar="TIME",
        help="How long a request may wait before it is told to come back later.",
        live=True,
    ),
    Setting(
        name="per-client",
        kind=Kind.NUMBER,
        default="none",
        metavar="NUMBER",
        help="How many downloads of one client run at once; others of it wait. A client is an IPv4 address, or a /64 "
        "of IPv6 addresses. none: as many as there is room for.",
        low=1,
        words={"none": None},
        live=True,
    ),
    Setting(
        name="min-rate",
        kind=Kind.RATE,
        default="1KiB/s",
        metavar="RATE",
        help="How fast a download must be, on average over the idle timeout, or it is let go. What counts is what the "
        "client acknowledged. none: any that does not stand still may go on.",
        low=1,
        words={"none": None},
        live=True,
    ),
    Setting(
        name="rate",
        kind=Kind.RATE,
        default="none",
        metavar="RATE",
        help="How fast all downloads together may be. none: as fast as the machine can.",
        low=1,
        words={"none": None},
        live=True,
    ),
    Setting(
        name="per-client-rate",
        kind=Kind.RATE,
        default="none",
        metavar="RATE",
        help="How fast the downloads of one client together may be. none: as fast as the others leave room for.",
        low=1,
        words={"none": None},
        live=True,
    ),
    Setting(
        name="idle-timeout",
        kind=Kind.TIME,
        default="60s",
        metavar="TIME",
        help="How long a client may stand still, taking or sending nothing, before it is let go. A download that "
        "moves may last for ever.",
        low=1,
        live=True,
    ),
    Setting(
        name="drain",
        kind=Kind.TIME,
        default="30s",
        metavar="TIME",
        help="How long running downloads may take to finish after Ctrl-C or SIGTERM. A second signal ends at once.",
        live=True,
    ),
    Setting(
        name="drain-delay",
        kind=Kind.TIME,
        default="0s",
        metavar="TIME",
        help="How long to go on taking requests after Ctrl-C or SIGTERM, while /readyz says already that none are "
        "taken: a balancer needs that long to see it. --drain begins behind it.",
        live=True,
    ),
    Setting(
        name="admin",
        kind=Kind.ADDRESS,
        default="auto",
        metavar="HOST:PORT",
        help="Where the server shows what it does: a listener of its own. auto is 127.0.0.1 at the port plus 1000, "
        "left out with a warning when that is taken. none: there is no such listener.",
        words={"auto": "auto", "none": None},
    ),
    Setting(
        name="agent",
        kind=Kind.ADDRESS,
        default="none",
        metavar="HOST:PORT",
        help="Where load balancers ask how much room there is here, as the agent checks of HAProxy do. none: there is "
        "no such listener.",
        words={"none": None},
    ),
    Setting(
        name="trusted-proxy",
        kind=Kind.NETWORKS,
        default="none",
        metavar="NETWORKS",
        help="Proxies whose Forwarded or X-Forwarded-For field is believed: addresses or networks, with commas "
        "between. none: no proxy is.",
        words={"none": ()},
    ),
    Setting(
        name="proxy-protocol",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Every connection begins with a PROXY protocol header, of version 1 or 2, that says whose it is.",
    ),
    Setting(
        name="tls-cert",
        kind=Kind.FILE,
        default="none",
        metavar="FILE",
        help="Serve by HTTPS, with this certificate: PEM, those that sign it behind it. SIGHUP has it and its key read "
        "again. none: plain HTTP.",
        words={"none": None},
    ),
    Setting(
        name="tls-key",
        kind=Kind.FILE,
        default="none",
        metavar="FILE",
        help="The key of --tls-cert: PEM, without a passphrase.",
        words={"none": None},
    ),
    Setting(
        name="tls-self-signed",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Serve by HTTPS, with a certificate made at the start that nobody has signed, for trying it out. Its "
        "fingerprint is printed.",
    ),
    Setting(
        name="redirect-port",
        kind=Kind.NUMBER,
        default="none",
        metavar="NUMBER",
        help="Another TCP port, where plain HTTP is sent on to HTTPS. 0 takes a free one and says which. none: there "
        "is no such port.",
        high=PORT_MAX,
        words={"none": None},
    ),
    Setting(
        name="no-length",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Send bodies without stating their length: chunked on HTTP/1.1, until close on HTTP/1.0. Clients then "
        "cannot resume or show how much is left.",
        off="length",
    ),
    Setting(
        name="follow-links",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Follow symbolic links that stay beneath PATH. Links that lead out of it are never followed.",
    ),
    Setting(
        name="hidden",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="List and serve names that begin with a dot.",
    ),
    Setting(
        name="log-format",
        kind=Kind.CHOICE,
        default="text",
        metavar="FORMAT",
        help="How each finished request is logged: a line of text, or a JSON object a line.",
        choices=("text", "json"),
    ),
)
"""Every setting, in the order in which the manual lists them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator asked for, read and checked. The fields are explained in :data:`SETTINGS`.

    None is what the text ``none`` says, except in ``memory_bytes`` and ``workers``, where it is ``auto``.
    """

    path: Path
    host: str
    port: int
    memory_bytes: int | None
    workers: int | None
    queue: int
    max_wait_seconds: float
    per_client: int | None
    min_rate_bytes_per_second: int | None
    rate_bytes_per_second: int | None
    per_client_rate_bytes_per_second: int | None
    idle_timeout_seconds: float
    drain_seconds: float
    drain_delay_seconds: float
    admin: Address | Literal["auto"] | None
    agent: Address | None
    trusted_proxy: tuple[str, ...]
    proxy_protocol: bool
    tls_cert: Path | None
    tls_key: Path | None
    tls_self_signed: bool
    redirect_port: int | None
    no_length: bool
    follow_links: bool
    hidden: bool
    log_format: Literal["text", "json"]


def read_settings(texts: Mapping[str, str], origins: Mapping[str, str] | None = None) -> Settings:
    """Settings from texts by setting name (``{"memory": "20MB"}``); what is not given has its default.

    Raises :class:`~freight.errors.Unservable` when a text is not sensible, or when two together are not. It names the
    setting, or its origin where ``origins`` has one (``{"memory": "--memory"}``).
    """
    unknown = texts.keys() - {setting.name for setting in SETTINGS}
    if unknown:
        raise Unservable(f"{min(unknown)}: there is no such setting")

    def named(name: str) -> str:
        return (origins or {}).get(name, name)

    fields: dict[str, Any] = {}  # the table's kinds decide the types; a test compares them with the annotations
    for setting in SETTINGS:
        text = texts.get(setting.name, setting.default)
        try:
            fields[setting.field] = setting.read(text)
        except ValueError as error:
            raise Unservable(f"{named(setting.name)}: {error}") from None
    settings = Settings(**fields)
    _check_together(settings, named)
    return settings


def _check_together(settings: Settings, named: Callable[[str], str]) -> None:
    """Refuse what makes sense alone but not together. All settings of a rule are live, or none: see ``reload``."""
    if settings.port and settings.admin == Address(settings.host, settings.port):
        raise Unservable(f"{named('admin')}: {settings.admin} is where files are served; take another port")
    if settings.agent and settings.agent.port:
        if settings.agent == Address(settings.host, settings.port):
            raise Unservable(f"{named('agent')}: {settings.agent} is where files are served; take another port")
        if settings.agent == settings.admin:
            raise Unservable(f"{named('agent')}: {settings.agent} is where the admin listener is; take another port")
    _check_tls(settings, named)
    least = settings.min_rate_bytes_per_second
    for name, most in (
        ("rate", settings.rate_bytes_per_second),
        ("per-client-rate", settings.per_client_rate_bytes_per_second),
    ):
        if least is not None and most is not None and most < least:
            raise Unservable(
                f"{named(name)}: {format_rate(most)} is less than the {format_rate(least)} of {named('min-rate')}: "
                "every download would be let go"
            )


def _check_tls(settings: Settings, named: Callable[[str], str]) -> None:
    pair = {"tls-cert": settings.tls_cert, "tls-key": settings.tls_key}
    for name, path in pair.items():
        if path is not None and settings.tls_self_signed:
            raise Unservable(f"{named(name)}: {named('tls-self-signed')} makes a certificate of its own; leave out one")
    if len(missing := [name for name, path in pair.items() if path is None]) == 1:
        raise Unservable(f"{named(missing[0])}: is missing, while there is the other of the pair")
    if settings.redirect_port is not None:
        if settings.tls_cert is None and not settings.tls_self_signed:
            raise Unservable(f"{named('redirect-port')}: there is no HTTPS to send to; give {named('tls-cert')} too")
        if settings.redirect_port and settings.redirect_port == settings.port:
            raise Unservable(f"{named('redirect-port')}: {settings.port} is where HTTPS is spoken; take another port")
