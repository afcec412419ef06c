"""The engines: what each is told of a fleet, who writes its configuration, and who checks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from freight.errors import Unservable
from freight.fleet.description import Description

_ALWAYS = ("nodes", "memory", "max-wait", "idle-timeout", "drain", "drain-delay")
_FRONT = (*_ALWAYS, "front", "hot", "tls-cert", "tls-key", "http2", "admin", "agent", "queue", "trusted-proxy")
_CONTAINERS = ("image", "cache")


@dataclass(frozen=True, slots=True)
class Engine:
    """``options``: those of the table that it uses. ``checkers``: commands, the first that is installed is asked.

    ``suffix``: what the name of its configuration ends in. The module that writes it has the engine's name.
    """

    name: str
    title: str
    about: str
    options: tuple[str, ...]
    checkers: tuple[tuple[str, ...], ...]
    suffix: str

    @property
    def checker(self) -> str:
        """What checks, as people call it."""
        words = self.checkers[0]
        return " ".join(words[:2] if words[0] == "docker" else words[:1])

    def write(self, fleet: Description) -> str:
        """The configuration. Raises Unservable where the engine cannot have it so, or a library is missing."""
        try:
            module = import_module(f"freight.fleet.{self.name}")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "yaml":
                raise
            needs = "needs PyYAML, which is not installed: pip install 'freight[fleet]'"
            raise Unservable(f"{self.name} {needs}") from None
        return cast(Callable[[Description], str], module.write)(fleet)


ENGINES = (
    Engine(
        "haproxy",
        "Write a configuration of HAProxy.",
        "The path decides which node has a file, so that it is in few page caches; a node that has a quarter more than "
        "the mean load passes on what comes. Nodes say by themselves how much room they have, and that they stop. Who "
        "finds no room waits, in a line that is bounded.",
        (*_FRONT, "stats"),
        (("haproxy", "-c", "-f", "FILE"),),
        ".cfg",
    ),
    Engine(
        "caddy",
        "Write a Caddyfile.",
        "With a certificate or a domain Caddy speaks HTTP/3 too. The path decides which node has a file, as long as "
        "that one has room.",
        (*(name for name in _FRONT if name not in ("queue", "agent")), "domain"),
        (("caddy", "validate", "--adapter", "caddyfile", "--config", "FILE"),),
        ".caddyfile",
    ),
    Engine(
        "envoy",
        "Write a bootstrap of Envoy.",
        "The path decides which node has a file, so that it is in few page caches; a node that has a quarter more than "
        "the mean load passes on what comes.",
        (*(name for name in _FRONT if name != "agent"), "stats"),
        (("envoy", "--mode", "validate", "-c", "FILE", "--log-level", "error"),),
        ".yaml",
    ),
    Engine(
        "compose",
        "Write a file of Docker Compose.",
        "A container for each node, whose host is the name of its service, and one of HAProxy in front of them.",
        (*(name for name in _FRONT if name != "trusted-proxy"), "stats", "path", *_CONTAINERS),
        (("docker", "compose", "-f", "FILE", "config", "--quiet"), ("docker-compose", "-f", "FILE", "config", "-q")),
        ".yaml",
    ),
    Engine(
        "k8s",
        "Write manifests of Kubernetes.",
        "A Deployment of as many pods as there are nodes, whose hosts do not matter; a Service, a PodDisruptionBudget, "
        "and a HorizontalPodAutoscaler that goes by the slots that are taken.",
        (*_ALWAYS, "front", "admin", "trusted-proxy", "claim", *_CONTAINERS),
        (("kubernetes-validate", "--strict", "FILE"),),
        ".yaml",
    ),
)
"""Every engine, in the order in which the manual lists them."""
