"""The table of scenarios: the question, the function that measures it, and how long that takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from freight.tools.lab import downloads, experiments, path
from freight.tools.lab.bench import Bench


@dataclass(frozen=True, slots=True)
class Scenario:
    """``measure`` takes the samples. It raises :class:`freight.tools.loadgen.network.Unsupported` if it cannot.

    The times are those of a quiet machine with two processors, for the progress bar and the estimate.
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
        "Before, during and after a download",
        "How much memory does a server need to send one large file?",
        experiments.memory,
        4,
        20,
    ),
    Scenario(
        "strategies",
        "Three ways to send a file",
        "What do reading the whole file, copying it in chunks, and zero-copy cost?",
        experiments.strategies,
        21,
        90,
    ),
    Scenario(
        "buffer",
        "The size of the buffer",
        "How large must a copy buffer be, and from which size on does more not help?",
        experiments.buffer,
        7,
        100,
    ),
    Scenario(
        "stalled",
        "Clients that stop reading",
        "How much memory does a client hold that asks for a file and then stops reading?",
        experiments.stalled,
        5,
        10,
    ),
    Scenario(
        "crowd",
        "From one client to thousands",
        "How much memory does one more client cost?",
        experiments.crowd,
        7,
        30,
    ),
    Scenario(
        "budget",
        "The memory budget",
        "What does a smaller budget cost, and what happens to clients that do not fit in it?",
        experiments.budget,
        10,
        80,
    ),
    Scenario(
        "length",
        "A download without a stated length",
        "What can a client do when it does not know how long a download is?",
        downloads.length,
        3,
        3,
    ),
    Scenario(
        "path",
        "The length of the path",
        "How fast is one download over a long line, and what does that take of the memory?",
        path.path,
        14,
        85,
    ),
)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
