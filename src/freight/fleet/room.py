"""PURE: how many requests a node takes, and what its container needs: memory, and time to stop."""

from __future__ import annotations

import math

from freight.fleet.description import Description
from freight.flow.budget import Budget

BASELINE_BYTES = 32 * 1024 * 1024
"""Memory of the process before the first client, including the interpreter's files; 16 MiB of it are its own."""

_GRACE_SECONDS = 5  # from the end of the drain to that of the process


def node_bytes(fleet: Description) -> int:
    """The most a node needs: the process without clients, and its budget for all that clients need."""
    return BASELINE_BYTES + fleet.memory_bytes


def container_bytes(fleet: Description) -> int:
    """The limit of its container. The page cache of files it reads counts too, and shrinks when it must."""
    return node_bytes(fleet) + fleet.cache_bytes


def grace_seconds(fleet: Description) -> int:
    """How long to wait after SIGTERM before it may be killed."""
    return math.ceil(fleet.drain_delay_seconds + fleet.drain_seconds) + _GRACE_SECONDS


def slots(fleet: Description) -> int:
    """How many downloads each node runs at a time. Raises Unservable if its memory is too little for any."""
    return _budget(fleet).slots


def requests_at_once(fleet: Description) -> int:
    """How many requests at a time a node is sent: its slots, and those for small answers beside them."""
    budget = _budget(fleet)
    return budget.slots + budget.express_slots


def _budget(fleet: Description) -> Budget:
    return Budget(fleet.memory_bytes, largest=0)
