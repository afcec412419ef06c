"""The engines: the options each uses, the module that writes its configuration, and the program that checks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import cast

from freight.fleet.description import Description

_ALWAYS = ("nodes", "memory", "max-wait", "idle-timeout", "drain", "drain-delay")
_FRONT = (*_ALWAYS, "front", "hot", "tls-cert", "tls-key", "http2", "admin", "agent", "queue", "trusted-proxy")
_CONTAINERS = ("image", "cache")


@dataclass(frozen=True, slots=True)
class Engine:
    """``options``: those of the table that it uses. ``checkers``: commands; the first that is installed checks.

    ``suffix``: of the configuration's file name. ``defaults``: of options for which the table's default does not suit.
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
        """The name of the checker."""
        words = self.checkers[0]
        return " ".join(words[:2] if words[0] == "docker" else words[:1])

    def write(self, fleet: Description) -> str:
        """The configuration. Raises Unservable if the engine does not support it, or a library is missing."""
        if self.suffix == ".yaml":
            from freight.extras import demand

            demand("PyYAML", f"freight fleet {self.name}", module="yaml")
        module = import_module(f"freight.fleet.{self.name}")
        return cast(Callable[[Description], str], module.write)(fleet)


ENGINES = (
    Engine(
        "haproxy",
        "Write a configuration for HAProxy.",
        "Requests for a file go to the same node, so that few page caches hold it; a node with a quarter more than the "
        "mean load passes requests on to the next one. Nodes report how much room they have, and when they stop. "
        "Requests for which no node has room wait in a queue of limited length.",
        (*_FRONT, "stats"),
        (("haproxy", "-c", "-f", "FILE"),),
        ".cfg",
    ),
    Engine(
        "caddy",
        "Write a Caddyfile.",
        "With a certificate or a domain, Caddy also serves HTTP/3. Requests for a file go to the same node as long as "
        "it has room.",
        (*(name for name in _FRONT if name not in ("queue", "agent")), "domain"),
        (("caddy", "validate", "--adapter", "caddyfile", "--config", "FILE"),),
        ".caddyfile",
    ),
    Engine(
        "envoy",
        "Write a bootstrap configuration for Envoy.",
        "Requests for a file go to the same node, so that few page caches hold it; a node with a quarter more than the "
        "mean load passes requests on to the next one.",
        (*(name for name in _FRONT if name != "agent"), "stats"),
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
        "and a HorizontalPodAutoscaler that adds pods when their slots are taken, which needs an adapter of custom "
        "metrics.",
        (*_ALWAYS, "front", "admin", "trusted-proxy", "claim", *_CONTAINERS),
        (("kubernetes-validate", "--strict", "FILE"),),
        ".yaml",
        {"trusted-proxy": "none"},  # in a pod nothing useful connects from the loopback
    ),
)
"""Every engine, in the order in which the manual lists them."""
