"""PURE: a fleet on one host as a file for Docker Compose, 2.23.1 or newer: the nodes, and HAProxy in front."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from freight.config.types import Address
from freight.errors import ConfigurationError
from freight.tools.fleet import haproxy
from freight.tools.fleet.capacity import container_bytes, grace_seconds
from freight.tools.fleet.fleet_options import FleetOptions, Node, serve_arguments
from freight.tools.fleet.yaml_output import as_yaml

_HAPROXY = "haproxy:3.0-alpine"
_CERTIFICATE = "/certs/front.pem"
_STATS_PORT = 8404
_SUBNET = "10.213.7.0/24"  # only the fleet is in it, so a connection from it is HAProxy's
_SERVICE = re.compile(r"[a-z0-9][a-z0-9_-]*")


def write(fleet: FleetOptions) -> str:
    """Return the file as YAML, with comments. Raises ConfigurationError for a host that is no valid service name."""
    for node in fleet.nodes:
        if not _SERVICE.fullmatch(node.host) or node.host == "front":
            raise ConfigurationError(
                f"nodes: {node.host!r} cannot be the name of a service; write node1:8080,node2:8080"
            )
    if len({node.host for node in fleet.nodes}) < len(fleet.nodes):
        raise ConfigurationError("nodes: each needs its own service name; write node1:8080,node2:8080")
    services = {"front": _front(fleet), **{node.host: _node(fleet, node) for node in fleet.nodes}}
    heading = (
        "Written by freight fleet compose. Check: docker compose -f FILE config. Start: docker compose -f FILE up -d.",
        f"It needs the image {fleet.image}: docker build -t {fleet.image} . in a checkout of freight.",
    )
    data = {
        "services": services,
        "networks": {"default": {"ipam": {"config": [{"subnet": _SUBNET}]}}},
        "configs": {"haproxy": {"content": _configuration(fleet)}},
    }
    return as_yaml(heading, _literally(data))


def _literally(data: Any) -> Any:
    """Return the data with ``$`` doubled, because Compose reads a single one as the start of a variable."""
    if isinstance(data, dict):
        return {key: _literally(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_literally(value) for value in data]
    return data.replace("$", "$$") if isinstance(data, str) else data


def _configuration(fleet: FleetOptions) -> str:
    """Return HAProxy's configuration inside its container."""
    inside = replace(
        fleet,
        front=Address("0.0.0.0", fleet.front.port),
        tls_cert=Path(_CERTIFICATE) if fleet.tls_cert else None,
        tls_key=None,
        stats=Address("0.0.0.0", _STATS_PORT) if fleet.stats else None,
        trusted_proxy=(_SUBNET,),
    )
    return haproxy.write(inside)


def _front(fleet: FleetOptions) -> dict[str, Any]:
    port = fleet.front.port
    volumes = []
    if fleet.tls_cert is not None:
        volumes = [
            _mounted(fleet.tls_cert, _CERTIFICATE),
            _mounted(fleet.tls_key or fleet.tls_cert, f"{_CERTIFICATE}.key"),
        ]
    published = [f"{Address(fleet.front.host, port)}:{port}"]
    if fleet.stats is not None:
        published.append(f"{fleet.stats}:{_STATS_PORT}")
    return {
        "image": _HAPROXY,
        "restart": "unless-stopped",
        "depends_on": [node.host for node in fleet.nodes],
        "configs": [{"source": "haproxy", "target": "/usr/local/etc/haproxy/haproxy.cfg"}],
        "sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"},
        "ports": published,
        **({"volumes": volumes} if volumes else {}),
    }


def _node(fleet: FleetOptions, node: Node) -> dict[str, Any]:
    inside = replace(fleet, trusted_proxy=(_SUBNET,))
    return {
        "image": fleet.image,
        "restart": "unless-stopped",
        "command": serve_arguments(inside, node, "/data", host="0.0.0.0"),
        **_health(node),
        "volumes": [_mounted(fleet.path, "/data")],
        "mem_limit": f"{container_bytes(fleet)}b",
        "stop_grace_period": f"{grace_seconds(fleet)}s",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }


def _health(node: Node) -> dict[str, Any]:
    """Return the settings of the image's health check."""
    if node.admin_port is None:
        return {"environment": {"FREIGHT_ADMIN": "none"}, "healthcheck": {"disable": True}}
    address = str(Address("0.0.0.0", node.admin_port))
    # A Prometheus in the same network knows the node by its name.
    return {"environment": {"FREIGHT_ADMIN": address, "FREIGHT_ADMIN_ALLOW_HOST": node.host}}


def _mounted(source: Path, target: str) -> dict[str, Any]:
    return {"type": "bind", "source": str(source), "target": target, "read_only": True}
