"""What the details of a request cost in the memory of the process, and that a log of text keeps none."""

from __future__ import annotations

import sys

from freight.memory.costs import DETAILS_COST
from freight.model import Request
from freight.server.context import summarize, summarize_in_full

LONG = Request("GET", "/", (("user-agent", "\xff" * 9000), ("referer", "\xff" * 9000)))


def test_the_longest_details_cost_no_more_than_is_counted() -> None:
    details = summarize_in_full(LONG).details
    assert details is not None
    texts = (details.user_agent, details.referer, "r" * 128, "u" * 64)  # the id and the user are a sink's
    assert sys.getsizeof(details) + sum(map(sys.getsizeof, texts)) <= DETAILS_COST


def test_a_log_without_details_keeps_none() -> None:
    assert summarize(LONG).details is None
