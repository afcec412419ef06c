"""Simulate the fleets of docs/explanation/scale.md, draw them, and write the numbers of its text.

A number or a table is between ``<!-- fleet:NAME -->`` and ``<!-- /fleet -->``. usage: see scripts/scale
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from freight.tools.fleet.simulate.arrivals import Catalogue
from freight.tools.fleet.simulate.figure import draw
from freight.tools.fleet.simulate.query import LOAD, SimulationQuery, SimulationRow, answer
from freight.tools.fleet.simulate.show import as_json
from freight.tools.plan.capacity import CLEAR, least_memory
from freight.units import brief_rate, brief_seconds, brief_size, chosen_size, format_size

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "figures" / "fleet"
PAGE = ROOT / "docs" / "explanation" / "scale.md"
MARK = re.compile(r"(<!-- fleet:([\w.-]+) -->).*?(<!-- /fleet -->)", re.DOTALL)
MIB, GIB, MB = 1 << 20, 1 << 30, 1_000_000

NODES = SimulationQuery(  # the command's defaults, with three seeds
    nodes=(1, 10, 100, 1000),
    policies=("round-robin", "least", "consistent", "bounded"),
    catalogue=Catalogue(10_000, 100 * MB, 1.0, 0.9),
    clients=((2_500_000, 1.0), (12_500_000, 2.0), (62_500_000, 1.0)),
    arrivals=LOAD * 1.25,
    memory_bytes=64 * MIB,
    queue_size=1000,
    queue_timeout_seconds=30.0,
    link=125 * MB,
    disk=200 * MB,
    cache_bytes=8 * GIB,
    chunk_bytes=64 * MIB,
    requests=None,
    seeds=(1, 2, 3),
    largest_bytes=4 * MIB,
)
SLOW = {"nodes": (8,), "policies": ("bounded",), "clients": ((250_000, 1.0),), "arrivals": 1.0}
DISK = {"nodes": (8,), "policies": ("round-robin", "bounded"), "link": 1250 * MB, "disk": 500 * MB, "arrivals": 8.75}
CACHES = (8 * GIB, 32 * GIB, 128 * GIB)
LINKS = (125 * MB, 1250 * MB, 12_500 * MB)
MEMORIES = (4 * MIB, 8 * MIB, 16 * MIB, 32 * MIB)


PARTS: Mapping[str, Sequence[SimulationQuery]] = {
    "memory": [replace(NODES, **SLOW, memory_bytes=memory) for memory in MEMORIES],
    "disk": [replace(NODES, **DISK, requests=60_000, cache_bytes=cache) for cache in CACHES],
    "hot": [replace(NODES, nodes=(8,), catalogue=Catalogue(1, 100 * MB, 0.0, 0.0))],
    "nodes": [NODES],
    "most": [replace(NODES, nodes=(10_000,), seeds=(3,))],  # of the three seeds, the one with the median of the hits
}


def simulate(part: str) -> list[dict[str, Any]]:
    """Simulate a part of the page. Return it in the stored form."""
    return [dict(json.loads(as_json(question, list(answer(question))))) for question in PARTS[part]]


def rows_of(record: Mapping[str, Any]) -> list[SimulationRow]:
    """Return the stored rows."""
    names = SimulationRow.__dataclass_fields__
    return [SimulationRow(**{name: value for name, value in row.items() if name in names}) for row in record["rows"]]


def nodes_of(results: Mapping[str, Any]) -> list[SimulationRow]:
    """Return the rows of the figure."""
    return [row for part in ("nodes", "most") for record in results[part] for row in rows_of(record)]


FIGURES: Mapping[str, tuple[Callable[[SimulationRow], float], Callable[[float], str]]] = {
    "hits": (lambda row: row.hits, "{:.0%}".format),
    "refused": (lambda row: row.refused, lambda part: f"{part:.1%}" if part else "none"),
    "disks": (lambda row: row.read_bytes / row.seconds, brief_rate),
    "links": (lambda row: row.sent_bytes / row.seconds, brief_rate),
    "sent": (lambda row: row.sent_bytes / row.seconds / row.nodes, brief_rate),
    "busiest": (lambda row: row.busiest, "{:.2f}".format),
    "slowed": (lambda row: row.slowed_p99, "{:.3g}".format),
    "p99": (lambda row: row.wait_p99_seconds, brief_seconds),
    "arrived": (lambda row: row.arrived, "{:,.0f}".format),
}


def facts(results: Mapping[str, Any]) -> dict[str, str]:
    """Return each number by its name, such as ``nodes.1000.bounded.hits``: the median, and its range ``.from_to``."""
    calibration = json.loads((FOLDER / "calibration.json").read_text(encoding="utf-8"))
    texts = {"link.table": link_table(NODES.clients[0][0]), "calibration.table": calibration_table(calibration)}
    texts |= {"calibration.requests": f"{min(record['requests'] for record in calibration.values()):,}"}
    texts |= {"memory.table": memory_table(results["memory"]), "disk.table": disk_table(results["disk"])}
    texts |= {"hot.table": hot_table(results["hot"][0])}
    rows = nodes_of(results)
    for nodes, policy in dict.fromkeys((row.nodes, row.policy) for row in rows):
        for name, (value, say) in FIGURES.items():
            values = [value(row) for row in rows if (row.nodes, row.policy) == (nodes, policy)]
            at = f"nodes.{nodes}.{policy}.{name}"
            texts |= {at: say(median(values)), f"{at}.from_to": f"{say(min(values))} to {say(max(values))}"}
    asked = results["nodes"][0]["question"]
    return texts | {
        "files": f"{asked['catalogue']['count']:,}",
        "size": brief_size(asked["catalogue"]["mean_bytes"]),
        "cache": format_size(asked["cache_bytes"]),
        "arrivals": f"{asked['arrivals']:.3g}",
        "seeds": f"{len(asked['seeds'])}",
    }


def link_table(client: int) -> str:
    """Return how many clients of a rate in bytes per second fill a link, and the memory for them."""
    lines = [["link", "downloads at once", "least `--memory`"]]
    for link in LINKS:
        memory = least_memory(link // client, CLEAR, NODES.largest_bytes)
        lines.append([f"{link // 125_000_000} Gbit/s", f"{link // client:,}", chosen_size(memory)])
    return markdown(lines)


def memory_table(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the effect of slots when clients are slow."""
    lines = [["`--memory`", "slots", "wait, half of them", "wait, 99 of 100", "refused"]]
    for record in records:
        waits = (middle(record, lambda row: row.wait_p50_seconds), middle(record, lambda row: row.wait_p99_seconds))
        refused = middle(record, lambda row: row.refused)
        memory, slots = format_size(record["question"]["memory_bytes"]), f"{record['slots']:,}"
        lines.append([memory, slots, *map(brief_seconds, waits), f"{refused:.1%}"])
    return markdown(lines)


