"""Clients that mean harm, one script an attack: :func:`drive` plays it.

They speak in bytes made beforehand, so that an attack costs its client little, and need nothing but Python. ``python -m
benchmarks.attacks NAME HOST PORT`` runs one in a process of its own, which is how they are to be used: beside a server
in the same process they would slow it by being there.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import http1, http2, tls
from .drive import Reconnect, Script, Told, drive

ATTACKS: Mapping[str, Script] = {
    script.__name__.replace("_", "-"): script for script in (*http2.SCRIPTS, *http1.SCRIPTS, *tls.SCRIPTS)
}
"""Every attack by its name."""

__all__ = ["ATTACKS", "Reconnect", "Script", "Told", "drive", "http1", "http2", "tls"]
