"""PURE: a fleet as a Caddyfile, for Caddy 2.8 or newer."""

from __future__ import annotations

import math
from collections.abc import Iterator

from freight.tools.fleet.capacity import max_concurrent_requests
from freight.tools.fleet.fleet_options import FleetOptions, serve_arguments
from freight.units import format_seconds

_DIAL, _HEALTH_INTERVAL, _AGAIN = "2s", "1s", "250ms"


def write(fleet: FleetOptions) -> str:
    """Return the Caddyfile, with comments."""
    return "\n".join([*_heading(fleet), *_options(fleet), *_nodes(fleet), *_site(fleet)]) + "\n"


def _heading(fleet: FleetOptions) -> Iterator[str]:
    example = " ".join(serve_arguments(fleet, fleet.nodes[0], "PATH"))
    yield "# Written by freight fleet caddy. Check: caddy validate --config FILE. Start: caddy run --config FILE."
    yield "# All nodes must serve identical files with identical modification times. Start the first node with"
    yield f"#   freight {example}"


def _options(fleet: FleetOptions) -> Iterator[str]:
    yield "{"
    if fleet.tls_cert is not None:
        yield "\tauto_https disable_redirects"
    yield "\tservers {"
    yield "\t\ttimeouts {"
    yield "\t\t\tread_header 10s"
    yield f"\t\t\tidle {format_seconds(fleet.idle_timeout_seconds)}"
    yield "\t\t}"
    yield "\t}"
    yield "}"
    yield ""


def _nodes(fleet: FleetOptions) -> Iterator[str]:
    """Yield the settings that all policies share."""
    yield "(nodes) {"
    yield f"\tto {' '.join(map(str, fleet.nodes))}"
    yield "\t# If a node is down or full, its request is retried on other nodes for this long, before the first byte."
    yield f"\tlb_try_duration {format_seconds(fleet.queue_timeout_seconds)}"
    yield f"\tlb_try_interval {_AGAIN}"
    yield f"\tunhealthy_request_count {max_concurrent_requests(fleet)}"
    yield f"\tfail_duration {_DIAL}"
    yield from _health(fleet)
    yield "\theader_up -Forwarded"
    yield "\t# No flush_interval: Caddy buffers nothing without it, and with it would not notice that a client left."
    yield "\ttransport http {"
    yield f"\t\tversions {'h2c' if fleet.http2 else '1.1'}"
    yield f"\t\tdial_timeout {_DIAL}"
    yield "\t\tkeepalive 60s # less than --keep-alive-timeout of the nodes"
    yield f"\t\tresponse_header_timeout {format_seconds(fleet.queue_timeout_seconds + 5)}"
    yield "\t\tcompression off"
    yield "\t}"
    yield "}"
    yield ""


def _health(fleet: FleetOptions) -> Iterator[str]:
    """Yield the readiness check. Caddy has one port for all nodes: if admin ports differ, it checks the nodes' own."""
    ports = {node.admin_port for node in fleet.nodes}
    if len(ports) == 1 and None not in ports:
        yield "\thealth_uri /readyz"
        yield f"\thealth_port {ports.pop()}"
    else:
        yield "\thealth_uri /"
        yield "\thealth_method HEAD"
    yield "\thealth_headers {"
    yield "\t\tHost localhost"
    yield "\t}"
    yield f"\thealth_interval {_HEALTH_INTERVAL}"
    yield f"\thealth_timeout {_DIAL}"


def _site(fleet: FleetOptions) -> Iterator[str]:
    retry = math.ceil(fleet.queue_timeout_seconds)
    yield f"{_address(fleet)} {{"
    if fleet.front.host not in ("0.0.0.0", "::"):
        yield f"\tbind {fleet.front.host}"
    if fleet.tls_cert is not None:
        yield f"\ttls {_quoted(str(fleet.tls_cert))} {_quoted(str(fleet.tls_key or fleet.tls_cert))}"
    if fleet.hot:
        yield f"\t@hot path {' '.join(path + '*' if path.endswith('/') else path for path in fleet.hot)}"
        yield "\thandle @hot {"
        yield from _proxy("least_conn")
        yield "\t}"
    yield "\t# Requests for one file go to one node, which has it in its page cache, until that node is full."
    yield "\thandle {"
    yield from _proxy("uri_hash")
    yield "\t}"
    yield "\thandle_errors 502 503 504 {"
    yield f"\t\theader Retry-After {retry}"
    yield f'\t\trespond "The server is busy. Try again in {retry} s." 503'
    yield "\t}"
    yield "}"


def _proxy(policy: str) -> Iterator[str]:
    yield "\t\treverse_proxy {"
    yield f"\t\t\tlb_policy {policy}"
    yield "\t\t\timport nodes"
    yield "\t\t}"


def _address(fleet: FleetOptions) -> str:
    """Return the site's address. With a certificate or a domain, Caddy serves HTTP/1.1, HTTP/2 and HTTP/3 there."""
    scheme = "https" if fleet.tls_cert is not None or fleet.domain else "http"
    return f"{scheme}://{fleet.domain or ''}:{fleet.front.port}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
