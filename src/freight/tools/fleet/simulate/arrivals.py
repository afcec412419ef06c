"""Draw arrivals from a seed: the time of a request, its file, and the kind of its client."""

from __future__ import annotations

import math
import random
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

Arrival = tuple[float, int, int]
"""Time in seconds, rank of the file, kind of the client."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """``count`` files; the file of rank r is requested 1 / r**exponent times as often as the first one (Zipf).

    ``mean_bytes``: average size of the requested files. ``spread``: the standard deviation of the logarithms of the
    sizes, which do not depend on the rank.
    """

    count: int
    mean_bytes: int
    spread: float
    exponent: float


def sizes_of(catalogue: Catalogue, seed: int) -> Sequence[int]:
    """Return the size of each file in bytes, by rank, scaled to the catalogue's mean over requests."""
    draw = random.Random(f"sizes {seed}")
    drawn = array("d", (draw.lognormvariate(0.0, catalogue.spread) for _ in range(catalogue.count)))
    asked = [(rank + 1) ** -catalogue.exponent for rank in range(catalogue.count)]
    scale = catalogue.mean_bytes * sum(asked) / sum(size * part for size, part in zip(drawn, asked, strict=True))
    return array("Q", (max(1, round(size * scale)) for size in drawn))


class Sampler:
    """Draws files and clients by their weights. ``parts``: the fraction of the clients of each kind."""

    __slots__ = ("_draw", "_files", "_kinds")

    def __init__(self, catalogue: Catalogue, parts: Sequence[float], seed: int, purpose: str) -> None:
        self._draw = random.Random(f"{purpose} {seed}")
        self._files = array("d", accumulate((rank + 1) ** -catalogue.exponent for rank in range(catalogue.count)))
        self._kinds = array("d", accumulate(parts))

    def file(self) -> int:
        """Draw the rank of a requested file, from 0."""
        return bisect_left(self._files, self._draw.random() * self._files[-1])

    def arrivals(self, rate: float, count: int) -> Iterator[Arrival]:
        """Yield ``count`` independent arrivals, ``rate`` per second on average (Poisson)."""
        now = 0.0
        for _ in range(count):
            now -= math.log(1.0 - self._draw.random()) / rate
            yield now, self.file(), bisect_left(self._kinds, self._draw.random() * self._kinds[-1])
