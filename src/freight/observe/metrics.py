"""What a server does, for Prometheus: docs/reference/admin.md has the names.

This module alone imports prometheus_client. That takes tens of milliseconds and 5 to 10 MiB, so nobody imports this
module before metrics are asked for.

A name is the path of the value in the JSON of :mod:`freight.observe.status`, behind ``freight_``. No label tells
clients or targets apart: each would be a time series for as long as somebody keeps them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from freight.core import accept as negotiation
from freight.model import Snapshot, WorkersUse

_TEXT, _OPENMETRICS = "text/plain", "application/openmetrics-text"
# There is one version of each form here, and the names need no escaping: what a scraper says of them decides nothing.
_DECIDES_NOTHING = re.compile(r";[ \t]*(?:version|escaping)=[^;,]*", re.IGNORECASE)


def expose(snapshot: Snapshot, accept: str | None) -> tuple[str, bytes]:
    """Media type and content: OpenMetrics where the Accept value likes that better, else Prometheus's text format."""
    wanted = None if accept is None else _DECIDES_NOTHING.sub("", accept)
    # The encoder's own reading of Accept passes over weights, and raises for a version that is no number.
    encode, media_type = choose_encoder(negotiation.choose(wanted, (_TEXT, _OPENMETRICS)) or _TEXT)
    registry = CollectorRegistry()
    registry.register(_Look(snapshot))
    return media_type, encode(registry)


class _Look(Collector):
    """A snapshot as what the client library collects."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """All metrics, each with its samples."""
        yield from _server(self._snapshot)
        yield from _memory(self._snapshot)
        yield from _gate(self._snapshot)
        yield from _transfers(self._snapshot)
        yield from _time(self._snapshot)
        yield _counter("log_lost", "Lines that the log has lost.", self._snapshot.log.lost_total)
        if self._snapshot.workers is not None:
            yield from _workers(self._snapshot.workers)


def _server(snapshot: Snapshot) -> Iterator[Metric]:
    yield InfoMetricFamily("freight_build", "The version that runs.", {"version": snapshot.version})
    yield _gauge("start_time_seconds", "When it started, in seconds since the epoch.", snapshot.started_at, "seconds")
    yield _gauge("draining", "1 while it is stopping and takes no more requests, else 0.", snapshot.draining)
    connections = snapshot.connections
    yield _gauge("connections_open", "Connections that are open, idle ones included.", connections.open)
    yield _gauge("connections_http2", "Those of them that speak HTTP/2.", connections.http2)
    yield _gauge("connections_streams", "Streams of HTTP/2 that are being answered.", connections.streams)


def _memory(snapshot: Snapshot) -> Iterator[Metric]:
    memory = snapshot.memory
    for name, value, meaning in (
        ("budget", memory.budget_bytes, "Memory that may grow with clients."),
        ("process", memory.process_bytes, "Memory that is private to the process."),
        ("baseline", memory.baseline_bytes, "Memory that was private to the process before the first client."),
        ("kernel_send", memory.kernel_send_bytes, "What the kernel holds in the send queues of all connections."),
    ):
        yield _gauge(f"memory_{name}_bytes", meaning, value, "bytes")


def _gate(snapshot: Snapshot) -> Iterator[Metric]:
    gate = snapshot.gate
    yield _gauge("gate_slots", "Downloads that there is room for.", gate.slots)
    yield _gauge("gate_running", "Slots that are taken.", gate.running)
    yield _gauge("gate_express_running", "Small answers that run beside the slots.", gate.express_running)
    yield _gauge("gate_waiting", "Requests that wait for a slot.", gate.waiting)
    waiting = GaugeMetricFamily(
        "freight_gate_waiting_by_reason", "Those of them that wait for this reason.", labels=("reason",)
    )
    for reason, count in gate.waiting_by_reason.items():
        waiting.add_metric((reason,), count)
    yield waiting
    yield _gauge(
        "gate_oldest_wait_seconds",
        "Age of the oldest waiting request; 0 when none waits.",
        gate.oldest_wait_seconds,
        "seconds",
    )
    yield _counter("gate_refused", "Requests that got no slot.", gate.refused_total)
    yield _counter("gate_expired", "Those of them that had waited as long as a request may.", gate.expired_total)
    refused = CounterMetricFamily(
        "freight_gate_refused_by_reason", "Requests that got no slot for this reason.", labels=("reason",)
    )
    for reason, count in gate.refused_by_reason_total.items():
        refused.add_metric((reason,), count)
    yield refused


def _transfers(snapshot: Snapshot) -> Iterator[Metric]:
    transfers = snapshot.transfers
    running = len(transfers.running) + transfers.running_omitted
    yield _gauge("transfers_running", "Downloads that run.", running)
    yield _counter(
        "transfers_completed", "Downloads of which all that was promised went out.", transfers.completed_total
    )
    aborted = CounterMetricFamily("freight_transfers_aborted", "Downloads that ended early.", labels=("reason",))
    for reason, count in transfers.aborted_total.items():
        aborted.add_metric((reason,), count)
    yield aborted
    yield _counter("transfers_bytes", "Bytes of bodies that the kernel took.", transfers.bytes_total, "bytes")
    yield _counter(
        "transfers_zero_copy_bytes",
        "Those of them that went from the page cache without a copy.",
        transfers.zero_copy_bytes_total,
        "bytes",
    )


def _time(snapshot: Snapshot) -> Iterator[Metric]:
    time = snapshot.time
    for name, value, meaning in (
        ("blocked_on_client", time.blocked_on_client_seconds, "How long downloads waited for their clients, summed."),
        ("blocked_on_disk", time.blocked_on_disk_seconds, "How long downloads waited for the disk, summed."),
        ("waiting", time.waiting_seconds, "How long requests waited for a slot, summed."),
    ):
        yield _counter(f"time_{name}_seconds", meaning, value, "seconds")


def _workers(workers: WorkersUse) -> Iterator[Metric]:
    yield _gauge("workers_wanted", "Processes that are to serve.", workers.wanted)
    yield _gauge("workers_running", "Processes that serve.", workers.running)
    yield _counter("workers_restarts", "Workers started in the place of one that died.", workers.restarts_total)


def _gauge(name: str, meaning: str, value: float, unit: str = "") -> Metric:
    return GaugeMetricFamily(f"freight_{name}", meaning, value, unit=unit)


def _counter(name: str, meaning: str, value: float, unit: str = "") -> Metric:
    """A counter; the library puts ``_total`` behind its name."""
    return CounterMetricFamily(f"freight_{name}", meaning, value, unit=unit)