def disk_table(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the effect of a page cache when the disk is slower than the link."""
    lines = [["page cache of a node", "policy", "hits", "its disk reads", "it sends", "slowed, half of them"]]
    for record in records:
        for policy in record["question"]["policies"]:
            hits, read, sent, slowed = (
                middle(record, value, policy)
                for value in (
                    lambda row: row.hits,
                    lambda row: row.read_bytes / row.seconds / row.nodes,
                    lambda row: row.sent_bytes / row.seconds / row.nodes,
                    lambda row: row.slowed_p50,
                )
            )
            cache = format_size(record["question"]["cache_bytes"])
            lines.append([cache, policy, f"{hits:.0%}", brief_rate(read), brief_rate(sent), f"{slowed:.1f}x"])
    return markdown(lines)


def hot_table(record: Mapping[str, Any]) -> str:
    """Return the figures of a single hot file, by policy."""
    lines = [["policy", "busiest node", "all send", "slowed, 99 of 100", "refused"]]
    for policy in record["question"]["policies"]:
        values = {name: (middle(record, value, policy), say) for name, (value, say) in FIGURES.items()}
        said = {name: say(value) for name, (value, say) in values.items()}
        lines.append([policy, said["busiest"], said["links"], f"{said['slowed']}x", said["refused"]])
    return markdown(lines)


def calibration_table(kept: Mapping[str, Any]) -> str:
    """Return the figures of three real nodes beside the simulated ones."""
    policies = list(kept)
    lines = [["", *(f"{policy}: {head}" for policy in policies for head in ("real", "foretold", "off by"))]]
    for name in kept[policies[0]]["figures"]:
        cells = [name]
        for policy in policies:
            real, said = kept[policy]["figures"][name]
            show = (lambda value: brief_size(round(value))) if name.startswith("bytes") else "{:.4g}".format
            cells += [show(real), show(said), f"{said / real - 1:+.1%}"]
        lines.append(cells)
    return markdown(lines)


def middle(record: Mapping[str, Any], value: Callable[[SimulationRow], float], policy: str | None = None) -> float:
    """Return the median of the seeds."""
    return median(value(row) for row in rows_of(record) if policy in (None, row.policy))


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a table. Its first line is the head."""
    head, *rest = (f"| {' | '.join(cells)} |" for cells in lines)
    return "\n".join(["", head, f"|{'--:|' * len(lines[0])}", *rest, ""])


def made(results: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield every file that follows from the results, and its text."""
    texts = facts(results)
    page = PAGE.read_text(encoding="utf-8")
    yield PAGE, MARK.sub(lambda mark: f"{mark[1]}{texts.get(mark[2], 'not simulated')}{mark[3]}", page)
    yield FOLDER / "nodes.svg", draw(nodes_of(results))


def main(arguments: Sequence[str]) -> int:
    kept = FOLDER / "results.json"
    for part in [] if arguments[:1] in (["--again"], ["--check"]) else arguments or PARTS:
        record = simulate(part)
        results = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        kept.write_text(json.dumps(results | {part: record}, indent=1) + "\n", encoding="utf-8")
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
