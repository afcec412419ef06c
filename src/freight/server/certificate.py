"""The certificate of a server and its key, as the context that OpenSSL shakes hands with.

Whatever is wrong with them is said before anybody comes, by name of the file.
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from freight.errors import Unservable
from freight.regular import read_regular
from freight.server.tls import TlsSocket

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; all of those of 1.3 are as good
_PROTOCOLS = ["h2", "http/1.1"]  # by ALPN, RFC 7301: the client's order does not count, but what it offers
_OUT_OF_DATE = {9: "is not valid yet", 10: "has expired"}  # X509_V_ERR_*, by a verification's code
_SELF_SIGNED_DAYS = 30
_PEM_BYTES_MAX = 1 << 20  # a chain has some kilobytes

Contexts = Callable[[], ssl.SSLContext]
"""What makes a context of what the files have now. Raises Unservable."""


def from_files(cert: Path, key: Path) -> Contexts:
    """Of a key pair in PEM files."""
    return partial(load, cert, key)


def self_signed(host: str) -> tuple[Contexts, str]:
    """Of a key pair made now, which nobody has signed, and the SHA-256 fingerprint of its certificate.

    It is for localhost and ``host``, and in no file once this returns. openssl(1) makes it, in a process of its own:
    a library that can would take more memory than the server. Raises Unservable where that is missing.
    """
    names = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]
    if host not in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::"):
        names.append(f"IP:{host}" if ":" in host or host.replace(".", "").isdigit() else f"DNS:{host}")
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
            raise Unservable(
                "the program openssl did not make a certificate; install it, or give --tls-cert and --tls-key",
                "tls-self-signed",
            ) from None
        context = load(cert, key)
        digest = sha256(ssl.PEM_cert_to_DER_cert(cert.read_text())).digest()
    return (lambda: context), digest.hex(":").upper()


def load(cert: Path, key: Path) -> ssl.SSLContext:
    """What a key pair in PEM files makes: the certificate, those that sign it behind it. Raises Unservable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(_PROTOCOLS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    for name, path in (("tls-cert", cert), ("tls-key", key)):
        try:
            read_regular(path, _PEM_BYTES_MAX)
        except OSError as error:
            raise Unservable(f"cannot read {path}: {error.strerror}", name) from None
    try:
        context.load_cert_chain(cert, key, password=_refuse_passphrase)
    except _Locked:
        raise Unservable(
            f"{key} needs a passphrase; give a key without one, in a file that only the server can read", "tls-key"
        ) from None
    except ssl.SSLError as error:
        raise _unusable(cert, key, error) from None
    _try_out(context, cert)
    return context


class _Locked(Exception):
    """A key needs a passphrase."""


def _refuse_passphrase() -> str:
    raise _Locked


def _unusable(cert: Path, key: Path, error: ssl.SSLError) -> Unservable:
    match error.reason:
        case "KEY_VALUES_MISMATCH":
            return Unservable(f"{key} is not the key of the certificate in {cert}", "tls-key")
        case "EE_KEY_TOO_SMALL" | "CA_KEY_TOO_SMALL" | "CA_MD_TOO_WEAK":
            return Unservable(
                f"the key or signature of {cert} is too weak; use ECDSA P-256, or RSA of at least 2048 bits", "tls-cert"
            )
    for name, path, kind in (("tls-cert", cert, b"CERTIFICATE-----"), ("tls-key", key, b"PRIVATE KEY-----")):
        if kind not in read_regular(path, _PEM_BYTES_MAX):
            return Unservable(f"{path} has no {kind.decode().strip('-').lower()} in PEM", name)
    why = (error.reason or str(error)).replace("_", " ").lower()
    return Unservable(f"{cert} and {key} are not a key pair in PEM: {why}", "tls-cert")


def _try_out(context: ssl.SSLContext, cert: Path) -> None:
    """Shake hands with ourselves: who trusts just this certificate is told by OpenSSL what is wrong with its dates."""
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
                raise Unservable(f"the certificate in {cert} {_OUT_OF_DATE[error.verify_code]}", "tls-cert") from None
        except ssl.SSLError as error:
            raise Unservable(f"{cert} cannot be used: {(error.reason or '').lower()}", "tls-cert") from None
