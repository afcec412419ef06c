"""The metrics of a server, for Prometheus. docs/reference/admin.md has the names.

Only this module imports prometheus_client. That takes tens of milliseconds and 5 to 10 MiB, so the module is imported
at the first request for metrics.

A name is ``freight_`` and the path of the value in the JSON of :mod:`freight.observe.status`. No label identifies
clients or targets: each value would be one more time series.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from freight.http import accept as negotiation
from freight.model import COUNTERS, Counts, Snapshot, WorkerStats

_TEXT, _OPENMETRICS = "text/plain", "application/openmetrics-text"
_UNITS = ("bytes", "seconds")
# Each format has one version here, and the names need no escaping: a scraper's wishes about them do not matter.
_IGNORED_PARAMETERS = re.compile(r";[ \t]*(?:version|escaping)=[^;,]*", re.IGNORECASE)


def expose(snapshot: Snapshot, accept: str | None) -> tuple[str, bytes]:
    """Return media type and content: OpenMetrics if the Accept value prefers it, else Prometheus's text format."""
    wanted = None if accept is None else _IGNORED_PARAMETERS.sub("", accept)
    # choose_encoder itself ignores the weights of Accept, and raises for a version that is not a number.
    encode, media_type = choose_encoder(negotiation.choose(wanted, (_TEXT, _OPENMETRICS)) or _TEXT)
    registry = CollectorRegistry()
    registry.register(_SnapshotCollector(snapshot))
    return media_type, encode(registry)


class _SnapshotCollector(Collector):
    """A collector of one snapshot, for the client library."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, each with its samples."""
        yield from _server(self._snapshot)
        yield from _memory(self._snapshot)
        yield from _gate(self._snapshot)
        yield from _transfers(self._snapshot)
        yield from _file_systems(self._snapshot)
        yield from _counters(self._snapshot.counts, "disk", "time", "log")
        if self._snapshot.workers is not None:
            yield from _workers(self._snapshot.workers)


def _server(snapshot: Snapshot) -> Iterator[Metric]:
    yield InfoMetricFamily("freight_build", "The version of the server.", {"version": snapshot.version})
    yield _gauge(
        "start_time_seconds", "Start of the server, in seconds since the epoch.", snapshot.started_at, "seconds"
    )
    yield _gauge("draining", "1 while the server is stopping, else 0.", snapshot.draining)
    connections = snapshot.connections
    yield _gauge("connections_open", "Open connections, including idle ones.", connections.open)
    yield _gauge("connections_http2", "Open connections that use HTTP/2.", connections.http2)
    yield _gauge("connections_streams", "HTTP/2 streams with a response in progress.", connections.streams)


def _memory(snapshot: Snapshot) -> Iterator[Metric]:
    memory = snapshot.memory
    for name, value, meaning in (
        ("budget", memory.budget_bytes, "The memory budget for clients."),
        ("process", memory.process_bytes, "Private memory of the process."),
        ("baseline", memory.baseline_bytes, "Private memory of the process before the first client."),
        ("kernel_send", memory.kernel_send_bytes, "Kernel memory in the send queues of all connections."),
    ):
        yield _gauge(f"memory_{name}_bytes", meaning, value, "bytes")


def _gate(snapshot: Snapshot) -> Iterator[Metric]:
    gate = snapshot.admission
    yield _gauge("admission_slots", "Downloads that can run at once.", gate.slots)
    yield _gauge("admission_running", "Slots in use.", gate.running)
    yield _gauge("admission_express_running", "Small answers that run in the express lane.", gate.express_running)
    yield _gauge("admission_waiting", "Requests that wait for a slot.", gate.waiting)
    waiting = GaugeMetricFamily(
        "freight_admission_waiting_by_reason", "Requests that wait for a slot, by reason.", labels=("reason",)
    )
    for reason, count in gate.waiting_by_reason.items():
        waiting.add_metric((reason,), count)
    yield waiting
    yield _gauge(
        "admission_oldest_wait_seconds",
        "Wait of the oldest waiting request; 0 if none waits.",
        gate.oldest_wait_seconds,
        "seconds",
    )
    yield from _counters(snapshot.counts, "admission")


def _transfers(snapshot: Snapshot) -> Iterator[Metric]:
    transfers = snapshot.transfers
    yield _gauge("transfers_running", "Running downloads.", len(transfers.running) + transfers.running_omitted)
    yield from _counters(snapshot.counts, "transfers")


def _file_systems(snapshot: Snapshot) -> Iterator[Metric]:
    failed = snapshot.unresponsive
    yield _gauge("unresponsive", "File systems that do not answer.", len(failed))
    root = any(each.serves_root for each in failed)
    yield _gauge("unresponsive_root", "1 while the served path's file system does not answer, else 0.", root)
    calls = sum(each.hung_calls for each in failed)
    yield _gauge("unresponsive_hung_calls", "Calls that hang in file systems that do not answer.", calls)


def _counters(counts: Counts, *sections: str) -> Iterator[Metric]:
    for counter in COUNTERS:
        if counter.section not in sections:
            continue
        name = f"{counter.section}_{counter.key}".removesuffix("_total")
        value = counter.value_of(counts)
        if isinstance(value, Mapping):
            family = CounterMetricFamily(f"freight_{name}", counter.meaning, labels=("reason",))
            for reason, count in value.items():
                family.add_metric((reason,), count)
            yield family
        else:
            unit = name.rpartition("_")[2]
            yield _counter(name, counter.meaning, value, unit if unit in _UNITS else "")


def _workers(workers: WorkerStats) -> Iterator[Metric]:
    yield _gauge("workers_wanted", "Worker processes configured.", workers.wanted)
    yield _gauge("workers_running", "Worker processes that serve.", workers.running)
    yield _counter("workers_restarts", "Workers started to replace one that died.", workers.restarts_total)


def _gauge(name: str, meaning: str, value: float, unit: str = "") -> Metric:
    return GaugeMetricFamily(f"freight_{name}", meaning, value, unit=unit)


def _counter(name: str, meaning: str, value: float, unit: str = "") -> Metric:
    """Return a counter. The library appends ``_total`` to its name."""
    return CounterMetricFamily(f"freight_{name}", meaning, value, unit=unit)
