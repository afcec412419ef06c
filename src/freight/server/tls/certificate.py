"""Load a server's certificate and its key for OpenSSL.

An error in them is found before the first client connects, and names the file.
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from freight.config.operator_file import read_regular
from freight.errors import ConfigurationError
from freight.server.tls.sockets import TlsSocket

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; the ciphers of TLS 1.3 are all as good
_PROTOCOLS = ["h2", "http/1.1"]  # for ALPN (RFC 7301): the server's order counts
_OUT_OF_DATE = {9: "is not valid yet", 10: "has expired"}  # by X509_V_ERR_* code
_SELF_SIGNED_DAYS = 30
_PEM_BYTES_MAX = 1 << 20  # a chain takes a few KiB

ContextLoader = Callable[[], ssl.SSLContext]
"""A function that loads the certificate as it is now. It raises ConfigurationError."""


def from_files(cert: Path, key: Path) -> ContextLoader:
    """Return a loader of a key pair in PEM files."""
    return partial(load, cert, key)


def self_signed(hosts: Sequence[str]) -> tuple[ContextLoader, str]:
    """Make a self-signed key pair. Return its loader, and the SHA-256 fingerprint of the certificate.

    The certificate is for localhost and ``hosts``, and no file holds it once this returns. openssl(1) makes it in a
    process of its own, because a library for it would take more memory than the server. Raise ConfigurationError if
    openssl(1) fails.
    """
    names = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]
    for host in hosts:
        if host not in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::"):
            address = host.partition("%")[0]  # a certificate has no zones
            is_name = ":" not in address and not address.replace(".", "").isdigit()
            names.append(f"DNS:{address}" if is_name else f"IP:{address}")
    with TemporaryDirectory(prefix="freight-") as private:  # mode 0700
        cert, key = Path(private, "cert.pem"), Path(private, "key.pem")
        command = [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", str(key), "-out", str(cert), "-days", str(_SELF_SIGNED_DAYS)),
            *("-subj", "/CN=freight", "-addext", f"subjectAltName={','.join(names)}"),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise ConfigurationError(
                "the program openssl did not make a certificate; install it, or give --tls-cert and --tls-key",
                "tls-self-signed",
            ) from None
        context = load(cert, key)
        digest = sha256(ssl.PEM_cert_to_DER_cert(cert.read_text())).digest()
    return (lambda: context), digest.hex(":").upper()


def load(cert: Path, key: Path) -> ssl.SSLContext:
    """Load a key pair from PEM files: ``cert`` has the chain, leaf first. Raise ConfigurationError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # Many clients close without close_notify. OpenSSL would then send an alert, and HTTP tells where a message ends.
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    context.set_alpn_protocols(_PROTOCOLS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    for name, path in (("tls-cert", cert), ("tls-key", key)):
        try:
            read_regular(path, _PEM_BYTES_MAX)
        except OSError as error:
            raise ConfigurationError(f"cannot read {path}: {error.strerror}", name) from None
    try:
        context.load_cert_chain(cert, key, password=_refuse_passphrase)
    except _PassphraseRequired:
        raise ConfigurationError(
            f"{key} needs a passphrase; give a key without one, in a file that only the server can read", "tls-key"
        ) from None
    except ssl.SSLError as error:
        raise _unusable(cert, key, error) from None
    _self_test(context, cert)
    return context


class _PassphraseRequired(Exception):
    """The key is encrypted."""


def _refuse_passphrase() -> str:
    raise _PassphraseRequired


def _unusable(cert: Path, key: Path, error: ssl.SSLError) -> ConfigurationError:
    match error.reason:
        case "KEY_VALUES_MISMATCH":
            return ConfigurationError(f"{key} is not the key of the certificate in {cert}", "tls-key")
        case "EE_KEY_TOO_SMALL" | "CA_KEY_TOO_SMALL" | "CA_MD_TOO_WEAK":
            return ConfigurationError(
                f"the key or signature of {cert} is too weak; use ECDSA P-256, or RSA of at least 2048 bits", "tls-cert"
            )
    for name, path, kind in (("tls-cert", cert, b"CERTIFICATE-----"), ("tls-key", key, b"PRIVATE KEY-----")):
        if kind not in read_regular(path, _PEM_BYTES_MAX):
            return ConfigurationError(f"{path} has no {kind.decode().strip('-').lower()} in PEM", name)
    why = (error.reason or str(error)).replace("_", " ").lower()
    return ConfigurationError(f"{cert} and {key} are not a key pair in PEM: {why}", "tls-cert")


def _self_test(context: ssl.SSLContext, cert: Path) -> None:
    """Shake hands with a client in memory that trusts this certificate: OpenSSL then reports an invalid date."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusting.load_verify_locations(cert)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = context.wrap_bio(to_server, to_client, server_side=True)
    theirs = trusting.wrap_bio(to_client, to_server)
    for side in (theirs, ours, theirs):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _OUT_OF_DATE:
                raise ConfigurationError(
                    f"the certificate in {cert} {_OUT_OF_DATE[error.verify_code]}", "tls-cert"
                ) from None
        except ssl.SSLError as error:
            raise ConfigurationError(f"{cert} cannot be used: {(error.reason or '').lower()}", "tls-cert") from None
