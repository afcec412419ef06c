"""What the documentation says of servers that cannot be installed from Debian, PyPI or npm: nothing of it was tried."""

from __future__ import annotations

from collections.abc import Mapping

READ: Mapping[str, Mapping[str, str]] = {
    "miniserve": {
        "one range, also from the end": "*yes*",
        "listing in HTML": "*yes*",
        "CORS": "*by `--header`*",
        "bearer tokens": "*no*",
        "several directories at paths of their own": "*no*",
        "Unix sockets": "*yes*",
        "basic authentication": "*yes*",
        "serves below a prefix": "*yes*",
        "HTTPS": "*yes*",
    },
    "dufs": {
        "one range, also from the end": "*yes*",
        "listing in HTML": "*yes*",
        "listing in JSON": "*yes*",
        "CORS": "*yes*",
        "basic authentication": "*yes*",
        "several directories at paths of their own": "*no*",
        "serves below a prefix": "*yes*",
        "HTTPS": "*yes*",
    },
    "static-web-server": {
        "listing in HTML": "*yes*",
        "listing in JSON": "*yes*",
        "CORS": "*yes*",
        "preflight for `Range` and `If-Match`": "*yes*",
        "exposes `Content-Range`, `ETag`": "*yes*",
        "basic authentication": "*yes*",
        "precompressed files (gzip)": "*yes*",
        "headers by path": "*yes*",
        "HTTPS": "*yes, HTTP/2*",
    },
}
"""Cells in italics, by column and row. A missing cell: the documentation that was read does not say."""
