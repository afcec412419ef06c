"""PURE: a fleet, read from the texts of its options and checked, and the command line of each node."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from freight.config.types import PORT_MAX, Address, Setting, parse_address
from freight.errors import ConfigurationError
from freight.tools.fleet.options import OPTIONS
from freight.units import format_seconds, format_size

LOAD_FACTOR = 125
"""Largest load of a node, in percent of the mean. A node with more passes requests for its files to the next node.

A lower value spreads a hot file more evenly, and makes more nodes read each file.
"""

ADMIN_PORT_OFFSET, AGENT_PORT_OFFSET = 1000, 2000
_HOT = re.compile(r"/[A-Za-z0-9/_.~%+@:,=-]*")  # characters that have no meaning in any engine's grammar
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|[0-9A-Fa-f:.]+")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9/._:@-]*")
_NODES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Node:
    """Address and port of a node, and the ports of its admin and agent listeners; None: there is no such listener."""

    host: str
    port: int
    admin_port: int | None
    agent_port: int | None

    def at(self, port: int) -> Address:
        """Return the address of another port of its host."""
        return Address(self.host, port)

    def __str__(self) -> str:
        return str(self.at(self.port))


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """A fleet, read and checked. :data:`OPTIONS` explains the fields."""

    nodes: tuple[Node, ...]
    front: Address
    hot: tuple[str, ...]
    tls_cert: Path | None
    tls_key: Path | None
    domain: str | None
    http2: bool
    memory_bytes: int
    queue_size: int
    queue_timeout_seconds: float
    idle_timeout_seconds: float
    shutdown_timeout_seconds: float
    shutdown_delay_seconds: float
    trusted_proxy: tuple[str, ...]
    stats: Address | None
    path: Path
    claim: str
    image: str
    cache_bytes: int


def read_options(texts: Mapping[str, str]) -> FleetOptions:
    """Read a fleet from texts by option name (``{"nodes": "a:8080,b:8080"}``); other options get their defaults.

    Raises :class:`~freight.errors.ConfigurationError`, which names the option, for an invalid text.
    """
    values = {option.field: _read(option, texts.get(option.name, option.default)) for option in OPTIONS}
    admin, agent = values.pop("admin"), values.pop("haproxy_agent")
    values["nodes"] = tuple(_nodes(values["nodes"], admin, agent))
    values["hot"] = tuple(_hot(values["hot"]))
    for name, form in (("domain", _HOST), ("claim", _NAME), ("image", _IMAGE)):
        if values[name] is not None and not form.fullmatch(values[name]):
            raise ConfigurationError(f"{name}: {values[name]!r} is not a valid name")
    if values["tls_key"] is not None and values["tls_cert"] is None:
        raise ConfigurationError("tls-key: needs --tls-cert")
    for name in ("tls_cert", "tls_key", "path"):
        if values[name] is not None and not str(values[name]).isprintable():
            raise ConfigurationError(
                f"{name.replace('_', '-')}: {str(values[name])!r} has characters that are not printable"
            )
    if values["front"] is None:
        values["front"] = Address("0.0.0.0", 443 if values["tls_cert"] or values["domain"] else 80)
    return FleetOptions(**values)


def _read(option: Setting, text: str) -> Any:
    try:
        return option.read(text)
    except ValueError as error:
        raise ConfigurationError(f"{option.name}: {error}") from None


def _nodes(text: str, admin: Any, agent: Any) -> Iterator[Node]:
    """Yield the nodes. Raises ConfigurationError for an invalid or repeated one."""
    if not text:
        raise ConfigurationError("nodes: at least one is needed; write --nodes 10.0.0.5:8080,10.0.0.6:8080")
    words = text.split(",")
    if len(words) > _NODES_MAX:
        raise ConfigurationError(f"nodes: {len(words):,} are too many for one balancer; at most {_NODES_MAX:,}")
    for at, word in enumerate(words):
        address = _address(word.strip())
        if word in words[:at]:
            raise ConfigurationError(f"nodes: {word.strip()} is given twice")
        beside = (_beside(address.port, admin, ADMIN_PORT_OFFSET), _beside(address.port, agent, AGENT_PORT_OFFSET))
        yield Node(address.host, address.port, *beside)


def _address(word: str) -> Address:
    """Return the address of a node. Raises ConfigurationError that says what to write instead."""
    host = word.removeprefix("[").removesuffix("]")
    if _HOST.fullmatch(host) and (":" not in host or host != word or _is_ipv6(host)):
        raise ConfigurationError(f"nodes: {word!r} has no port; write {Address(host, 8080)}")
    try:
        address = parse_address(word)
    except ValueError:
        raise ConfigurationError(
            f"nodes: {word!r} is not HOST:PORT; write 10.0.0.5:8080, node1:8080 or [fd00::5]:8080"
        ) from None
    if not _HOST.fullmatch(address.host):
        raise ConfigurationError(f"nodes: {address.host!r} is neither a host name nor an IP address")
    if not address.port:
        raise ConfigurationError(
            f"nodes: {word!r} has port 0; write the port where the node serves files: {address.host}:8080"
        )
    return address


def _is_ipv6(host: str) -> bool:
    """Return whether it is an address without a port, such as ``fd00::5``, not a host with one, such as ``a:5``."""
    return host.count(":") > 1


def _beside(port: int, asked: int | Literal["auto"] | None, distance: int) -> int | None:
    """Return a listener's port, as ``freight serve`` chooses it for ``auto``."""
    if asked != "auto":
        return asked
    return port + distance if port + distance <= PORT_MAX else port - distance


def _hot(text: str) -> Iterator[str]:
    for word in filter(None, map(str.strip, text.split(","))):
        if not _HOT.fullmatch(word):
            raise ConfigurationError(
                f"hot: {word!r} is not a path; write it as in a URL: /huge.csv, /a%20name or /models/"
            )
        yield word


def serve_arguments(fleet: FleetOptions, node: Node, path: str, host: str | None = None) -> list[str]:
    """Return the arguments of ``freight`` that start a node. ``host``: the address to listen at; None: its own name."""
    host = node.host if host is None else host
    words = ["serve", path, "--host", host, "--port", str(node.port), "--memory", format_size(fleet.memory_bytes)]
    words += ["--idle-timeout", format_seconds(fleet.idle_timeout_seconds)]
    words += [
        "--queue-timeout",
        format_seconds(fleet.queue_timeout_seconds),
        "--shutdown-timeout",
        format_seconds(fleet.shutdown_timeout_seconds),
    ]
    words += ["--shutdown-delay", format_seconds(fleet.shutdown_delay_seconds)]
    for option, port in (("--admin", node.admin_port), ("--haproxy-agent", node.agent_port)):
        words += [] if port is None else [option, str(Address(host, port))]
    if fleet.trusted_proxy:
        words += ["--trusted-proxy", ",".join(network.removesuffix("/32") for network in fleet.trusted_proxy)]
    return words
