"""Explain in one or two sentences, with the numbers, why a request got no slot. Pure."""

from __future__ import annotations

from typing import assert_never

from freight.model import Rejected, RejectReason, WaitReason
from freight.units import spoken_seconds


def sentence(rejected: Rejected) -> str:
    """Return the reason as one or two sentences for the client. They do not include when to retry."""
    match rejected.reason:
        case RejectReason.FULL:
            return f"{_cause(rejected)}{_queue(rejected)}."
        case RejectReason.LATE:
            waited = f"This request waited {spoken_seconds(rejected.waited_seconds)} in the queue."
            return f"{waited} {_cause(rejected)}{_queue(rejected)}."
        case RejectReason.DRAINING:
            return "This server is shutting down and accepts no new downloads. Another server may have the file."
        case RejectReason.CROWDED:
            return f"The server has no memory for more connections: {_downloads(rejected)}{_queue(rejected)}."
        case _:
            assert_never(rejected.reason)


def _cause(rejected: Rejected) -> str:
    match rejected.missing:
        case WaitReason.PER_CLIENT:
            return f"You already have {_downloads(rejected)} here (the limit per client is {rejected.most:,})"
        case WaitReason.MEMORY:
            return f"The server has no memory for another download: {_downloads(rejected)}"
        case WaitReason.LISTINGS:
            return f"The server has no memory for another directory listing: {_downloads(rejected)}"
        case _:
            return f"The server is full: {_downloads(rejected)}"


def _downloads(rejected: Rejected) -> str:
    return "1 download running" if rejected.running == 1 else f"{rejected.running:,} downloads running"


def _queue(rejected: Rejected) -> str:
    """Return how many requests wait, where that explains the rejection."""
    if not rejected.waiting:
        return ""
    if rejected.missing is not WaitReason.PER_CLIENT:
        return f", {rejected.waiting:,} waiting"
    return f", and the queue is full ({rejected.waiting:,} waiting)" if rejected.reason is RejectReason.FULL else ""
