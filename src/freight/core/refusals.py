"""What a request is told that gets no slot: the cause, in plain words with the numbers it comes from. Pure."""

from __future__ import annotations

from typing import assert_never

from freight.model import Refusal, Refused, WaitReason
from freight.quantities import spoken_seconds


def sentence(refused: Refused) -> str:
    """Return the cause as one or two sentences for whoever asked. When to come back is not in them."""
    match refused.why:
        case Refusal.FULL:
            return f"{_cause(refused)}{_queue(refused)}."
        case Refusal.LATE:
            waited = f"This request waited {spoken_seconds(refused.waited_seconds)} for its turn."
            return f"{waited} {_cause(refused)}{_queue(refused)}."
        case Refusal.DRAINING:
            return "This server is stopping and begins no more downloads; another one may have what you asked for."
        case Refusal.CROWDED:
            return f"The server has no memory for more connections: {_downloads(refused)}{_queue(refused)}."
        case _:
            assert_never(refused.why)


def _cause(refused: Refused) -> str:
    match refused.reason:
        case WaitReason.PER_CLIENT:
            return f"You already have {_downloads(refused)} here (the limit per client is {refused.most:,})"
        case WaitReason.MEMORY:
            return f"The server has no memory for another download: {_downloads(refused)}"
        case WaitReason.LISTINGS:
            return f"The server has no memory for another directory listing: {_downloads(refused)}"
        case _:
            return f"The server is full: {_downloads(refused)}"


def _downloads(refused: Refused) -> str:
    return "1 download running" if refused.running == 1 else f"{refused.running:,} downloads running"


def _queue(refused: Refused) -> str:
    """How many others wait, where that says something."""
    if not refused.waiting:
        return ""
    if refused.reason is not WaitReason.PER_CLIENT:
        return f", {refused.waiting:,} waiting"
    return f", and the queue is full ({refused.waiting:,} waiting)" if refused.why is Refusal.FULL else ""
