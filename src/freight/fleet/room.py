"""PURE: what a container of a node must have: memory, and time to end in."""

from __future__ import annotations

import math

from freight.fleet.description import Description

BASELINE_BYTES = 32 * 1024 * 1024
"""What the process takes before the first client, of its own and of the interpreter's files: 16 MiB are private."""

_GRACE_SECONDS = 5  # from the end of the drain to that of the process


def node_bytes(fleet: Description) -> int:
    """What a node needs at most: the process without clients, and its budget, which is for all that clients cause."""
    return BASELINE_BYTES + fleet.memory_bytes


def container_bytes(fleet: Description) -> int:
    """The limit of its container: the page cache of what it reads is counted there too, and goes when it must."""
    return node_bytes(fleet) + fleet.cache_bytes


def grace_seconds(fleet: Description) -> int:
    """How long whoever stops it must wait before it is killed."""
    return math.ceil(fleet.drain_delay_seconds + fleet.drain_seconds) + _GRACE_SECONDS
