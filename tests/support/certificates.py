"""Certificates and keys for tests, made by openssl(1), and TLS contexts for clients."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_KINDS = {"ec": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa": ("-newkey", "rsa:2048")}


@dataclass(frozen=True)
class KeyPair:
    """A certificate for ``localhost`` and 127.0.0.1 and its key, in PEM files."""

    cert: Path
    key: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """Options of ``freight serve``."""
        return ("--tls-cert", str(self.cert), "--tls-key", str(self.key))


def make_key_pair(folder: Path, name: str, kind: str = "ec", *, expired: bool = False, passphrase: str = "") -> KeyPair:
    """Create a self-signed certificate and its key. ``expired``: it has expired."""
    pair = KeyPair(folder / f"{name}.crt", folder / f"{name}.key")
    locked = ("-passout", f"pass:{passphrase}") if passphrase else ("-nodes",)
    names = ("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    where = ("-keyout", str(pair.key), "-out", str(pair.cert))
    _openssl("req", "-x509", *_KINDS[kind], *locked, *names, *where)
    if expired:  # req(1) has no option for a date in the past, x509(1) has
        sign_again = ("-in", str(pair.cert), "-signkey", str(pair.key), "-days", "-1", "-out", str(pair.cert))
        _openssl("x509", *sign_again)
    return pair


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


def unverified_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a client's context that accepts any certificate. ``version``: the only TLS version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def verified_context(pair: KeyPair) -> ssl.SSLContext:
    """Return a client's context that accepts this certificate only, for its names."""
    return ssl.create_default_context(cafile=str(pair.cert))
