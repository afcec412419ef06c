"""The sentences for requests that get no slot: the reason, with its numbers."""

from __future__ import annotations

import pytest

from freight.http.rejections import sentence
from freight.model import Rejected, RejectReason, WaitReason

FOUR_RUN = "You already have 4 downloads running here (the limit per client is 4)"
STOPPING = "This server is shutting down and accepts no new downloads. Another server may have the file."


@pytest.mark.parametrize(
    ("rejected", "said"),
    [
        (
            Rejected(RejectReason.FULL, 5, WaitReason.SLOTS, running=1738, waiting=1000),
            "The server is full: 1,738 downloads running, 1,000 waiting.",
        ),
        (Rejected(RejectReason.FULL, 5, WaitReason.SLOTS, running=1), "The server is full: 1 download running."),
        (
            Rejected(RejectReason.FULL, 5, WaitReason.PER_CLIENT, running=1, most=1),
            "You already have 1 download running here (the limit per client is 1).",
        ),
        (
            Rejected(RejectReason.FULL, 5, WaitReason.PER_CLIENT, running=4, most=4, waiting=1000),
            f"{FOUR_RUN}, and the queue is full (1,000 waiting).",
        ),
        (
            Rejected(RejectReason.FULL, 5, WaitReason.MEMORY, running=49, waiting=21),
            "The server has no memory for another download: 49 downloads running, 21 waiting.",
        ),
        (
            Rejected(RejectReason.FULL, 5, WaitReason.LISTINGS, running=9, waiting=2),
            "The server has no memory for another directory listing: 9 downloads running, 2 waiting.",
        ),
        (
            Rejected(RejectReason.LATE, 5, WaitReason.SLOTS, running=5, waiting=3, waited_seconds=30.004),
            "This request waited 30 seconds in the queue. The server is full: 5 downloads running, 3 waiting.",
        ),
        (
            Rejected(RejectReason.LATE, 5, WaitReason.PER_CLIENT, running=4, most=4, waiting=3, waited_seconds=0.6),
            f"This request waited 1 second in the queue. {FOUR_RUN}.",
        ),
        (Rejected(RejectReason.DRAINING, 5, running=3, waiting=2), STOPPING),
        (
            Rejected(RejectReason.CROWDED, 5, WaitReason.CONNECTIONS, running=12, waiting=30),
            "The server has no memory for more connections: 12 downloads running, 30 waiting.",
        ),
    ],
)
def test_the_reason_is_named_with_its_numbers(rejected: Rejected, said: str) -> None:
    assert sentence(rejected) == said


@pytest.mark.parametrize("why", RejectReason)
@pytest.mark.parametrize("reason", WaitReason)
def test_every_refusal_is_one_line_that_ends_in_a_full_stop(why: RejectReason, reason: WaitReason) -> None:
    said = sentence(Rejected(why, 1, reason, running=2, most=2, waiting=1, waited_seconds=9.0))
    assert said.isprintable() and said.endswith(".") and said[0].isupper()


@pytest.mark.parametrize(
    ("rejected", "code"),
    [
        (Rejected(RejectReason.FULL, 1, WaitReason.PER_CLIENT), "queue-full:max-per-client"),
        (Rejected(RejectReason.LATE, 1, WaitReason.MEMORY), "queue-timeout:memory"),
        (Rejected(RejectReason.CROWDED, 1, WaitReason.CONNECTIONS), "connections"),
        (Rejected(RejectReason.DRAINING, 1), "draining"),
    ],
)
def test_the_log_has_a_code_of_at_most_two_words(rejected: Rejected, code: str) -> None:
    assert rejected.code == code
