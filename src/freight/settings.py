"""The settings: one table, from which flags, environment, file and manual are made, and the frozen value it results in.

To add a setting, add a row to :data:`SETTINGS` and the field it names to :class:`Settings`; a test holds them together.
Defaults are written as a user would write them, and go through the same reading and the same bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from freight.errors import Unservable
from freight.kinds import PORT_MAX, Address, Kind, Setting
from freight.quantities import format_rate

COMMON, FILES, LIMITS, HTTPS, PROXY, OPERATION, LOGGING = GROUPS = (
    "Common",
    "Files",
    "Limits",
    "HTTPS",
    "Behind a proxy or load balancer",
    "Operation",
    "Logging",
)
"""The headings of the manual, in its order."""

SETTINGS = (
    Setting(
        name="path",
        kind=Kind.PATH,
        default=".",
        metavar="PATH",
        help="The file or directory to serve. A file answers at / and at /NAME; a directory lists its files.",
        group=COMMON,
        aliases=("-d", "--directory"),
    ),
    Setting(
        name="host",
        kind=Kind.HOST,
        default="127.0.0.1",
        metavar="ADDRESS",
        help="Address to listen on. The default can be reached from this machine only; 0.0.0.0 means every IPv4 "
        "address, :: every address.",
        group=COMMON,
        aliases=("-b", "--bind", "--listen"),
    ),
    Setting(
        name="port",
        kind=Kind.NUMBER,
        default="8080",
        metavar="NUMBER",
        help="TCP port to listen on. 0 takes a free port and prints it.",
        high=PORT_MAX,
        group=COMMON,
        short="-p",
    ),
    Setting(
        name="memory",
        kind=Kind.SIZE,
        default="auto",
        metavar="SIZE",
        help="Memory for everything that grows with clients, in the process and in the kernel. Downloads that do not "
        "fit wait. auto: 64MiB, or a quarter of the cgroup's memory limit if that is less.",
        words={"auto": None},
        live=True,
        group=COMMON,
    ),
    Setting(
        name="workers",
        kind=Kind.NUMBER,
        default="1",
        metavar="NUMBER",
        help="Number of processes; more than one use several cores. They share --memory and all limits. auto: one for "
        "each usable core.",
        low=1,
        high=256,
        words={"auto": None},
        group=COMMON,
    ),
    Setting(
        name="hidden",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="List and serve names that begin with a dot.",
        group=FILES,
    ),
    Setting(
        name="follow-links",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Follow symbolic links that stay beneath PATH. Links that lead out of PATH are never followed.",
        group=FILES,
    ),
    Setting(
        name="no-length",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Send bodies without Content-Length: chunked on HTTP/1.1, until close on HTTP/1.0. Clients can then "
        "neither resume nor show progress.",
        off="length",
        group=FILES,
    ),
    Setting(
        name="queue",
        kind=Kind.NUMBER,
        default="1000",
        metavar="NUMBER",
        help="How many requests may wait for a slot. When the queue is full, a request gets 503. 0: no queue.",
        high=1_000_000,
        live=True,
        group=LIMITS,
    ),
    Setting(
        name="max-wait",
        kind=Kind.TIME,
        default="30s",
        metavar="TIME",
        help="How long a request may wait before it gets 503 with Retry-After.",
        live=True,
        group=LIMITS,
    ),
    Setting(
        name="per-client",
        kind=Kind.NUMBER,
        default="none",
        metavar="NUMBER",
        help="How many downloads of one client may run at once; its other requests wait. A client is an IPv4 address, "
        "or a /64 of IPv6 addresses. none: no limit.",
        low=1,
        words={"none": None},
        live=True,
        group=LIMITS,
    ),
    Setting(
        name="rate",
        kind=Kind.RATE,
        default="none",
        metavar="RATE",
        help="Bandwidth limit for all downloads together. none: no limit.",
        low=1,
        words={"none": None},
        live=True,
        group=LIMITS,
    ),
    Setting(
        name="per-client-rate",
        kind=Kind.RATE,
        default="none",
        metavar="RATE",
        help="Bandwidth limit for the downloads of one client together. none: no limit.",
        low=1,
        words={"none": None},
        live=True,
        group=LIMITS,
    ),
    Setting(
        name="min-rate",
        kind=Kind.RATE,
        default="1KiB/s",
        metavar="RATE",
        help="Slowest download that is allowed, by what the client acknowledged, on average over --idle-timeout. "
        "Slower ones are aborted. none: only stalled ones are.",
        low=1,
        words={"none": None},
        live=True,
        group=LIMITS,
    ),
    Setting(
        name="idle-timeout",
        kind=Kind.TIME,
        default="60s",
        metavar="TIME",
        help="Close a connection after this long without progress in either direction. A download has no limit on its "
        "total time.",
        low=1,
        live=True,
        group=LIMITS,
    ),
    Setting(
        name="tls-cert",
        kind=Kind.FILE,
        default="none",
        metavar="FILE",
        help="Serve HTTPS with this certificate: PEM, followed by its chain. Reloaded on SIGHUP. none: plain HTTP.",
        words={"none": None},
        group=HTTPS,
    ),
    Setting(
        name="tls-key",
        kind=Kind.FILE,
        default="none",
        metavar="FILE",
        help="Private key of --tls-cert: PEM, without a passphrase. Reloaded on SIGHUP.",
        words={"none": None},
        group=HTTPS,
    ),
    Setting(
        name="tls-self-signed",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Serve HTTPS with a self-signed certificate, made at the start, to try it out. Its fingerprint is "
        "printed.",
        group=HTTPS,
    ),
    Setting(
        name="redirect-port",
        kind=Kind.NUMBER,
        default="none",
        metavar="NUMBER",
        help="Another TCP port, which redirects plain HTTP to HTTPS. 0 takes a free port and prints it. none: no "
        "redirect.",
        high=PORT_MAX,
        words={"none": None},
        group=HTTPS,
    ),
    Setting(
        name="trusted-proxy",
        kind=Kind.NETWORKS,
        default="none",
        metavar="NETWORKS",
        help="Proxies whose Forwarded or X-Forwarded-For field is believed: addresses or networks, separated by "
        "commas. none: no proxy.",
        words={"none": ()},
        group=PROXY,
    ),
    Setting(
        name="proxy-protocol",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Expect a PROXY protocol header, version 1 or 2, at the start of every connection.",
        group=PROXY,
    ),
    Setting(
        name="agent",
        kind=Kind.ADDRESS,
        default="none",
        metavar="HOST:PORT",
        help="Address where load balancers ask for the free capacity, as HAProxy's agent-check does. none: disabled.",
        words={"none": None},
        group=PROXY,
    ),
    Setting(
        name="admin",
        kind=Kind.ADDRESS,
        default="auto",
        metavar="HOST:PORT",
        help="Address of the admin listener: dashboard, /status, /metrics, health checks. auto: 127.0.0.1 at --port "
        "+ 1000; if that port is taken, freight logs a warning and starts without it. none: disabled.",
        words={"auto": "auto", "none": None},
        group=OPERATION,
    ),
    Setting(
        name="drain",
        kind=Kind.TIME,
        default="30s",
        metavar="TIME",
        help="How long running downloads may take to finish after Ctrl-C or SIGTERM. A second signal aborts them.",
        live=True,
        group=OPERATION,
    ),
    Setting(
        name="drain-delay",
        kind=Kind.TIME,
        default="0s",
        metavar="TIME",
        help="Keep accepting requests for this long after Ctrl-C or SIGTERM, while /readyz already fails, so that "
        "load balancers can stop sending traffic first. Then --drain starts.",
        live=True,
        group=OPERATION,
    ),
    Setting(
        name="log-format",
        kind=Kind.CHOICE,
        default="text",
        metavar="FORMAT",
        help="Format of the log on standard error: a line of text, or a JSON object a line.",
        choices=("text", "json"),
        group=LOGGING,
    ),
)
"""Every setting, in the order in which the manual lists them: group by group."""


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
    hidden: bool
    follow_links: bool
    no_length: bool
    queue: int
    max_wait_seconds: float
    per_client: int | None
    rate_bytes_per_second: int | None
    per_client_rate_bytes_per_second: int | None
    min_rate_bytes_per_second: int | None
    idle_timeout_seconds: float
    tls_cert: Path | None
    tls_key: Path | None
    tls_self_signed: bool
    redirect_port: int | None
    trusted_proxy: tuple[str, ...]
    proxy_protocol: bool
    agent: Address | None
    admin: Address | Literal["auto"] | None
    drain_seconds: float
    drain_delay_seconds: float
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
    for conflict in conflicts(settings, named):
        raise Unservable(conflict)
    return settings


def conflicts(settings: Settings, named: Callable[[str], str]) -> Iterator[str]:
    """What makes sense alone but not together, a line each. ``named`` says what a setting is called in it.

    All settings of a rule are live, or none: see :func:`freight.config.reload`.
    """
    files = Address(settings.host, settings.port)
    if settings.port and settings.admin == files:
        yield f"{named('admin')}: {files} is where files are served; take another port"
    if settings.agent and settings.agent.port:
        if settings.agent == files:
            yield f"{named('agent')}: {files} is where files are served; take another port"
        elif settings.agent == settings.admin:
            yield f"{named('agent')}: {settings.agent} is the address of the admin listener; take another port"
    yield from _conflicts_of_tls(settings, named)
    least = settings.min_rate_bytes_per_second
    for name, most in (
        ("rate", settings.rate_bytes_per_second),
        ("per-client-rate", settings.per_client_rate_bytes_per_second),
    ):
        if least is not None and most is not None and most < least:
            yield (
                f"{named(name)}: {format_rate(most)} is less than the {format_rate(least)} of {named('min-rate')}, so "
                f"every download would be aborted; give a lower {named('min-rate')} too"
            )


def _conflicts_of_tls(settings: Settings, named: Callable[[str], str]) -> Iterator[str]:
    cert, key = settings.tls_cert is not None, settings.tls_key is not None
    for name, there in (("tls-cert", cert), ("tls-key", key)):
        if there and settings.tls_self_signed:
            yield f"{named(name)}: {named('tls-self-signed')} makes a certificate of its own; give only one of the two"
    if cert != key:
        given, missing = ("tls-cert", "tls-key") if cert else ("tls-key", "tls-cert")
        yield f"{named(given)}: needs {named(missing)} too"
    if settings.redirect_port is not None:
        if not cert and not settings.tls_self_signed:
            yield f"{named('redirect-port')}: there is no HTTPS to redirect to; give {named('tls-cert')} too"
        if settings.redirect_port and settings.redirect_port == settings.port:
            yield f"{named('redirect-port')}: {settings.port} is the port of HTTPS; take another port"
