"""The servers of the table of features, each with the options or the configuration for a group of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from .peers import CADDY, NGINX, Peer, freight, reconfigured

ORIGIN = "https://maps.example"
USER, WORD = "ann", "correct-horse"
TOKEN = "freight_" + "Probe" * 8 + "abc"
HASH = "$2y$05$Z20AUa04.T39m/oOg0YpEO5FNX3irClfHunueZxbfXS4ceU7K9Zv2"
"""Of the password, by bcrypt, as ``htpasswd -nbBC 5`` prints it."""

Setups = Mapping[str, Peer]


def nginx_setups() -> Setups:
    def location(text: str, *, instead: str = "") -> Peer:
        return reconfigured(NGINX, {"root $root;": instead or f"root $root; {text}"})

    cors_text = (
        f'add_header Access-Control-Allow-Origin "{ORIGIN}" always; add_header Vary Origin always; '
        'add_header Access-Control-Expose-Headers "Content-Range, ETag, Accept-Ranges" always; '
        'add_header Access-Control-Allow-Headers "Range, If-Match" always; '
        "if ($request_method = OPTIONS) { return 204; }"
    )
    return {
        "plain": location("autoindex on;"),
        "json": location("autoindex on; autoindex_format json;"),
        "cors": location(f"location / {{ {cors_text} }}"),
        "basic": location("auth_basic files; auth_basic_user_file $shared/htpasswd;"),
        "precompressed": location("gzip_static on;"),
        "ruled": location('location /a.bin { add_header X-Kind data; add_header Cache-Control "max-age=60"; }'),
        "bearer": location(f'if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}'),
        "mounts": location("location /m/ { alias $root/below/; } location /n/ { alias $root/; }"),
        "unix": location("listen unix:$shared/socket;"),
        "log": reconfigured(NGINX, {"access_log off;": "access_log $shared/access.log combined;"}),
        "prefix": location("", instead="location /files/ { alias $root/; autoindex on; }"),
        "tls": reconfigured(NGINX, {
            "backlog=4096; root": "backlog=4096 ssl http2; ssl_certificate $shared/cert.pem; "
            "ssl_certificate_key $shared/key.pem; root"
        }),
    }  # fmt: skip


def caddy_setups() -> Setups:
    def site(text: str, *, scheme: str = "http") -> Peer:
        return reconfigured(CADDY, {"file_server": text, "http://": f"{scheme}://"})

    cors_text = (
        f'header >Access-Control-Allow-Origin "{ORIGIN}"\n    header >Vary Origin\n'
        '    header >Access-Control-Expose-Headers "Content-Range, ETag, Accept-Ranges"\n'
        '    header >Access-Control-Allow-Headers "Range, If-Match"\n'
        "    @options method OPTIONS\n    respond @options 204\n    file_server\n"
        f'    handle_errors {{\n        header Access-Control-Allow-Origin "{ORIGIN}"\n'
        '        respond "" {err.status_code}\n    }'
    )
    hashed = HASH.replace("$", "$$")
    return {
        "plain": site("file_server browse"),
        "json": site("file_server browse"),
        "cors": site(cors_text),
        "basic": site(f"basicauth {{\n        {USER} {hashed}\n    }}\n    file_server"),
        "precompressed": site("file_server {\n        precompressed gzip\n    }"),
        "ruled": site('header /a.bin Cache-Control "max-age=60"\n    header /a.bin X-Kind data\n    file_server'),
        "bearer": site(f'@others not header Authorization "Bearer {TOKEN}"\n    respond @others 401\n    file_server'),
        "mounts": site(
            "handle_path /m/* {\n        root * $root/below\n        file_server\n    }\n"
            "    handle_path /n/* {\n        file_server\n    }"
        ),
        "unix": reconfigured(CADDY, {"bind $address": "bind $address unix/$shared/socket"}),
        "prefix": site("handle_path /files/* {\n        file_server browse\n    }"),
        "tls": site("tls $shared/cert.pem $shared/key.pem\n    file_server", scheme="https"),
    }


COMBINED = ":combine,upstreams='m=$root/below n=$root':"


def rclone_setups() -> Setups:
    def serve(*words: str) -> Peer:
        command = ("rclone", "serve", "http", "$root", "--addr", "$address:$port", *words)
        return Peer("rclone", "rclone", command, ("version",))

    return {
        **dict.fromkeys(("plain", "json", "precompressed"), serve()),
        "basic": serve("--user", USER, "--pass", WORD),
        "mounts": replace(serve(), command=("rclone", "serve", "http", COMBINED, "--addr", "$address:$port")),
        "prefix": serve("--baseurl", "/files"),
        "tls": serve("--cert", "$shared/cert.pem", "--key", "$shared/key.pem"),
    }


def copyparty_setups() -> Setups:
    def serve(*words: str, volume: str = "$root::r") -> Peer:
        command = ("copyparty", "-i", "$address", "-p", "$port", "-q", "-v", volume, *words)
        return Peer("copyparty", "copyparty", command, ("--version",))

    return {
        **dict.fromkeys(("plain", "json", "precompressed"), serve()),
        "cors": serve("--acao", ORIGIN, "--acam", "GET,HEAD,OPTIONS"),
        "basic": serve("-a", f"{USER}:{WORD}", "--usernames", volume=f"$root::r,{USER}"),
        "bearer": serve("-a", f"{USER}:{TOKEN}", volume=f"$root::r,{USER}"),
        "mounts": serve("-v", "$root/below:m:r", volume="$root:n:r"),
        "unix": serve("-i", "$address,unix:770:$shared/socket"),
        "prefix": serve("--rp-loc", "/files", "--xff-src", "127.0.0.0/8"),
        "tls": serve("--cert", "$shared/both.pem", "--https-only"),
    }


def freight_setups() -> Setups:
    def serve(*words: str) -> Peer:
        return freight(None, "--admin", "none", *words, name="freight")

    rule = '[[rule]]\nmatch = "/a.bin"\ncache_control = "max-age=60"\nheaders = { X-Kind = "data" }\n'
    return {
        **dict.fromkeys(("plain", "json"), serve()),
        "cors": serve("--cors-origin", ORIGIN),
        "basic": serve("--users", "$shared/htpasswd"),
        "bearer": serve("--tokens", "$shared/tokens"),
        "mounts": serve("--mount", "/m=$root/below", "--mount", "/n=$root"),
        "unix": serve("--host", "unix:$shared/socket"),
        "log": serve("--log-format", "combined", "--log-file", "$shared/access.log"),
        "precompressed": serve("--precompressed"),
        "ruled": replace(serve("--config", "$work/freight.toml"), files={"freight.toml": rule}),
        "prefix": serve("--prefix", "/files"),
        "tls": serve("--tls-cert", "$shared/cert.pem", "--tls-key", "$shared/key.pem"),
    }


SERVERS: dict[str, Callable[[], Setups]] = {
    "freight": freight_setups,
    "nginx": nginx_setups,
    "Caddy": caddy_setups,
    "copyparty": copyparty_setups,
    "rclone": rclone_setups,
}
