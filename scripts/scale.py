"""Simulates the fleets of docs/explanation/scale.md, draws them, and writes the numbers of its text.

A number stands between ``<!-- fleet:NAME -->`` and ``<!-- /fleet -->``, a table likewise. usage: see scripts/scale
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from freight.fleet.simulate.arrivals import Catalogue
from freight.fleet.simulate.figure import draw
from freight.fleet.simulate.question import LOAD, Question, Row, answer
from freight.fleet.simulate.show import as_json
from freight.quantities import brief_rate, brief_seconds, brief_size, format_size

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "figures" / "fleet"
PAGE = ROOT / "docs" / "explanation" / "scale.md"
MARK = re.compile(r"(<!-- fleet:([\w.-]+) -->).*?(<!-- /fleet -->)", re.DOTALL)
MIB, GIB, MB = 1 << 20, 1 << 30, 1_000_000

NODES = Question(  # what the command asks by itself, for more nodes
    nodes=(1, 10, 100, 1000, 10_000),
    policies=("round-robin", "least", "consistent", "bounded"),
    catalogue=Catalogue(10_000, 100 * MB, 1.0, 0.9),
    clients=((2_500_000, 1.0), (12_500_000, 2.0), (62_500_000, 1.0)),
    arrivals=LOAD * 1.25,
    memory_bytes=64 * MIB,
    queue=1000,
    max_wait_seconds=30.0,
    link=125 * MB,
    disk=200 * MB,
    cache_bytes=8 * GIB,
    chunk_bytes=64 * MIB,
    requests=None,
    seed=1,
    largest_bytes=4 * MIB,
)
SLOW = {"nodes": (8,), "policies": ("bounded",), "clients": ((250_000, 1.0),), "arrivals": 1.0}
MEMORIES = (4 * MIB, 8 * MIB, 16 * MIB, 32 * MIB)


def simulate() -> dict[str, Any]:
    """All that the page speaks of, as it is kept."""
    slow = [replace(NODES, **SLOW, memory_bytes=memory) for memory in MEMORIES]
    return {
        "nodes": json.loads(as_json(NODES, list(answer(NODES)))),
        "memory": [json.loads(as_json(question, list(answer(question)))) for question in slow],
    }


def rows_of(record: Mapping[str, Any]) -> list[Row]:
    """The rows that were kept."""
    names = Row.__dataclass_fields__
    return [Row(**{name: value for name, value in row.items() if name in names}) for row in record["rows"]]


def facts(results: Mapping[str, Any]) -> dict[str, str]:
    """Each number of the text by its name, such as ``nodes.1000.bounded.hits``."""
    told = {"memory.table": memory_table(results["memory"])}
    for row in rows_of(results["nodes"]):
        at = f"nodes.{row.nodes}.{row.policy}"
        told |= {
            f"{at}.hits": f"{row.hits:.0%}",
            f"{at}.refused": f"{row.refused:.1%}" if row.refused else "none",
            f"{at}.disks": brief_rate(row.read_bytes / row.seconds),
            f"{at}.links": brief_rate(row.sent_bytes / row.seconds),
            f"{at}.busiest": f"{row.busiest:.2f}",
            f"{at}.slowed": f"{row.slowed_p99:.1f}",
            f"{at}.p99": brief_seconds(row.wait_p99_seconds),
            f"{at}.arrived": f"{row.arrived:,}",
        }
    asked = results["nodes"]["question"]
    return told | {
        "files": f"{asked['catalogue']['count']:,}",
        "size": brief_size(asked["catalogue"]["mean_bytes"]),
        "cache": format_size(asked["cache_bytes"]),
        "arrivals": f"{asked['arrivals']:.3g}",
        "slots": f"{results['nodes']['slots']:,}",
    }


def memory_table(records: Sequence[Mapping[str, Any]]) -> str:
    """What slots are worth where clients are slow."""
    lines = ["| `--memory` | slots | wait, half of them | wait, 99 of 100 | refused |", "|--:|--:|--:|--:|--:|"]
    for record in records:
        (row,) = rows_of(record)
        waits = f"{brief_seconds(row.wait_p50_seconds)} | {brief_seconds(row.wait_p99_seconds)}"
        memory = format_size(record["question"]["memory_bytes"])
        lines.append(f"| {memory} | {record['slots']:,} | {waits} | {row.refused:.1%} |")
    return "\n" + "\n".join(lines) + "\n"


def made(results: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Every file that follows from the results, and what belongs into it."""
    told = facts(results)
    page = PAGE.read_text(encoding="utf-8")
    yield PAGE, MARK.sub(lambda mark: f"{mark[1]}{told.get(mark[2], 'not simulated')}{mark[3]}", page)
    yield FOLDER / "nodes.svg", draw(rows_of(results["nodes"]))


def main(arguments: Sequence[str]) -> int:
    kept = FOLDER / "results.json"
    if not arguments:
        FOLDER.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(simulate(), indent=1) + "\n", encoding="utf-8")
    stale = 0
    for path, text in made(json.loads(kept.read_text(encoding="utf-8"))):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale += 1
            if "--check" in arguments:
                print(f"{path.name} is not what {FOLDER.name}/results.json says: ./scripts/scale --again")
            else:
                path.write_text(text, encoding="utf-8")
    return int("--check" in arguments and stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
