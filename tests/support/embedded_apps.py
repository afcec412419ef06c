"""The applications that the tests of freight.asgi and freight.wsgi run under real servers. ROOT is what they serve."""

from __future__ import annotations

import os
from typing import Any

import freight.asgi
import freight.wsgi

_ROOT = os.environ["ROOT"]
_OPTIONS: dict[str, Any] = {
    "memory": os.environ.get("MEMORY", "64MiB"),
    "queue_timeout": float(os.environ.get("QUEUE_TIMEOUT", "30")),
    "queue_size": int(os.environ.get("QUEUE_SIZE", "1000")),
    "trusted_proxies": ("127.0.0.0/8",),
}
_IDLE = float(os.environ.get("IDLE_TIMEOUT", "60"))
_PATHSEND = os.environ.get("PATHSEND") == "1"

asgi = freight.asgi.Files(_ROOT, listings=True, idle_timeout=_IDLE, pathsend=_PATHSEND, **_OPTIONS)
wsgi = freight.wsgi.Files(_ROOT, listings=True, **_OPTIONS)
