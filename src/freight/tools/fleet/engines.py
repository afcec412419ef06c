"""The engines: the options each uses, the module that writes its configuration, and the program that checks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import cast

from freight.tools.fleet.fleet_options import FleetOptions

_ALWAYS = ("nodes", "memory", "queue-timeout", "idle-timeout", "shutdown-timeout", "shutdown-delay")
_FRONT = (
    *_ALWAYS,
    "front",
    "hot",
    "tls-cert",
    "tls-key",
    "http2",
    "admin",
    "haproxy-agent",
    "queue-size",
    "trusted-proxy",
)
_CONTAINERS = ("image", "cache")


@dataclass(frozen=True, slots=True)
class Engine:
    """``options``: names of the options that it uses. ``checkers``: commands; the first installed one runs.

    ``suffix``: of the configuration's file name. ``defaults``: replace the table's defaults of some options.
    The module that writes the configuration has the engine's name.
    """

    name: str
    title: str
    about: str
    options: tuple[str, ...]
    checkers: tuple[tuple[str, ...], ...]
    suffix: str
    defaults: Mapping[str, str] = field(default_factory=dict)

    @property
    def checker(self) -> str:
        """Return the name of the checker."""
        words = self.checkers[0]
        return " ".join(words[:2] if words[0] == "docker" else words[:1])

    def write(self, fleet: FleetOptions) -> str:
        """Return the configuration. Raises ConfigurationError if the engine cannot do it, or a library is missing."""
        if self.suffix == ".yaml":
            from freight.tools.extras import require

            require("PyYAML", f"freight fleet {self.name}", module="yaml")
        module = import_module(f"freight.tools.fleet.{self.name}")
        return cast(Callable[[FleetOptions], str], module.write)(fleet)


ENGINES = (
    Engine(
        "haproxy",
        "Write a configuration for HAProxy.",
        "Requests for one file go to one node, so that few page caches hold it. A node with 25% more than the mean "
        "load passes requests on to the next node. Nodes report their load, and when they stop. Requests wait in a "
        "bounded queue while all nodes are full.",
        (*_FRONT, "stats"),
        (("haproxy", "-c", "-f", "FILE"),),
        ".cfg",
    ),
    Engine(
        "caddy",
        "Write a Caddyfile.",
        "With a certificate or a domain, Caddy also serves HTTP/3. Requests for one file go to one node until it is "
        "full.",
        (*(name for name in _FRONT if name not in ("queue-size", "haproxy-agent")), "domain"),
        (("caddy", "validate", "--adapter", "caddyfile", "--config", "FILE"),),
        ".caddyfile",
    ),
    Engine(
        "envoy",
        "Write a bootstrap configuration for Envoy.",
        "Requests for one file go to one node, so that few page caches hold it. A node with 25% more than the mean "
        "load passes requests on to the next node.",
        (*(name for name in _FRONT if name != "haproxy-agent"), "stats"),
        (("envoy", "--mode", "validate", "-c", "FILE", "--log-level", "error"),),
        ".yaml",
    ),
    Engine(
        "compose",
        "Write a file for Docker Compose.",
        "One container for each node, and HAProxy in front of them. The host of a node is the name of its service.",
        (*(name for name in _FRONT if name != "trusted-proxy"), "stats", "path", *_CONTAINERS),
        (("docker", "compose", "-f", "FILE", "config", "--quiet"), ("docker-compose", "-f", "FILE", "config", "-q")),
        ".yaml",
    ),
    Engine(
        "k8s",
        "Write manifests for Kubernetes.",
        "A Deployment with one pod for each node, whose host names do not matter; a Service; a PodDisruptionBudget; "
        "and a HorizontalPodAutoscaler that adds pods when their slots are in use. It needs an adapter for custom "
        "metrics.",
        (*_ALWAYS, "front", "admin", "trusted-proxy", "claim", *_CONTAINERS),
        (("kubernetes-validate", "--strict", "FILE"),),
        ".yaml",
        {"trusted-proxy": "none"},  # no proxy connects from a pod's loopback
    ),
)
"""Every engine, in the order in which the manual lists them."""
