"""The scenarios: one table of what is asked, who measures it, and how long that takes. The rest goes by its names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from freight.lab import downloads, experiments
from freight.lab.bench import Bench


@dataclass(frozen=True, slots=True)
class Scenario:
    """``measure`` takes its samples, or raises :class:`freight.lab.servers.Unfit` where it cannot.

    The times are estimates, for the progress bar.
    """

    name: str
    title: str
    question: str
    measure: Callable[[Bench], None]
    quick_seconds: float
    full_seconds: float


SCENARIOS = (
    Scenario(
        "memory",
        "Start, in flight, after",
        "What does a server hold before, while and after it hands out a large file?",
        experiments.memory,
        5,
        20,
    ),
    Scenario(
        "strategies",
        "Three ways to hand out a file",
        "What do reading it all, copying in chunks, and zero-copy cost?",
        experiments.strategies,
        14,
        80,
    ),
    Scenario(
        "buffer",
        "The size of the buffer",
        "How large must a buffer be, and from where on is more of it wasted?",
        experiments.buffer,
        6,
        100,
    ),
    Scenario(
        "stalled",
        "Clients that stop reading",
        "What does a client pin that asks and then takes nothing?",
        experiments.stalled,
        5,
        10,
    ),
    Scenario(
        "crowd",
        "From one client to thousands",
        "What does one more client cost?",
        experiments.crowd,
        6,
        30,
    ),
    Scenario(
        "budget",
        "The budget",
        "What is the price of a smaller budget, and what happens to who does not fit?",
        experiments.budget,
        9,
        80,
    ),
    Scenario(
        "length",
        "A length that is not stated",
        "What does a client make of a body whose end it does not know?",
        downloads.length,
        2,
        2,
    ),
)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
