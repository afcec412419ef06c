"""PURE: a fleet as a configuration of HAProxy, 2.4 or newer.

Sections that are named are those of HAProxy's configuration manual.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator
from pathlib import Path

from freight.errors import Unservable
from freight.fleet.description import LOAD_FACTOR, Description, Node, serve_words
from freight.fleet.room import requests_at_once

CHECK_SECONDS, FALLS = 1, 2


def write(fleet: Description) -> str:
    """The configuration, commented. Raises Unservable for what HAProxy does not support."""
    parts = [_heading(fleet), _GLOBAL, _defaults(fleet)]
    if not all(_is_address(node.host) for node in fleet.nodes):
        parts.append(_RESOLVERS)
    parts += [_frontend(fleet), _backend(fleet, "files", _CONSISTENT)]
    if fleet.hot:
        parts.append(_backend(fleet, "hot", _SPREAD))
    if fleet.stats is not None:
        parts.append(_stats(fleet))
    return "\n".join(parts)


def _heading(fleet: Description) -> str:
    example = " ".join(serve_words(fleet, fleet.nodes[0], "PATH"))
    return f"""\
# Written by freight fleet haproxy. Check: haproxy -c -f FILE. Start: haproxy -f FILE.
# All nodes serve the same files with the same modification times. Start the first node with
#   freight {example}
"""


_GLOBAL = """\
global
    log stdout format raw local0
    # A small buffer, so that data for slow clients stays at the node, which limits it. The default is up to 32 MiB.
    tune.rcvbuf.server 262144
"""


def _defaults(fleet: Description) -> str:
    retry = math.ceil(fleet.max_wait_seconds)
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
        f"timeout queue {_time(fleet.max_wait_seconds)}",
        f"timeout server {_time(fleet.idle_timeout_seconds + fleet.max_wait_seconds)}",
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


def _frontend(fleet: Description) -> str:
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
    "# Requests for a file go to the same node, which has it in its page cache, unless that has much more load.",
    "balance uri path-only",
    "hash-type consistent",
    f"hash-balance-factor {LOAD_FACTOR}",
)
_SPREAD = (
    "# Hot files are in every page cache, so any node will do: the one with the fewest downloads.",
    "balance leastconn",
)


def _backend(fleet: Description, name: str, policy: tuple[str, ...]) -> str:
    lines = [*policy, f"http-request deny deny_status 503 if {{ queue({name}) ge {fleet.queue} }}"]
    if any(node.admin_port for node in fleet.nodes):
        lines += ["option httpchk GET /readyz", "http-check expect status 200"]
    # By default a node has 16 places on the ring, and some nodes get twice as many files as others. Here it has 1600.
    check = f"check inter {CHECK_SECONDS}s fastinter 250ms fall {FALLS} rise 1 weight 100"
    wire = " proto h2 check-proto h1" if fleet.http2 else ""
    lines.append(f"default-server {check} maxconn {requests_at_once(fleet)}{wire}")
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


def _stats(fleet: Description) -> str:
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
    """The certificate's file, from which HAProxy reads the key too, or from the one beside it."""
    if key is not None and key not in (certificate, Path(f"{certificate}.key")):
        raise Unservable(f"tls-key: HAProxy reads it from {certificate} itself or from {certificate}.key; put it there")
    return str(certificate)


def _quoted(text: str) -> str:
    """A word in strong quotes, in which no character is special (section 2.2, "Quoting and escaping")."""
    return "'" + text.replace("'", "'\\''") + "'"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
