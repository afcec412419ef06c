"""The servers that are compared: a table of names, commands and configurations.

Commands and configurations are templates. The results record the templates, so that no result names a directory or a
port of the machine.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from freight.tools.programs import find_program

PROGRAMS = Path(__file__).parent / "programs"

NGINX_CONF = """\
worker_processes 1;
pid $work/nginx.pid;
error_log $work/error.log;
worker_rlimit_nofile $nofile;
$user
events { worker_connections 16384; }
http {
    $log
    client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
    sendfile on;
    $extra
    server { listen $address:$port backlog=4096; root $root; }
}
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to serve a directory on ``$address:$port``.

    ``needs`` is a program, or a Python module as ``python:NAME``. ``files`` are configurations by their name in
    ``$work``. ``build`` runs once before the first start. ``ranges`` is False if a body has no stated length.
    ``tls``: it speaks HTTPS. ``h2``: clients speak HTTP/2. ``aside``: HTTP/2 without TLS has its own port, ``$aside``.
    """

    name: str
    needs: str
    command: tuple[str, ...]
    version: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    build: tuple[str, ...] = ()
    ranges: bool = True
    tls: bool = False
    h2: bool = False
    aside: bool = False

    def missing_requirement(self) -> str | None:
        """Return why it cannot run here, or None."""
        kind, _, module = self.needs.partition(":")
        if not module:
            return None if find_program(kind) else f"{kind} is not installed"
        return None if find_spec(module) else f"the package {module} is not installed"

    def installed_version(self) -> str:
        """Return its version as it reports it, one line."""
        kind, _, module = self.needs.partition(":")
        if module:
            try:
                return f"{module} {version(module)}"
            except PackageNotFoundError:  # a checkout on the path, not installed
                return f"{module} {getattr(import_module(module), '__version__', 'from the checkout')}"
        done = subprocess.run([find_program(kind) or kind, *self.version], capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).strip().splitlines()
        return lines[0].removeprefix("nginx version: ").partition(" h1:")[0] if lines else "unknown"


def nginx(name: str, log: str, extra: str = "") -> Peer:
    conf = NGINX_CONF.replace("$log", log).replace("$extra", extra)
    command = ("$nginx", "-p", "$work", "-c", "$work/nginx.conf", "-g", "daemon off;")
    return Peer(name, "nginx", command, ("-v",), {"nginx.conf": conf})


def freight(memory: str | None = None, *more: str, name: str = "") -> Peer:
    """Return freight with a budget; None: its default. A peer with ``more`` flags needs a ``name``."""
    flags = ("--memory", memory, *more) if memory else more
    command = ("$python", "-m", "freight", "serve", "$root", "--host", "$address", "--port", "$port", *flags)
    return Peer(name or (f"freight {memory}" if memory else "freight"), "python:freight", command)


def go(name: str, source: str, *, ranges: bool) -> Peer:
    build = ("$go", "build", "-o", f"$shared/{name}", source)
    command = (f"$shared/{name}", "$address:$port", "$root")
    return Peer(
        name,
        "go",
        command,
        ("version",),
        env={"GO111MODULE": "off", "GOCACHE": "$shared/go"},
        build=build,
        ranges=ranges,
    )


def https(peer: Peer) -> Peer:
    """Return the peer over HTTPS, with the site's certificate. It speaks HTTP/2 if it can and a client asks for it."""
    secure = replace(peer, command=(*peer.command, *TLS_WORDS.get(peer.needs, ())), tls=True)
    return reconfigured(secure, TLS_CONFIGURED.get(peer.needs, {}))


def http2(peer: Peer) -> Peer:
    """Return the peer for clients of HTTP/2: by ALPN over TLS, with prior knowledge without TLS."""
    return reconfigured(replace(peer, h2=True), H2_CONFIGURED.get(peer.needs, {}))


def reconfigured(peer: Peer, changes: Mapping[str, str]) -> Peer:
    """Return the peer with words of its configuration replaced."""
    files = dict(peer.files)
    for before, after in changes.items():
        files = {name: text.replace(before, after) for name, text in files.items()}
    return replace(peer, files=files)


