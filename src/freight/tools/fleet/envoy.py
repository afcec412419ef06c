"""PURE: a fleet as a bootstrap configuration for Envoy, 1.30 or newer (the API's version 3)."""

from __future__ import annotations

import math
from typing import Any

from freight.tools.fleet.capacity import max_concurrent_requests
from freight.tools.fleet.fleet_options import LOAD_FACTOR, FleetOptions, Node, serve_arguments
from freight.tools.fleet.yaml_output import as_yaml

_TYPES = "type.googleapis.com/envoy.extensions"
_BUFFER_BYTES = 64 * 1024
_CONNECTIONS_MAX = 50_000
# A small buffer keeps data for slow clients at the node, which limits it. The default is up to 32 MiB.
_RECEIVE = {
    "description": "SO_RCVBUF",
    "level": 1,  # SOL_SOCKET
    "name": 8,  # SO_RCVBUF, as Linux numbers it
    "int_value": 256 * 1024,
    "state": "STATE_PREBIND",
}


def write(fleet: FleetOptions) -> str:
    """Return the bootstrap as YAML, with comments."""
    heading = (
        "Written by freight fleet envoy. Check: envoy --mode validate -c FILE. Start: envoy -c FILE.",
        "All nodes must serve identical files with identical modification times. Start the first node with",
        "  freight " + " ".join(serve_arguments(fleet, fleet.nodes[0], "PATH")),
    )
    clusters = [_cluster(fleet, "files", _CONSISTENT)]
    if fleet.hot:
        clusters.append(_cluster(fleet, "hot", _SPREAD))
    bootstrap = {
        **({} if fleet.stats is None else {"admin": {"address": _address(fleet.stats.host, fleet.stats.port)}}),
        "overload_manager": {"resource_monitors": [_bounded_connections()]},
        "static_resources": {"listeners": [_listener(fleet)], "clusters": clusters},
    }
    return as_yaml(heading, bootstrap)


def _bounded_connections() -> dict[str, Any]:
    kind = f"{_TYPES}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    name = "envoy.resource_monitors.global_downstream_max_connections"
    return {
        "name": name,
        "typed_config": {"@type": kind, "max_active_downstream_connections": _CONNECTIONS_MAX},
    }


def _listener(fleet: FleetOptions) -> dict[str, Any]:
    chain: dict[str, Any] = {"filters": [_manager(fleet)]}
    if fleet.tls_cert is not None:
        chain["transport_socket"] = _tls(fleet)
    return {
        "name": "front",
        "address": _address(fleet.front.host, fleet.front.port),
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "filter_chains": [chain],
    }


def _tls(fleet: FleetOptions) -> dict[str, Any]:
    pair = {
        "certificate_chain": {"filename": str(fleet.tls_cert)},
        "private_key": {"filename": str(fleet.tls_key or fleet.tls_cert)},
    }
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": [pair],
    }
    kind = f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext"
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": kind, "common_tls_context": common},
    }


def _manager(fleet: FleetOptions) -> dict[str, Any]:
    """Return the HTTP settings for clients. They limit how long a download may stall, not how long it may take."""
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
    kind = f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": kind,
            "stat_prefix": "front",
            "use_remote_address": True,
            "request_headers_timeout": "10s",
            "stream_idle_timeout": _seconds(fleet.idle_timeout_seconds + fleet.queue_timeout_seconds),
            "common_http_protocol_options": {"idle_timeout": _seconds(fleet.idle_timeout_seconds)},
            "http2_protocol_options": {"max_concurrent_streams": 100},
            "route_config": _routes(fleet),
            "local_reply_config": _retry_after(fleet),
            "http_filters": [router],
        },
    }


def _routes(fleet: FleetOptions) -> dict[str, Any]:
    routes = []
    for path in fleet.hot:
        match = {"prefix": path} if path.endswith("/") else {"path": path}
        routes.append({"match": match, "route": _route("hot")})
    by_path = {"header_name": ":path", "regex_rewrite": {"pattern": {"regex": r"\?.*"}, "substitution": ""}}
    routes.append({"match": {"prefix": "/"}, "route": {**_route("files"), "hash_policy": [{"header": by_path}]}})
    host = {"name": "all", "domains": ["*"], "routes": routes, "request_headers_to_remove": ["forwarded"]}
    return {"name": "front", "virtual_hosts": [host]}


def _route(cluster: str) -> dict[str, Any]:
    """Return a route that tries another node before the first byte of a response, if its node is down or full."""
    retry = {
        "retry_on": "connect-failure,refused-stream,reset-before-request,retriable-status-codes",
        "retriable_status_codes": [503],
        "num_retries": 3,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": f"{_TYPES}.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }
    return {"cluster": cluster, "timeout": "0s", "retry_policy": retry}


def _retry_after(fleet: FleetOptions) -> dict[str, Any]:
    """Return the Retry-After of the 503 responses that Envoy makes itself."""
    code = {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": 503, "runtime_key": "none"}}}}
    field = {"header": {"key": "Retry-After", "value": str(math.ceil(fleet.queue_timeout_seconds))}}
    return {"mappers": [{"filter": code, "headers_to_add": [field]}]}


_AT_ONCE = {"update_merge_window": "0s"}  # skip a stopped node immediately, not a second later
_SPREAD: dict[str, Any] = {"lb_policy": "LEAST_REQUEST", "common_lb_config": _AT_ONCE}
_CONSISTENT: dict[str, Any] = {  # requests for one file go to one node, unless its load is far above the mean
    "lb_policy": "RING_HASH",
    "ring_hash_lb_config": {"minimum_ring_size": 1024},
    "common_lb_config": {**_AT_ONCE, "consistent_hashing_lb_config": {"hash_balance_factor": LOAD_FACTOR}},
}


def _cluster(fleet: FleetOptions, name: str, policy: dict[str, Any]) -> dict[str, Any]:
    at_once = max_concurrent_requests(fleet) * len(fleet.nodes)
    kind = f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions"
    wire: dict[str, Any] = {"http2_protocol_options": {}} if fleet.http2 else {"http_protocol_options": {}}
    bounds = {"max_connections": at_once, "max_requests": at_once, "max_pending_requests": fleet.queue_size}
    return {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": "2s",
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "upstream_bind_config": {"socket_options": [_RECEIVE]},
        **policy,
        "circuit_breakers": {"thresholds": [{**bounds, "max_retries": 1 + at_once // 4}]},
        "health_checks": [_health(fleet)],
        "outlier_detection": {
            "consecutive_5xx": 1_000_000,  # a node that is full answers 503, and is healthy
            "enforcing_consecutive_5xx": 0,
            "consecutive_gateway_failure": 1_000_000,
            "enforcing_success_rate": 0,
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 2,
            "interval": "1s",
            "base_ejection_time": "5s",
            "max_ejection_percent": 50,
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": kind,
                "common_http_protocol_options": {"idle_timeout": "60s"},  # less than --keep-alive-timeout of the nodes
                "explicit_http_config": wire,
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": _endpoint(node)} for node in fleet.nodes]}],
        },
    }


def _health(fleet: FleetOptions) -> dict[str, Any]:
    asked = {"http_health_check": {"path": "/readyz", "host": "localhost"}}
    connected: dict[str, Any] = {"tcp_health_check": {}}
    return {
        "timeout": "2s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        **(asked if all(node.admin_port for node in fleet.nodes) else connected),
    }


def _endpoint(node: Node) -> dict[str, Any]:
    health = {} if node.admin_port is None else {"health_check_config": {"port_value": node.admin_port}}
    return {"address": _address(node.host, node.port), **health}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}s"
