"""What a request is told that gets no slot: the cause, in plain words, with the numbers it comes from."""

from __future__ import annotations

import pytest

from freight.core.refusals import sentence
from freight.model import Refusal, Refused, WaitReason

FOUR_RUN = "You already have 4 downloads running here (the limit per client is 4)"
STOPPING = "This server is stopping and begins no more downloads; another one may have what you asked for."


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (
            Refused(Refusal.FULL, 5, WaitReason.SLOTS, running=1738, waiting=1000),
            "The server is full: 1,738 downloads running, 1,000 waiting.",
        ),
        (Refused(Refusal.FULL, 5, WaitReason.SLOTS, running=1), "The server is full: 1 download running."),
        (
            Refused(Refusal.FULL, 5, WaitReason.PER_CLIENT, running=1, most=1),
            "You already have 1 download running here (the limit per client is 1).",
        ),
        (
            Refused(Refusal.FULL, 5, WaitReason.PER_CLIENT, running=4, most=4, waiting=1000),
            f"{FOUR_RUN}, and the queue is full (1,000 waiting).",
        ),
        (
            Refused(Refusal.FULL, 5, WaitReason.MEMORY, running=49, waiting=21),
            "The server has no memory for another download: 49 downloads running, 21 waiting.",
        ),
        (
            Refused(Refusal.FULL, 5, WaitReason.LISTINGS, running=9, waiting=2),
            "The server has no memory for another directory listing: 9 downloads running, 2 waiting.",
        ),
        (
            Refused(Refusal.LATE, 5, WaitReason.SLOTS, running=5, waiting=3, waited_seconds=30.004),
            "This request waited 30 seconds for its turn. The server is full: 5 downloads running, 3 waiting.",
        ),
        (
            Refused(Refusal.LATE, 5, WaitReason.PER_CLIENT, running=4, most=4, waiting=3, waited_seconds=0.6),
            f"This request waited 1 second for its turn. {FOUR_RUN}.",
        ),
        (Refused(Refusal.DRAINING, 5, running=3, waiting=2), STOPPING),
        (
            Refused(Refusal.CROWDED, 5, WaitReason.CONNECTIONS, running=12, waiting=30),
            "The server has no memory for more connections: 12 downloads running, 30 waiting.",
        ),
    ],
)
def test_the_cause_is_named_with_its_numbers(refused: Refused, said: str) -> None:
    assert sentence(refused) == said


@pytest.mark.parametrize("why", Refusal)
@pytest.mark.parametrize("reason", WaitReason)
def test_every_refusal_is_one_line_that_ends_in_a_full_stop(why: Refusal, reason: WaitReason) -> None:
    said = sentence(Refused(why, 1, reason, running=2, most=2, waiting=1, waited_seconds=9.0))
    assert said.isprintable() and said.endswith(".") and said[0].isupper()


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (Refused(Refusal.FULL, 1, WaitReason.PER_CLIENT), "queue-full:per-client"),
        (Refused(Refusal.LATE, 1, WaitReason.MEMORY), "max-wait:memory"),
        (Refused(Refusal.CROWDED, 1, WaitReason.CONNECTIONS), "connections"),
        (Refused(Refusal.DRAINING, 1), "draining"),
    ],
)
def test_logs_have_it_in_two_words_at_most(refused: Refused, words: str) -> None:
    assert refused.words == words