CERT, KEY = "$shared/cert.pem", "$shared/key.pem"
TLS_WORDS: Mapping[str, tuple[str, ...]] = {
    "python:freight": ("--tls-cert", CERT, "--tls-key", KEY),
    "python:granian": ("--ssl-certificate", CERT, "--ssl-keyfile", KEY),
    "python:starlette": ("--ssl-certfile", CERT, "--ssl-keyfile", KEY),
    "python:aiohttp": (CERT, KEY),
    "go": (CERT, KEY),
}
"""The words at the end of a command for HTTPS."""

NGINX_TLS = (
    f"ssl_certificate {CERT}; ssl_certificate_key {KEY}; ssl_protocols TLSv1.2 TLSv1.3; "
    "ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20; ssl_prefer_server_ciphers on;"
)
TLS_CONFIGURED: Mapping[str, Mapping[str, str]] = {
    # The second replacement occurs once, even with another port without TLS: nginx rejects a repeated directive.
    "nginx": {"$address:$port": "$address:$port ssl", "root $root;": f"{NGINX_TLS} root $root;"},
    "caddy": {"http://:": "https://:", "file_server": f"file_server\n    tls {CERT} {KEY}"},
}
H2_CONFIGURED: Mapping[str, Mapping[str, str]] = {
    "nginx": {" backlog=4096;": " http2 backlog=4096;"},
    "caddy": {"default_sni localhost": "default_sni localhost\n    servers {\n        protocols h1 h2 h2c\n    }"},
}
"""Replacements in a configuration."""

NGINX = nginx("nginx", "access_log off;")
"""The reference of all ratios."""

NGINX_BOTH = reconfigured(
    replace(NGINX, aside=True),
    {"backlog=4096; root": "backlog=4096; listen $address:$aside http2 backlog=4096; root"},
)
"""nginx with HTTP/2 without TLS too, which needs its own port."""

NGINX_DEFAULT = nginx("nginx default", "")
"""As shipped: one worker, sendfile, an access log."""

NGINX_SHARED = nginx("nginx", "access_log off;", "open_file_cache max=1000;")
"""One descriptor per file instead of per download, so that 10,000 downloads need at most 10,000 descriptors."""

ASGI = ("--host", "$address", "--port", "$port")
CADDYFILE = """\
{
    admin off
    auto_https off
    default_sni localhost
}
http://:$port {
    bind $address
    root * $root
    file_server
}
"""
CADDY = Peer(
    "caddy",
    "caddy",
    ("$caddy", "run", "--config", "$work/Caddyfile", "--adapter", "caddyfile"),
    ("version",),
    {"Caddyfile": CADDYFILE},
)
AIOHTTP = Peer("aiohttp", "python:aiohttp", ("$python", "$programs/aiohttp_app.py", "$address", "$port", "$root"))
STARLETTE = Peer(
    "starlette",
    "python:starlette",
    ("$python", "-m", "uvicorn", "starlette_app:app", "--app-dir", "$programs", "--no-access-log", *ASGI),
    env={"BENCH_ROOT": "$root"},
)
GRANIAN = Peer(
    "granian",
    "python:granian",
    ("$python", "-m", "granian", "starlette_app:app", "--working-dir", "$programs", "--interface", "asgi", *ASGI),
    env={"BENCH_ROOT": "$root"},
)
GO_COPY = go("go-io.Copy", "$lab_programs/io_copy.go", ranges=False)
GO_SERVE = go("go-ServeFile", "$programs/serve_file.go", ranges=True)
SECURE = (GO_SERVE, CADDY, GRANIAN)
"""The other servers that speak HTTPS and HTTP/2."""

OTHERS = (NGINX_DEFAULT, GO_SERVE, AIOHTTP, GO_COPY, CADDY, GRANIAN, STARLETTE)

LOGGED = (
    nginx("nginx", "access_log $work/access.log;", "keepalive_requests 1000000000;"),
    freight(),
    reconfigured(CADDY, {"file_server": "file_server\n    log {\n        output file $work/access.log\n    }"}),
    replace(AIOHTTP, env={"BENCH_LOG": "1"}),
    replace(GRANIAN, command=(*GRANIAN.command, "--access-log")),
    replace(STARLETTE, command=tuple(word for word in STARLETTE.command if word != "--no-access-log")),
)
"""Servers that write a line per request to a file in ``$work``, and never close a connection that clients use."""
