"""Read results, and compute medians, spreads, and ratios that are paired in time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario's file in ``results/``."""

    scenario: str
    rounds: int
    machine: Mapping[str, Any]
    peers: Mapping[str, Mapping[str, Any]]
    excluded: Mapping[str, str]
    samples: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> Result:
        raw = json.loads(path.read_text())
        peers, excluded = raw["peers"], raw["excluded"]
        return cls(raw["scenario"], raw["rounds"], raw["machine"], peers, excluded, tuple(raw["samples"]))

    def cases(self) -> list[str]:
        return list(dict.fromkeys(sample["case"] for sample in self.samples))

    def values(self, peer: str, case: str, key: str) -> list[float]:
        """Return every sample of one figure in time order. Failed turns have none."""
        return [s[key] for s in self.samples if s["peer"] == peer and s["case"] == case and key in s]

    def failed(self, peer: str, case: str) -> bool:
        """Return whether a turn of this peer and case failed."""
        return any("error" in s for s in self.samples if s["peer"] == peer and s["case"] == case)

    def paired(self, peer: str, against: str, case: str, key: str) -> list[float]:
        """Return the ratios of ``peer`` to ``against``, one per round.

        The divisor is the mean of the nearest turns of ``against`` before and after it in the same round, so that other
        load of the machine at that time affects both.
        """
        return [
            sample[key] / fmean(rivals)
            for sample in self.samples
            if sample["peer"] == peer and sample["case"] == case and key in sample
            if (rivals := self._neighbours(sample, against, key))
        ]

    def _neighbours(self, sample: Mapping[str, Any], against: str, key: str) -> list[float]:
        near: dict[bool, tuple[int, float]] = {}
        for other in self.samples:
            if (other["peer"], other["case"], other["round"]) != (against, sample["case"], sample["round"]):
                continue
            distance = other["turn"] - sample["turn"]
            later = distance > 0
            if key in other and (later not in near or abs(distance) < near[later][0]):
                near[later] = (abs(distance), other[key])
        return [value for _, value in near.values()]


def load(folder: Path) -> dict[str, Result]:
    """Return the results of a folder by scenario."""
    return {path.stem: Result.read(path) for path in sorted(folder.glob("*.json"))}


def median_of(values: list[float]) -> float | None:
    return median(values) if values else None
