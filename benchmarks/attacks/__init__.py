"""Clients that mean harm, one function an attack: ``ATTACKS[name](host, port, seconds, connections)``.

They speak in bytes made beforehand, so that an attack costs its client little, and need nothing but Python. ``python -m
benchmarks.attacks NAME HOST PORT`` runs one in a process of its own, which is how they are to be used: beside a server
in the same process they would slow it by being there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from . import http1, http2, tls
from .drive import Reconnect, Script, Told, drive


class Attack(Protocol):
    """One attack. ``path`` is what it asks for; ``reconnect`` when it begins again on a new connection."""

    def __call__(
        self,
        host: str,
        port: int,
        seconds: float,
        connections: int,
        *,
        path: str = "/",
        reconnect: Reconnect = Reconnect.WHEN_ENDED,
    ) -> Told: ...


def _attack(script: Script) -> Attack:
    def attack(
        host: str,
        port: int,
        seconds: float,
        connections: int,
        *,
        path: str = "/",
        reconnect: Reconnect = Reconnect.WHEN_ENDED,
    ) -> Told:
        return drive(script, host, port, seconds, connections, path, reconnect)

    attack.__doc__ = script.__doc__
    return attack


ATTACKS: Mapping[str, Attack] = {
    script.__name__.replace("_", "-"): _attack(script) for script in (*http2.SCRIPTS, *http1.SCRIPTS, *tls.SCRIPTS)
}
"""Every attack by its name."""

__all__ = ["ATTACKS", "Attack", "Reconnect", "Told", "http1", "http2", "tls"]
