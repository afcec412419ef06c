"""Real programs over HTTPS: curl, wget, aria2c and openssl, each trusting the server's certificate."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from programs import LARGE_BYTES, digest, make_content, overwrite, run, start, written

from support.certificates import KeyPair
from support.processes import running
from support.servers import Serve, ServerProcess, wait_until

GIB = 1 << 30
VERSIONS = {"1.2": ("--tls-max", "1.2"), "1.3": ("--tlsv1.3",)}


def curl(pair: KeyPair, *options: str) -> tuple[str, ...]:
    return ("curl", "-q", "-sS", "--noproxy", "*", "--max-time", "50", "--cacert", str(pair.cert), *options)


def url(server: ServerProcess, target: str = "/large.bin") -> str:
    return f"https://localhost:{server.port}{target}"


@pytest.mark.needs("curl")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("memory", ["1MiB", "64MiB", "4GiB"])
def test_curl_downloads_a_large_file(
    serve: Serve, there: Path, here: Path, pair: KeyPair, version: str, memory: str
) -> None:
    """With the smallest send windows, with loans, and without a limit."""
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there, *pair.flags, "--memory", memory)
    ended = run(*curl(pair, *VERSIONS[version], "--http1.1", "-o", "got", url(server)), within=here)
    assert ended.returncode == 0, ended.stderr
    assert digest(here / "got") == expected


@pytest.mark.needs("curl")
def test_curl_completes_a_partial_file_and_downloads_bytes_beyond_4_gib(
    serve: Serve, there: Path, here: Path, pair: KeyPair
) -> None:
    expected = make_content(there / "large.bin", LARGE_BYTES)
    (here / "large.bin").write_bytes((there / "large.bin").read_bytes()[: LARGE_BYTES // 3])
    with (there / "sparse.bin").open("wb") as file:
        file.truncate(5 * GIB)
        file.seek(4 * GIB - 3)
        file.write(b"0123456789")
    server = serve(there, *pair.flags)
    assert run(*curl(pair, "-C", "-", "-O", url(server)), within=here).returncode == 0
    assert digest(here / "large.bin") == expected
    far = run(*curl(pair, "-r", f"{4 * GIB - 3}-{4 * GIB + 6}", url(server, "/sparse.bin")), within=here)
    assert far.stdout == b"0123456789"


@pytest.mark.needs("curl")
@pytest.mark.parametrize("options", [(), ("--chunked",)], ids=["length", "no length"])
@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_curl_reports_a_body_that_is_cut_off(
    serve: Serve, there: Path, here: Path, pair: KeyPair, options: tuple[str, ...], version: str
) -> None:
    make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there, *pair.flags, *options)
    first = start(*curl(pair, version, "--limit-rate", "8M", "-o", "got", url(server)), within=here)
    wait_until(lambda: written(here / "got") > 1 << 20, "a first part")
    overwrite(there / "large.bin", LARGE_BYTES, seed=2)
    assert first.wait(60) in (18, 56)


@pytest.mark.needs("curl")
def test_downloads_over_one_connection_and_fifty_in_parallel_are_complete(
    serve: Serve, there: Path, here: Path, pair: KeyPair
) -> None:
    expected = make_content(there / "large.bin", 4 << 20)
    server = serve(there, *pair.flags)
    ended = run(*curl(pair, "-w", "%{num_connects} ", *("-o", "kept", url(server)) * 10), within=here)
    assert ended.stdout.split() == [b"1"] + [b"0"] * 9
    clients = [start(*curl(pair, "-o", f"{number}", url(server)), within=here) for number in range(50)]
    assert [client.wait(60) for client in clients] == [0] * 50
    assert {digest(here / f"{number}") for number in range(50)} == {expected}


@pytest.mark.needs("curl")
def test_curl_follows_from_plain_http_to_https(serve: Serve, there: Path, here: Path, pair: KeyPair) -> None:
    expected = make_content(there / "large.bin", 1 << 20)
    server = serve(there, *pair.flags, "--redirect-port", "0")
    port = server.port_with(" from http://")
    ended = run(*curl(pair, "-L", "-o", "got", f"http://localhost:{port}/large.bin"), within=here)
    assert ended.returncode == 0 and digest(here / "got") == expected


@pytest.mark.needs("wget")
def test_wget_downloads_a_file_and_completes_another(serve: Serve, there: Path, here: Path, pair: KeyPair) -> None:
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there, *pair.flags)
    (here / "large.bin").write_bytes((there / "large.bin").read_bytes()[:1_000_000])
    command = ("wget", "-q", "--no-proxy", "--tries=1", f"--ca-certificate={pair.cert}")
    assert run(*command, "-c", url(server), within=here).returncode == 0
    assert run(*command, "-O", "whole", url(server), within=here).returncode == 0
    assert digest(here / "large.bin") == digest(here / "whole") == expected
    server.wait_for_log("206")


@pytest.mark.needs("aria2c")
def test_eight_connections_of_aria2_make_one_file(serve: Serve, there: Path, here: Path, pair: KeyPair) -> None:
    expected = make_content(there / "large.bin", LARGE_BYTES)
    server = serve(there, *pair.flags)
    options = ("--no-conf", "--quiet", "--all-proxy=", "--max-tries=1", "-x8", "-s8", "-k1M")
    ended = run("aria2c", *options, f"--ca-certificate={pair.cert}", "-o", "got", url(server), within=here)
    assert ended.returncode == 0 and digest(here / "got") == expected
    server.wait_for_log("206", count=2)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes_a_session(serve: Serve, there: Path, here: Path, pair: KeyPair, version: str) -> None:
    make_content(there / "large.bin", 1000)
    server = serve(there, *pair.flags)
    asking = ("openssl", "s_client", version, "-connect", f"localhost:{server.port}", "-CAfile", str(pair.cert))
    script = 'printf "GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n" | "$@"'
    first = run("sh", "-c", script, "-", *asking, "-ign_eof", "-sess_out", "session", within=here)
    again = run("sh", "-c", script, "-", *asking, "-ign_eof", "-sess_in", "session", within=here)
    assert b"Verify return code: 0 (ok)" in first.stdout and b"\nNew, TLS" in first.stdout
    assert b"\nReused, TLS" in again.stdout
    assert b"Compression: NONE" in first.stdout
    assert os.path.getsize(here / "session")


@pytest.mark.needs("openssl")
def test_openssl_may_not_renegotiate(serve: Serve, there: Path, here: Path, pair: KeyPair) -> None:
    """Renegotiation would let a client consume CPU without end. ``R`` starts it in s_client."""
    make_content(there / "large.bin", 1000)
    server = serve(there, *pair.flags)
    asking = ("openssl", "s_client", "-tls1_2", "-connect", f"localhost:{server.port}", "-CAfile", str(pair.cert))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with running(asking, **pipes) as asked:
        assert asked.stdin and asked.stderr
        asked.stdin.write(b"R\n")
        asked.stdin.flush()  # not closed: s_client ends because of the response
        said = asked.stderr.read()
    assert b"RENEGOTIATING" in said and b"no renegotiation" in said
