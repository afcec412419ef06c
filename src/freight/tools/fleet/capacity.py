"""PURE: how many requests a node accepts, and what its container needs: memory, and time to stop."""

from __future__ import annotations

import math

from freight.memory.division import divide
from freight.tools.fleet.fleet_options import FleetOptions

BASELINE_BYTES = 32 * 1024 * 1024
"""Resident memory of the process before the first client; 16 MiB of it are private, the rest is mapped files."""

_GRACE_SECONDS = 5  # from the end of the drain to the exit of the process


def node_bytes(fleet: FleetOptions) -> int:
    """Return the most memory that a node needs: the process without clients, and its budget for clients."""
    return BASELINE_BYTES + fleet.memory_bytes


def container_bytes(fleet: FleetOptions) -> int:
    """Return the memory limit of its container. The page cache of its files counts too; the kernel can shrink it."""
    return node_bytes(fleet) + fleet.cache_bytes


def grace_seconds(fleet: FleetOptions) -> int:
    """Return how long to wait after SIGTERM before the node may be killed."""
    return math.ceil(fleet.shutdown_delay_seconds + fleet.shutdown_timeout_seconds) + _GRACE_SECONDS


def slots(fleet: FleetOptions) -> int:
    """Return the number of downloads that each node runs. Raises ConfigurationError if its memory is too little."""
    return divide(fleet.memory_bytes).slots


def max_concurrent_requests(fleet: FleetOptions) -> int:
    """Return how many concurrent requests a node gets: its slots, and its express slots for small answers."""
    division = divide(fleet.memory_bytes)
    return division.slots + division.express_slots
