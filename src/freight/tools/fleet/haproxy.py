"""PURE: a fleet as a configuration of HAProxy, 2.4 or newer. Section numbers are those of its configuration manual."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator
from pathlib import Path

from freight.errors import ConfigurationError
from freight.tools.fleet.capacity import max_concurrent_requests
from freight.tools.fleet.fleet_options import LOAD_FACTOR, FleetOptions, Node, serve_arguments

CHECK_SECONDS, FALLS = 1, 2


def write(fleet: FleetOptions) -> str:
    """Return the configuration, with comments. Raises ConfigurationError for what HAProxy does not support."""
    parts = [_heading(fleet), _GLOBAL, _defaults(fleet)]
    if not all(_is_address(node.host) for node in fleet.nodes):
        parts.append(_RESOLVERS)
    parts += [_frontend(fleet), _backend(fleet, "files", _CONSISTENT)]
    if fleet.hot:
        parts.append(_backend(fleet, "hot", _SPREAD))
    if fleet.stats is not None:
        parts.append(_stats(fleet))
    return "\n".join(parts)


def _heading(fleet: FleetOptions) -> str:
    example = " ".join(serve_arguments(fleet, fleet.nodes[0], "PATH"))
    return f"""\
# Written by freight fleet haproxy. Check: haproxy -c -f FILE. Start: haproxy -f FILE.
# All nodes must serve identical files with identical modification times. Start the first node with
#   freight {example}
"""


_GLOBAL = """\
global
    log stdout format raw local0
    # A small buffer keeps data for slow clients at the node, which limits it. The default is up to 32 MiB.
    tune.rcvbuf.server 262144
"""


def _defaults(fleet: FleetOptions) -> str:
    retry = math.ceil(fleet.queue_timeout_seconds)
    sorry = f"The server is busy. Try again in {retry} s."
    idle = _time(fleet.idle_timeout_seconds)
    lines = [
        "mode http",
        "log global",
        "option dontlognull",
        "option forwardfor",
        "# These limit how long a client or a node may be silent, not how long a download takes.",
        "timeout connect 2s",
        f"timeout client {idle}",
        "timeout http-request 10s",
        "timeout http-keep-alive 10s",
        f"timeout queue {_time(fleet.queue_timeout_seconds)}",
        f"timeout server {_time(fleet.idle_timeout_seconds + fleet.queue_timeout_seconds)}",
        "timeout check 2s",
        "# Before the first byte of a response, a request is sent to another node if its node is down or full.",
        "retries 3",
        "option redispatch 1",
        "retry-on conn-failure empty-response 503",
        f'http-error status 503 content-type text/plain string "{sorry}\\n" hdr Retry-After {retry}',
    ]
    if fleet.tls_cert is None:
        lines.insert(4, "option splice-response")
    return _section("defaults", lines)


def _frontend(fleet: FleetOptions) -> str:
    bind = f"bind {fleet.front}"
    if fleet.tls_cert is not None:
        bind += f" ssl crt {_quoted(_certificate(fleet.tls_cert, fleet.tls_key))} alpn h2,http/1.1 ssl-min-ver TLSv1.2"
    lines = [bind, "option httplog", "http-request del-header forwarded"]
    whole = [path for path in fleet.hot if not path.endswith("/")]
    beneath = [path for path in fleet.hot if path.endswith("/")]
    if whole:
        lines.append(f"use_backend hot if {{ path {' '.join(whole)} }}")
    if beneath:
        lines.append(f"use_backend hot if {{ path_beg {' '.join(beneath)} }}")
    return _section("frontend front", [*lines, "default_backend files"])


_CONSISTENT = (
    "# Requests for one file go to one node, which has it in its page cache, unless its load is far above the mean.",
    "balance uri path-only",
    "hash-type consistent",
    f"hash-balance-factor {LOAD_FACTOR}",
)
_SPREAD = (
    "# Every page cache has the hot files, so their requests go to the node with the fewest downloads.",
    "balance leastconn",
)


def _backend(fleet: FleetOptions, name: str, policy: tuple[str, ...]) -> str:
    lines = [*policy, f"http-request deny deny_status 503 if {{ queue({name}) ge {fleet.queue_size} }}"]
    if any(node.admin_port for node in fleet.nodes):
        lines += ["option httpchk GET /readyz", "http-check expect status 200"]
    # With the default of 16 points on the hash ring, some nodes get twice as many files as others. Here each has 1600.
    check = f"check inter {CHECK_SECONDS}s fastinter 250ms fall {FALLS} rise 1 weight 100"
    wire = " proto h2 check-proto h1" if fleet.http2 else ""
    lines.append(f"default-server {check} maxconn {max_concurrent_requests(fleet)}{wire}")
    return _section(f"backend {name}", [*lines, *(_server(at, node) for at, node in enumerate(fleet.nodes, 1))])


def _server(at: int, node: Node) -> str:
    words = [f"server node{at} {node}"]
    if node.admin_port is not None:
        words.append(f"port {node.admin_port}")
    if node.agent_port is not None:
        words.append(f"agent-check agent-port {node.agent_port} agent-inter {CHECK_SECONDS}s")
    if not _is_address(node.host):
        words.append("resolvers host init-addr last,libc,none")
    return " ".join(words)


_RESOLVERS = """\
resolvers host
    parse-resolv-conf
    hold valid 5s
"""


def _stats(fleet: FleetOptions) -> str:
    lines = [f"bind {fleet.stats}", "stats enable", "stats uri /", "stats refresh 5s", "option dontlog-normal"]
    return _section("frontend stats", lines)


def _section(name: str, lines: list[str]) -> str:
    return "\n".join(_indented(name, lines)) + "\n"


def _indented(name: str, lines: list[str]) -> Iterator[str]:
    yield name
    yield from (f"    {line}" for line in lines)


def _time(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"


def _certificate(certificate: Path, key: Path | None) -> str:
    """Return the certificate's file. HAProxy reads the key from it, or from the file with ``.key`` added."""
    if key is not None and key not in (certificate, Path(f"{certificate}.key")):
        raise ConfigurationError(
            f"tls-key: HAProxy reads it from {certificate} itself or from {certificate}.key; put it there"
        )
    return str(certificate)


def _quoted(text: str) -> str:
    """Return a word in strong quotes, where no character is special (section 2.2, "Quoting and escaping")."""
    return "'" + text.replace("'", "'\\''") + "'"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
