"""PURE: how much a node takes on, and what its container must have: memory, and time to end in."""

from __future__ import annotations

import math

from freight.fleet.description import Description
from freight.flow.budget import Budget

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


def slots(fleet: Description) -> int:
    """How many downloads each node runs at once. Raises Unservable where its memory is too little for any."""
    return _budget(fleet).slots


def requests_at_once(fleet: Description) -> int:
    """How many requests a node is sent at once: its slots, and the small answers that it sends beside them."""
    budget = _budget(fleet)
    return budget.slots + budget.express_slots


def _budget(fleet: Description) -> Budget:
    return Budget(fleet.memory_bytes, largest=0)
