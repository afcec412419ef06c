"""PURE: what a fleet is like, in one table of options and the frozen value it results in.

The same table makes the flags and reads the file of ``--from``. An engine uses a part of it (:mod:`.engines`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from freight import __version__
from freight.errors import Unservable
from freight.kinds import PORT_MAX, Address, Kind, Setting, parse_address
from freight.quantities import format_seconds, format_size

LISTS = frozenset({"nodes", "hot", "trusted-proxy"})
"""Options of several texts: with commas between, given again, or an array in the file."""

LOAD_FACTOR = 125
"""A node has at most so many hundredths of the mean load before what comes for its files goes to the next one.

Less spreads a hot file more evenly, and makes more nodes read each file.
"""

ADMIN_DISTANCE, AGENT_DISTANCE = 1000, 2000
_HOT = re.compile(r"/[A-Za-z0-9/_.~%+@:,=-]*")  # what no engine's grammar gives a meaning to
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|[0-9A-Fa-f:.]+")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9/._:@-]*")
_NODES_MAX = 1000

OPTIONS = (
    Setting(
        name="nodes",
        kind=Kind.TEXT,
        default="none",
        metavar="HOST:PORT,...",
        help="The nodes: where each serves files.",
        words={"none": ""},
    ),
    Setting(
        name="front",
        kind=Kind.ADDRESS,
        default="auto",
        metavar="HOST:PORT",
        help="Where clients come to. auto is port 80 of every address, or 443 with TLS.",
        words={"auto": None},
    ),
    Setting(
        name="hot",
        kind=Kind.TEXT,
        default="none",
        metavar="PATH,...",
        help="Paths that everybody wants: they go to the node with the fewest downloads, whichever that is. One that "
        "ends in / is all beneath it. All else goes to the node that has it in its page cache.",
        words={"none": ""},
    ),
    Setting(
        name="tls-cert",
        kind=Kind.FILE,
        default="none",
        metavar="FILE",
        help="Clients speak HTTPS, with this certificate: PEM. For HAProxy it has the key in it too, or beside it as "
        "FILE.key.",
        words={"none": None},
    ),
    Setting(
        name="tls-key",
        kind=Kind.FILE,
        default="none",
        metavar="FILE",
        help="The key of --tls-cert: PEM.",
        words={"none": None},
    ),
    Setting(
        name="domain",
        kind=Kind.TEXT,
        default="none",
        metavar="NAME",
        help="The name that clients ask for. Caddy speaks HTTPS under it, and gets a certificate for it by itself.",
        words={"none": None},
    ),
    Setting(
        name="http2",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Speak HTTP/2 to the nodes, in clear text: few connections, of many streams each. HTTP/1.1, the default, "
        "costs a node less per byte.",
    ),
    Setting(
        name="admin",
        kind=Kind.NUMBER,
        default="auto",
        metavar="PORT",
        help="The port of a node's admin listener, whose /readyz is asked. auto is its port plus 1000. none: only "
        "whether it takes a connection is looked at.",
        low=1,
        high=PORT_MAX,
        words={"auto": "auto", "none": None},
    ),
    Setting(
        name="agent",
        kind=Kind.NUMBER,
        default="auto",
        metavar="PORT",
        help="The port at which a node says how much room it has. auto is its port plus 2000; a node that says nothing "
        "there does no harm. none: it is not asked.",
        low=1,
        high=PORT_MAX,
        words={"auto": "auto", "none": None},
    ),
    Setting(
        name="memory",
        kind=Kind.SIZE,
        default="64MiB",
        metavar="SIZE",
        help="The --memory of each node. How many requests one is sent at once is reckoned from it.",
    ),
    Setting(
        name="queue",
        kind=Kind.NUMBER,
        default="1000",
        metavar="NUMBER",
        help="How many requests may wait at the front for all nodes together; more are answered 503.",
        high=1_000_000,
    ),
    Setting(
        name="max-wait",
        kind=Kind.TIME,
        default="30s",
        metavar="TIME",
        help="How long a request may wait at the front, and once more at the node.",
        low=1,
    ),
    Setting(
        name="idle-timeout",
        kind=Kind.TIME,
        default="60s",
        metavar="TIME",
        help="How long a client may stand still. How long a download takes has no limit.",
        low=1,
    ),
    Setting(
        name="drain",
        kind=Kind.TIME,
        default="5m",
        metavar="TIME",
        help="The --drain of each node: how long running downloads may take to finish when it is stopped.",
    ),
    Setting(
        name="drain-delay",
        kind=Kind.TIME,
        default="5s",
        metavar="TIME",
        help="The --drain-delay of each node: how long it takes requests after it was told to stop.",
    ),
    Setting(
        name="trusted-proxy",
        kind=Kind.NETWORKS,
        default="127.0.0.1",
        metavar="NETWORKS",
        help="The --trusted-proxy of each node: the addresses that the engine connects from.",
    ),
    Setting(
        name="stats",
        kind=Kind.ADDRESS,
        default="127.0.0.1:8404",
        metavar="HOST:PORT",
        help="Where HAProxy shows its statistics, or Envoy its admin pages. none: nowhere.",
        words={"none": None},
    ),
    Setting(
        name="path",
        kind=Kind.FILE,
        default="/srv/data",
        metavar="DIR",
        help="The directory of the host that all containers serve.",
    ),
    Setting(
        name="claim",
        kind=Kind.TEXT,
        default="freight-data",
        metavar="NAME",
        help="The PersistentVolumeClaim that all pods serve.",
    ),
    Setting(
        name="image",
        kind=Kind.TEXT,
        default=f"freight:{__version__}",
        metavar="NAME",
        help="The container image of a node; deploy/Dockerfile makes one.",
    ),
    Setting(
        name="cache",
        kind=Kind.SIZE,
        default="256MiB",
        metavar="SIZE",
        help="What of a container's memory is meant for the page cache, besides what the process and --memory take.",
    ),
)
"""Every option, in the order in which the manual lists them."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where a node serves files; the ports of its admin and agent listeners, None where it is not asked there."""

    host: str
    port: int
    admin_port: int | None
    agent_port: int | None

    def at(self, port: int) -> Address:
        """Another port of the same host."""
        return Address(self.host, port)

    def __str__(self) -> str:
        return str(self.at(self.port))


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A fleet, read and checked. The fields are explained in :data:`OPTIONS`."""

    nodes: tuple[Node, ...]
    front: Address
    hot: tuple[str, ...]
    tls_cert: Path | None
    tls_key: Path | None
    domain: str | None
    http2: bool
    memory_bytes: int
    queue: int
    max_wait_seconds: float
    idle_timeout_seconds: float
    drain_seconds: float
    drain_delay_seconds: float
    trusted_proxy: tuple[str, ...]
    stats: Address | None
    path: Path
    claim: str
    image: str
    cache_bytes: int


def read_description(texts: Mapping[str, str]) -> Description:
    """A fleet from texts by option name (``{"nodes": "a:8080,b:8080"}``); what is not given has its default.

    Raises :class:`~freight.errors.Unservable`, which names the option, when a text is not sensible.
    """
    values = {option.field: _read(option, texts.get(option.name, option.default)) for option in OPTIONS}
    admin, agent = values.pop("admin"), values.pop("agent")
    values["nodes"] = tuple(_nodes(values["nodes"], admin, agent))
    values["hot"] = tuple(_hot(values["hot"]))
    for name, form in (("domain", _HOST), ("claim", _NAME), ("image", _IMAGE)):
        if values[name] is not None and not form.fullmatch(values[name]):
            raise Unservable(f"{name}: {values[name]!r} is not a name")
    if values["tls_key"] is not None and values["tls_cert"] is None:
        raise Unservable("tls-key: there is no tls-cert that it is of")
    for name in ("tls_cert", "tls_key", "path"):
        if values[name] is not None and not str(values[name]).isprintable():
            raise Unservable(f"{name.replace('_', '-')}: {str(values[name])!r} cannot be written")
    if values["front"] is None:
        values["front"] = Address("0.0.0.0", 443 if values["tls_cert"] or values["domain"] else 80)
    return Description(**values)


def _read(option: Setting, text: str) -> Any:
    try:
        return option.read(text)
    except ValueError as error:
        raise Unservable(f"{option.name}: {error}") from None


def _nodes(text: str, admin: Any, agent: Any) -> Iterator[Node]:
    """The nodes, each once. Raises Unservable."""
    if not text:
        raise Unservable("nodes: there must be one at least; write --nodes 10.0.0.5:8080,10.0.0.6:8080")
    words = text.split(",")
    if len(words) > _NODES_MAX:
        raise Unservable(f"nodes: {len(words)} are too many for one engine; at most {_NODES_MAX}")
    for at, word in enumerate(words):
        try:
            address = parse_address(word.strip())
        except ValueError as error:
            raise Unservable(f"nodes: {error}") from None
        if not _HOST.fullmatch(address.host) or not address.port:
            raise Unservable(f"nodes: {word.strip()!r} is not where a node can be reached")
        if word in words[:at]:
            raise Unservable(f"nodes: {word.strip()} is there twice")
        beside = (_beside(address.port, admin, ADMIN_DISTANCE), _beside(address.port, agent, AGENT_DISTANCE))
        yield Node(address.host, address.port, *beside)


def _beside(port: int, asked: int | Literal["auto"] | None, distance: int) -> int | None:
    """A listener's port, as ``freight serve`` reckons it where it is ``auto``."""
    if asked != "auto":
        return asked
    return port + distance if port + distance <= PORT_MAX else port - distance


def _hot(text: str) -> Iterator[str]:
    for word in filter(None, map(str.strip, text.split(","))):
        if not _HOT.fullmatch(word):
            raise Unservable(f"hot: {word!r} is not a path; write it as in a URL: /huge.csv, /a%20name, or /models/")
        yield word


def serve_words(fleet: Description, node: Node, path: str, host: str | None = None) -> list[str]:
    """The command line of a node, without ``freight``. ``host``: what it listens on, if not its own name."""
    host = node.host if host is None else host
    words = ["serve", path, "--host", host, "--port", str(node.port), "--memory", format_size(fleet.memory_bytes)]
    words += ["--idle-timeout", format_seconds(fleet.idle_timeout_seconds)]
    words += ["--max-wait", format_seconds(fleet.max_wait_seconds), "--drain", format_seconds(fleet.drain_seconds)]
    words += ["--drain-delay", format_seconds(fleet.drain_delay_seconds)]
    for option, port in (("--admin", node.admin_port), ("--agent", node.agent_port)):
        words += [] if port is None else [option, str(Address(host, port))]
    return [*words, "--trusted-proxy", ",".join(network.removesuffix("/32") for network in fleet.trusted_proxy)]
