"""PURE: the description of a fleet: one table of options, and the frozen value that they become.

The same table makes the flags and reads the file of ``--from``. Each engine uses a part of it (:mod:`.engines`).
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
"""Options with several values: separated by commas, given repeatedly, or an array in the file."""

LOAD_FACTOR = 125
"""In percent of the mean load: a node with more passes requests for its files on to the next node.

A lower value spreads a hot file more evenly, and makes more nodes read each file.
"""

ADMIN_DISTANCE, AGENT_DISTANCE = 1000, 2000
_HOT = re.compile(r"/[A-Za-z0-9/_.~%+@:,=-]*")  # characters that have no meaning in any engine's grammar
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
        help="Address and port where each node serves files.",
        words={"none": ""},
    ),
    Setting(
        name="front",
        kind=Kind.ADDRESS,
        default="auto",
        metavar="HOST:PORT",
        help="Address and port that clients connect to. auto: port 80 of every address, or 443 with TLS.",
        words={"auto": None},
    ),
    Setting(
        name="hot",
        kind=Kind.TEXT,
        default="none",
        metavar="PATH,...",
        help="Very popular paths: requests for them go to the node with the fewest downloads. A path that ends in / "
        "means everything below it. Requests for other files go to the node that has the file in its page cache.",
        words={"none": ""},
    ),
    Setting(
        name="tls-cert",
        kind=Kind.FILE,
        default="none",
        metavar="FILE",
        help="Serve HTTPS with this certificate (PEM). HAProxy expects the key in the same file, or beside it as "
        "FILE.key.",
        words={"none": None},
    ),
    Setting(
        name="tls-key",
        kind=Kind.FILE,
        default="none",
        metavar="FILE",
        help="Private key of --tls-cert (PEM).",
        words={"none": None},
    ),
    Setting(
        name="domain",
        kind=Kind.TEXT,
        default="none",
        metavar="NAME",
        help="Domain name that clients ask for. Caddy serves HTTPS under it and obtains the certificate itself.",
        words={"none": None},
    ),
    Setting(
        name="http2",
        kind=Kind.FLAG,
        default="false",
        metavar="",
        help="Speak HTTP/2 without TLS to the nodes: few connections with many streams each. HTTP/1.1, the default, "
        "costs a node less CPU time per byte.",
    ),
    Setting(
        name="admin",
        kind=Kind.NUMBER,
        default="auto",
        metavar="PORT",
        help="Port of a node's admin listener, for the readiness check at /readyz. auto: the node's port plus 1000. "
        "none: the check only tries to connect to the node.",
        low=1,
        high=PORT_MAX,
        words={"auto": "auto", "none": None},
    ),
    Setting(
        name="agent",
        kind=Kind.NUMBER,
        default="auto",
        metavar="PORT",
        help="Port at which a node reports how much room it has. auto: the node's port plus 2000; a node without such "
        "a listener works too. none: do not ask.",
        low=1,
        high=PORT_MAX,
        words={"auto": "auto", "none": None},
    ),
    Setting(
        name="memory",
        kind=Kind.SIZE,
        default="64MiB",
        metavar="SIZE",
        help="The --memory of each node. It decides how many requests at a time a node is sent.",
    ),
    Setting(
        name="queue",
        kind=Kind.NUMBER,
        default="1000",
        metavar="NUMBER",
        help="How many requests may wait at the balancer; further ones get 503.",
        high=1_000_000,
    ),
    Setting(
        name="max-wait",
        kind=Kind.TIME,
        default="30s",
        metavar="TIME",
        help="How long a request may wait at the balancer, and then again at the node.",
        low=1,
    ),
    Setting(
        name="idle-timeout",
        kind=Kind.TIME,
        default="60s",
        metavar="TIME",
        help="How long a client may be idle or stalled. The duration of a download is not limited.",
        low=1,
    ),
    Setting(
        name="drain",
        kind=Kind.TIME,
        default="5m",
        metavar="TIME",
        help="The --drain of each node: how long downloads may go on when the node is stopped.",
    ),
    Setting(
        name="drain-delay",
        kind=Kind.TIME,
        default="5s",
        metavar="TIME",
        help="The --drain-delay of each node: how long it accepts requests after the signal to stop.",
    ),
    Setting(
        name="trusted-proxy",
        kind=Kind.NETWORKS,
        default="127.0.0.1",
        metavar="NETWORKS",
        help="The --trusted-proxy of each node: the addresses from which the balancer connects. none: no proxy.",
        words={"none": ()},
    ),
    Setting(
        name="stats",
        kind=Kind.ADDRESS,
        default="127.0.0.1:8404",
        metavar="HOST:PORT",
        help="Address and port of HAProxy's statistics or Envoy's admin pages. none: switch them off.",
        words={"none": None},
    ),
    Setting(
        name="path",
        kind=Kind.FILE,
        default="/srv/data",
        metavar="DIR",
        help="Directory on the host that all containers serve.",
    ),
    Setting(
        name="claim",
        kind=Kind.TEXT,
        default="freight-data",
        metavar="NAME",
        help="PersistentVolumeClaim that all pods serve.",
    ),
    Setting(
        name="image",
        kind=Kind.TEXT,
        default=f"freight:{__version__}",
        metavar="NAME",
        help="Container image of a node; freight's Dockerfile builds it.",
    ),
    Setting(
        name="cache",
        kind=Kind.SIZE,
        default="256MiB",
        metavar="SIZE",
        help="Part of a container's memory limit for the page cache, in addition to the process and --memory.",
    ),
)
"""Every option, in the order in which the manual lists them."""


@dataclass(frozen=True, slots=True)
class Node:
    """Address and port of a node, and the ports of its admin and agent listeners, None for those not used."""

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
    """A fleet, read and checked. :data:`OPTIONS` explains the fields."""

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
    """Read a fleet from texts by option name (``{"nodes": "a:8080,b:8080"}``); other options have their default.

    Raises :class:`~freight.errors.Unservable`, which names the option, for a text that is wrong.
    """
    values = {option.field: _read(option, texts.get(option.name, option.default)) for option in OPTIONS}
    admin, agent = values.pop("admin"), values.pop("agent")
    values["nodes"] = tuple(_nodes(values["nodes"], admin, agent))
    values["hot"] = tuple(_hot(values["hot"]))
    for name, form in (("domain", _HOST), ("claim", _NAME), ("image", _IMAGE)):
        if values[name] is not None and not form.fullmatch(values[name]):
            raise Unservable(f"{name}: {values[name]!r} is not a valid name")
    if values["tls_key"] is not None and values["tls_cert"] is None:
        raise Unservable("tls-key: needs --tls-cert")
    for name in ("tls_cert", "tls_key", "path"):
        if values[name] is not None and not str(values[name]).isprintable():
            raise Unservable(f"{name.replace('_', '-')}: {str(values[name])!r} has characters that cannot be written")
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
        raise Unservable("nodes: at least one is needed; write --nodes 10.0.0.5:8080,10.0.0.6:8080")
    words = text.split(",")
    if len(words) > _NODES_MAX:
        raise Unservable(f"nodes: {len(words):,} are too many for one balancer; at most {_NODES_MAX:,}")
    for at, word in enumerate(words):
        address = _address(word.strip())
        if word in words[:at]:
            raise Unservable(f"nodes: {word.strip()} is given twice")
        beside = (_beside(address.port, admin, ADMIN_DISTANCE), _beside(address.port, agent, AGENT_DISTANCE))
        yield Node(address.host, address.port, *beside)


def _address(word: str) -> Address:
    """The address of a node. Raises Unservable with what to write instead."""
    host = word.removeprefix("[").removesuffix("]")
    if _HOST.fullmatch(host) and (":" not in host or host != word or _is_ipv6(host)):
        raise Unservable(f"nodes: {word!r} has no port; write {Address(host, 8080)}")
    try:
        address = parse_address(word)
    except ValueError:
        raise Unservable(
            f"nodes: {word!r} is not HOST:PORT; write 10.0.0.5:8080, node1:8080 or [fd00::5]:8080"
        ) from None
    if not _HOST.fullmatch(address.host):
        raise Unservable(f"nodes: {address.host!r} is neither a host name nor an IP address")
    if not address.port:
        raise Unservable(f"nodes: {word!r} has port 0; write the port where the node serves files: {address.host}:8080")
    return address


def _is_ipv6(host: str) -> bool:
    """Whether it is an address without a port, such as ``fd00::5``, and not a host with one, such as ``a:5``."""
    return host.count(":") > 1


def _beside(port: int, asked: int | Literal["auto"] | None, distance: int) -> int | None:
    """A listener's port, as ``freight serve`` chooses it for ``auto``."""
    if asked != "auto":
        return asked
    return port + distance if port + distance <= PORT_MAX else port - distance


def _hot(text: str) -> Iterator[str]:
    for word in filter(None, map(str.strip, text.split(","))):
        if not _HOT.fullmatch(word):
            raise Unservable(f"hot: {word!r} is not a path; write it as in a URL: /huge.csv, /a%20name or /models/")
        yield word


def serve_words(fleet: Description, node: Node, path: str, host: str | None = None) -> list[str]:
    """The command line of a node, without ``freight``. ``host``: the address to listen at, if not its own name."""
    host = node.host if host is None else host
    words = ["serve", path, "--host", host, "--port", str(node.port), "--memory", format_size(fleet.memory_bytes)]
    words += ["--idle-timeout", format_seconds(fleet.idle_timeout_seconds)]
    words += ["--max-wait", format_seconds(fleet.max_wait_seconds), "--drain", format_seconds(fleet.drain_seconds)]
    words += ["--drain-delay", format_seconds(fleet.drain_delay_seconds)]
    for option, port in (("--admin", node.admin_port), ("--agent", node.agent_port)):
        words += [] if port is None else [option, str(Address(host, port))]
    if fleet.trusted_proxy:
        words += ["--trusted-proxy", ",".join(network.removesuffix("/32") for network in fleet.trusted_proxy)]
    return words
