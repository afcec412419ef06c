"""Who comes when, for what: drawn from a seed, so that the same question has the same answer."""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

Arrival = tuple[float, int, int]
"""When, in seconds; which file, by its rank; which kind of client."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """``count`` files; ``exponent``: that of rank r is asked for 1 / r**exponent as often as the first one (Zipf).

    ``mean_bytes``: how long is what is asked for, on the average. ``spread``: the standard deviation of the logarithms
    of their lengths, which are as they come, whatever the rank.
    """

    count: int
    mean_bytes: int
    spread: float
    exponent: float


def sizes_of(catalogue: Catalogue, seed: int) -> Sequence[int]:
    """How long each file is, in bytes, by rank. The mean of a request is as it is to be, whatever was drawn."""
    draw = random.Random(f"sizes {seed}")
    drawn = array("d", (draw.lognormvariate(0.0, catalogue.spread) for _ in range(catalogue.count)))
    asked = [(rank + 1) ** -catalogue.exponent for rank in range(catalogue.count)]
    scale = catalogue.mean_bytes * sum(asked) / sum(size * part for size, part in zip(drawn, asked, strict=True))
    return array("Q", (max(1, round(size * scale)) for size in drawn))


class Draws:
    """Files and clients, by their shares. ``parts``: how much of the clients is of each kind."""

    __slots__ = ("_draw", "_files", "_kinds")

    def __init__(self, catalogue: Catalogue, parts: Sequence[float], seed: int, purpose: str) -> None:
        self._draw = random.Random(f"{purpose} {seed}")
        self._files = array("d", accumulate((rank + 1) ** -catalogue.exponent for rank in range(catalogue.count)))
        self._kinds = array("d", accumulate(parts))

    def file(self) -> int:
        """The rank of a file that is asked for, from 0 on."""
        return bisect_left(self._files, self._draw.random() * self._files[-1])

    def arrivals(self, rate: float, count: int) -> Iterator[Arrival]:
        """So many, ``rate`` in a second, each without regard to the others (Poisson)."""
        now = 0.0
        for _ in range(count):
            now -= math.log(1.0 - self._draw.random()) / rate
            yield now, self.file(), bisect_left(self._kinds, self._draw.random() * self._kinds[-1])
