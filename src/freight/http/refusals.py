"""Explain in one or two sentences, with the numbers, why a request got no slot. Pure."""

from __future__ import annotations

from typing import assert_never

from freight.model import Rejected, RejectReason, WaitReason
from freight.units import spoken_seconds


def sentence(refused: Rejected) -> str:
    """Return the reason as one or two sentences for the client. They do not include when to retry."""
    match refused.reason:
        case RejectReason.FULL:
            return f"{_cause(refused)}{_queue(refused)}."
        case RejectReason.LATE:
            waited = f"This request waited {spoken_seconds(refused.waited_seconds)} in the queue."
            return f"{waited} {_cause(refused)}{_queue(refused)}."
        case RejectReason.DRAINING:
            return "This server is shutting down and accepts no new downloads. Another server may have the file."
        case RejectReason.CROWDED:
            return f"The server has no memory for more connections: {_downloads(refused)}{_queue(refused)}."
        case _:
            assert_never(refused.reason)


def _cause(refused: Rejected) -> str:
    match refused.missing:
        case WaitReason.PER_CLIENT:
            return f"You already have {_downloads(refused)} here (the limit per client is {refused.most:,})"
        case WaitReason.MEMORY:
            return f"The server has no memory for another download: {_downloads(refused)}"
        case WaitReason.LISTINGS:
            return f"The server has no memory for another directory listing: {_downloads(refused)}"
        case _:
            return f"The server is full: {_downloads(refused)}"


def _downloads(refused: Rejected) -> str:
    return "1 download running" if refused.running == 1 else f"{refused.running:,} downloads running"


def _queue(refused: Rejected) -> str:
    """Return how many requests wait, where that explains the rejection."""
    if not refused.waiting:
        return ""
    if refused.missing is not WaitReason.PER_CLIENT:
        return f", {refused.waiting:,} waiting"
    return f", and the queue is full ({refused.waiting:,} waiting)" if refused.reason is RejectReason.FULL else ""
