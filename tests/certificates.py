"""Key pairs for tests, made by openssl(1), and what clients trust of them."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_KINDS = {"ec": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa": ("-newkey", "rsa:2048")}


@dataclass(frozen=True)
class Pair:
    """A certificate for ``localhost`` and 127.0.0.1 and its key, in PEM files."""

    cert: Path
    key: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """What a server is told."""
        return ("--tls-cert", str(self.cert), "--tls-key", str(self.key))


def make_pair(folder: Path, name: str, kind: str = "ec", *, late: bool = False, passphrase: str = "") -> Pair:
    """A pair that nobody has signed but itself; ``late``: it has expired."""
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    locked = ("-passout", f"pass:{passphrase}") if passphrase else ("-nodes",)
    names = ("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    where = ("-keyout", str(pair.key), "-out", str(pair.cert))
    _openssl("req", "-x509", *_KINDS[kind], *locked, *names, *where)
    if late:  # req(1) takes no date, x509(1) any number of days
        again = ("-in", str(pair.cert), "-signkey", str(pair.key), "-days", "-1", "-out", str(pair.cert))
        _openssl("x509", *again)
    return pair


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


def trusting_all(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client that takes any certificate, and speaks this version only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def trusting(pair: Pair) -> ssl.SSLContext:
    """A client that takes this certificate only, for its names."""
    return ssl.create_default_context(cafile=str(pair.cert))
