"""The metrics: the numbers of the status in both formats of Prometheus, and no series for each client."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics

from freight.model import Snapshot
from freight.observe.metrics import expose
from freight.observe.status import status

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "admin.md"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


def families(snapshot: Snapshot, accept: str | None = None) -> list[Metric]:
    """Return what a scraper reads."""
    media_type, content = expose(snapshot, accept)
    read = openmetrics if media_type == OPENMETRICS else parser
    return list(read.text_string_to_metric_families(content.decode()))


def samples(snapshot: Snapshot, accept: str | None = None) -> dict[str, float]:
    """Return the samples by name, with a space and the value of the label after it."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in families(snapshot, accept)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, TEXT),
        ("*/*", TEXT),
        ("text/html,*/*;q=0.8", TEXT),
        ("application/json", TEXT),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", OPENMETRICS),
        ("application/openmetrics-text;q=0, text/plain", TEXT),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text;version=x", OPENMETRICS),
        ("text/plain;version=\xff;escaping=x", TEXT),
        (";version=" * 4000, TEXT),
        ("; " * 15_000 + "version=", TEXT),
    ],
)
def test_the_format_is_what_accept_prefers_whatever_its_version_parameters(
    snapshot: Snapshot, accept: str | None, media_type: str
) -> None:
    assert expose(snapshot, accept)[0] == media_type
    assert len(families(snapshot, accept)) == len(families(snapshot))


@pytest.mark.parametrize("accept", [None, "application/openmetrics-text"])
def test_every_number_of_the_status_is_a_sample_by_the_same_path(snapshot: Snapshot, accept: str | None) -> None:
    shown, exported = json.loads(status(snapshot)), samples(snapshot, accept)
    expected = {
        "freight_build_info 1.2.3": 1,
        "freight_start_time_seconds": shown.pop("started_at"),
        "freight_draining": shown.pop("draining"),
        "freight_unresponsive": len(shown["unresponsive"]),
        "freight_unresponsive_root": 0,
        "freight_unresponsive_hung_calls": sum(each["hung_calls"] for each in shown.pop("unresponsive")),
        "freight_transfers_running": len(shown["transfers"].pop("running")) + shown["transfers"].pop("running_omitted"),
    }
    assert shown.pop("version") == "1.2.3"
    for name in ("pid", "server", "waiting", "waiting_omitted"):  # not numbers
        shown.pop(name)
    for name in ("waiting_by_reason", "refused_by_reason_total"):
        for reason, count in shown["admission"].pop(name).items():
            expected[f"freight_admission_{name} {reason}"] = count
    for reason, count in shown["transfers"].pop("aborted_total").items():
        expected[f"freight_transfers_aborted_total {reason}"] = count
    for part, numbers in shown.items():
        for name, number in numbers.items():
            expected[f"freight_{part}_{name}" + ("_total" if part == "time" else "")] = number
    assert exported == expected


def test_every_metric_has_a_meaning_a_type_and_the_unit_that_its_name_ends_in(snapshot: Snapshot) -> None:
    for family in families(snapshot, "application/openmetrics-text"):
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "info")
        unit = re.search(r"_(bytes|seconds)$", family.name)
        assert family.unit == (unit[1] if unit else "")


def test_the_number_of_samples_does_not_grow_with_clients(snapshot: Snapshot) -> None:
    many = tuple(
        replace(snapshot.transfers.running[0], client=f"10.0.0.{number}", target=f"/{number}") for number in range(250)
    )
    with_many = replace(snapshot, transfers=replace(snapshot.transfers, running=many))
    assert samples(with_many).keys() == samples(snapshot).keys()


def test_every_metric_is_documented_and_no_other(workers_snapshot: Snapshot) -> None:
    _, section = REFERENCE.read_text(encoding="utf-8").split("\n## /metrics\n")
    documented = re.findall(r"^\| `(freight_\w+)(?:\{\w+\})?` \| (\w+) \|", section.split("\n## ")[0], re.MULTILINE)
    assert documented == [
        (family.samples[0].name, "counter" if family.type == "counter" else "gauge")
        for family in families(workers_snapshot)
    ]
