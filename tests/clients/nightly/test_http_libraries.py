"""HTTP libraries and curl: whole files, ranges, a resumed download, preconditions, and parallel requests.

Every program of ``jobs/http_*`` does the same jobs, over HTTP and over HTTPS, and writes what it got to files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from programs import make_content

from support.certificates import KeyPair
from support.processes import run
from support.real_clients import PYTHON
from support.servers import Serve

JOBS = Path(__file__).parent / "jobs"
LARGE_BYTES = 9_000_000
SECONDS = 200
"""Of a program. ``go run`` compiles net/http first."""

Words = tuple[str | os.PathLike[str], ...]


@dataclass(frozen=True)
class Library:
    """A program of ``jobs/``, how to run it, and the HTTP version that it speaks over TCP and over TLS."""

    file: str
    needs: str
    command: Words
    clear: str = "HTTP/1.1"
    secure: str = "HTTP/1.1"


LIBRARIES = (
    Library("http_aiohttp.py", "aiohttp", (PYTHON,)),
    Library("http_curl.sh", "curl", ("sh",), secure="HTTP/2"),
    Library("http_fetch.mjs", "node", ("node",)),
    Library("http_go.go", "go", ("go", "run"), secure="HTTP/2.0"),
    Library("http_http2.mjs", "node", ("node",), clear="HTTP/2", secure="HTTP/2"),
    Library("http_httpx.py", "httpx", (PYTHON,), secure="HTTP/2"),
    Library("HttpJava.java", "java", ("java",), secure="HTTP/2"),
    Library("http_requests.py", "requests", (PYTHON,)),
    Library("http_urllib3.py", "urllib3", (PYTHON,)),
)


@pytest.fixture
def content(there: Path) -> dict[str, bytes]:
    """Write the files of the site, and return what each program's results must have."""
    make_content(there / "large.bin", LARGE_BYTES)
    make_content(there / "odd #name.bin", 5000, seed=2)
    make_content(there / "small.bin", 70_000, seed=3)
    large, odd, small = ((there / name).read_bytes() for name in ("large.bin", "odd #name.bin", "small.bin"))
    parts = {"whole": large, "middle": large[1000:70001], "suffix": large[-1000:], "resumed": large, "odd": odd}
    return parts | {f"many-{number}": small for number in range(20)}


def trusting(pair: KeyPair, library: Library, here: Path) -> dict[str, str]:
    """Return an environment in which the library trusts the certificate."""
    names = ("CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    variables = dict.fromkeys(names, str(pair.cert))
    if library.needs == "java":  # reads a key store, not a PEM file
        store = here / "trusted.p12"
        words = ("-importcert", "-noprompt", "-alias", "freight", "-storetype", "PKCS12", "-storepass", "changeit")
        run("keytool", *words, "-file", pair.cert, "-keystore", store)
        variables["JAVA_TOOL_OPTIONS"] = (
            f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit"
        )
    return os.environ | variables


def rows() -> list[Any]:
    """Return a row for each library over TCP and over TLS, with a mark that names what must be installed."""
    return [
        pytest.param(
            library,
            secure,
            id=f"{library.file}-{'https' if secure else 'http'}",
            marks=pytest.mark.needs(library.needs),
        )
        for library in LIBRARIES
        for secure in (False, True)
    ]


@pytest.mark.parametrize(("library", "secure"), rows())
def test_a_library_gets_every_byte(
    serve: Serve, there: Path, here: Path, content: dict[str, bytes], pair: KeyPair, library: Library, secure: bool
) -> None:
    """The statuses: two ranges, the rest after a disconnection, and nothing for a file that has not changed."""
    server = serve(there, *(pair.flags if secure else ()))
    url = f"https://localhost:{server.port}/" if secure else f"http://127.0.0.1:{server.port}/"
    results = here / "results"
    results.mkdir()
    env = trusting(pair, library, here)
    done = run(*library.command, JOBS / library.file, url, results, env=env, seconds=SECONDS)
    assert done.returncode == 0, done.stderr
    protocol = library.secure if secure else library.clear
    assert done.stdout.split() == [protocol, "206", "206", "206", "304", str(LARGE_BYTES)]
    assert [name for name, wanted in content.items() if (results / name).read_bytes() != wanted] == []
