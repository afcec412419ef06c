"""Signed links by real requests: what they open and what not, what no response and no log shows, rotation, resuming."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from freight import sign_url
from freight.access.keys import create, load
from freight.access.sign_url import url_of
from freight.access.signing import Link, sign
from support.raw_h2 import Http2Client
from support.servers import Serve, ServerProcess, wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "served"
    (path / "deep").mkdir(parents=True)
    (path / "a.txt").write_bytes(bytes(1000))
    (path / "deep" / "b.txt").write_bytes(b"b")
    return path


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    create(path, "main")
    return path


def link(keys: Path, path: str, **values: str) -> str:
    return sign_url(path, keys=keys, expires=3600, **values)


def expired(keys: Path, path: str, seconds_ago: float = 60) -> str:
    made = Link(path, int(time.time() - seconds_ago), "main")
    return url_of(made, sign(made, load(keys).secrets["main"]))


def served(serve: Serve, folder: Path, keys: Path, *words: str, admin: bool = False) -> ServerProcess:
    return serve(folder, "--signing-keys", str(keys), *words, admin=admin)


def test_a_link_opens_its_path_and_nothing_else(serve: Serve, folder: Path, keys: Path) -> None:
    server = served(serve, folder, keys)
    file, listing = link(keys, "/a.txt"), link(keys, "/deep/")
    response = server.get(file)
    assert (response.status, len(response.content)) == (200, 1000)
    assert response.fields["cache-control"] == "private"
    assert response.fields["referrer-policy"] == "no-referrer"
    assert b"b.txt" in server.get(listing).content
    file_query, listing_query = file.partition("?")[2], listing.partition("?")[2]
    for target in (
        "/a.txt",
        "/",
        "/deep",
        "/deep/",
        "/missing",
        "/deep/b.txt",
        f"/?{file_query}",
        f"/deep/?{file_query}",
        f"/missing?{file_query}",
        f"/deep/b.txt?{listing_query}",
        f"/deep?{listing_query}",
        f"/deep/../?{listing_query}",
        f"/a.txt/?{file_query}",
        f"/A.TXT?{file_query}",
    ):
        refused = server.get(target)
        assert refused.status == 403
        assert (refused.fields["cache-control"], refused.fields["referrer-policy"]) == ("no-store", "no-referrer")
    assert server.get(link(keys, "/missing")).status == 404


def test_ranges_conditions_and_head_work(serve: Serve, folder: Path, keys: Path) -> None:
    server, target = served(serve, folder, keys), link(keys, "/a.txt", filename='new "name".txt')
    response = server.get(target, "Range: bytes=0-9")
    assert (response.status, response.fields["content-range"]) == (206, "bytes 0-9/1000")
    assert response.fields["content-disposition"].startswith('inline; filename="new _name_.txt"; filename*=UTF-8')
    assert server.get(target, f"If-None-Match: {response.fields['etag']}").status == 304
    assert server.get(target, "Range: bytes=2000-").fields["cache-control"] == "private, no-store"
    with server.connect() as client:
        client.get(target, method="HEAD")
        assert client.read_head()[1]["content-length"] == "1000"


def test_a_directory_without_its_slash_redirects_without_the_signature(serve: Serve, folder: Path, keys: Path) -> None:
    response = served(serve, folder, keys).get(link(keys, "/deep"))
    assert (response.status, response.fields["location"]) == (308, "deep/")


def test_no_log_no_status_and_no_page_shows_a_signature(serve: Serve, folder: Path, keys: Path) -> None:
    (folder / "big.bin").write_bytes(bytes(64 << 20))
    server = served(serve, folder, keys, "--log-format", "json", admin=True)
    good, late = link(keys, "/big.bin"), expired(keys, "/a.txt")
    signature = good.rpartition("=")[2]
    pages = [server.get(late).content, server.get(good[:-1]).content, server.get(link(keys, "/deep/")).content]
    server.get(good.replace("&signature", "&amp;signature"))
    server.get(good.replace("&", "%26").replace("=", "%3D"))
    with server.connect(receive_bytes=4096) as client:
        client.get(good)
        client.read_head()
        wait_until(lambda: server.status()["transfers"]["running"], "it runs")
        shown = json.dumps(server.status())
        assert "signature=..." in shown
    server.wait_for_log("/big.bin", "peer-gone")
    shown += "".join(server.log) + "".join(map(bytes.decode, pages))
    for secret in (signature, late.rpartition("=")[2], signature[:-1]):
        assert secret not in shown
    assert len([line for line in server.log if "signature=..." in line or "signature%3D..." in line]) == 6


def test_an_expired_link_only_resumes(serve: Serve, folder: Path, keys: Path) -> None:
    server, late = served(serve, folder, keys), expired(keys, "/a.txt")
    tag = server.get(link(keys, "/a.txt")).fields["etag"]
    resumed = server.get(late, "Range: bytes=900-", f"If-Range: {tag}")
    assert (resumed.status, len(resumed.content)) == (206, 100)
    assert server.get(late, "Range: bytes=900-", f"If-Match: {tag}").status == 206
    for fields in (
        (),
        ("Range: bytes=900-",),
        ("Range: bytes=900-", 'If-Range: "other"'),
        ("Range: bytes=900-", 'If-Match: "other"'),
        ("Range: bytes=5000-", f"If-Range: {tag}"),
        ("Range: lines=1-", f"If-Range: {tag}"),
        ("Range: bytes=900-", f"If-Range: {tag}", f"If-None-Match: {tag}"),
    ):
        refused = server.get(late, *fields)
        assert refused.status == 403
        assert b"This link expired at" in refused.content
        assert "etag" not in refused.fields
    for path in ("/missing", "/deep/"):
        assert server.get(expired(keys, path), "Range: bytes=0-", f"If-Range: {tag}").status == 403
    assert server.get(expired(keys, "/a.txt", 90_000), "Range: bytes=0-", f"If-Range: {tag}").status == 403


@pytest.mark.parametrize("workers", ["1", "2"])
def test_keys_are_rotated_without_a_restart(serve: Serve, folder: Path, keys: Path, workers: str) -> None:
    server = served(serve, folder, keys, "--workers", workers)
    old = link(keys, "/a.txt")
    create(keys, "next")
    server.signal(signal.SIGHUP)
    server.wait_for_log("signing keys reloaded")
    new = link(keys, "/a.txt")
    assert "key=next" in new
    wait_until(lambda: all(server.get(new).status == 200 for _ in range(8)), "every worker has the new key")
    assert server.get(old).status == 200
    keys.write_text(keys.read_text().splitlines()[1] + "\n")
    server.signal(signal.SIGHUP)
    server.wait_for_log("signing keys reloaded", count=2)
    wait_until(lambda: all(server.get(old).status == 403 for _ in range(8)), "no worker has the old key")
    keys.write_text("nonsense\n")
    server.signal(signal.SIGHUP)
    server.wait_for_log("signing keys not reloaded, keeping the current ones: signing-keys: ", "line 1")
    assert server.get(new).status == 200


def test_http2_preflights_and_errors_to_other_origins(serve: Serve, folder: Path, keys: Path) -> None:
    server = served(serve, folder, keys, "--cors-origin", "https://maps.example")
    with Http2Client(server) as client:
        assert client.get(link(keys, "/a.txt")).status == 200
        assert client.get("/a.txt").status == 403
    origin = "Origin: https://maps.example"
    assert server.get("/a.txt", origin).fields["access-control-allow-origin"] == "https://maps.example"
    with server.connect() as raw:
        raw.get("/a.txt", origin, "Access-Control-Request-Method: GET", method="OPTIONS")
        assert raw.read_response().status == 204


def test_a_link_for_another_client_is_refused(serve: Serve, folder: Path, keys: Path) -> None:
    server = served(serve, folder, keys, "--trusted-proxy", "127.0.0.0/8")
    target = link(keys, "/a.txt", client="192.0.2.0/24")
    assert server.get(target).status == 403
    assert server.get(target, "X-Forwarded-For: 192.0.2.9").status == 200
    assert server.get(target, "X-Forwarded-For: 192.0.2.9, 198.51.100.1").status == 403


def test_below_a_prefix_and_in_mounts_each_path_has_its_link(serve: Serve, folder: Path, keys: Path) -> None:
    words = (
        "none",
        "--mount",
        f"/x={folder}",
        "--mount",
        f"/y={folder}",
        "--prefix",
        "/files",
        "--signing-keys",
        str(keys),
    )
    server = serve(*words)
    x = link(keys, "/x/a.txt", base_url="http://files.example/files").removeprefix("http://files.example")
    assert server.get(x).status == 200
    query = x.partition("?")[2]
    for path in ("/files/y/a.txt", "/files/x/", "/files/", "/files/y/../y/a.txt", "/files/x%2Fa.txt"):
        assert server.get(f"{path}?{query}").status == 403
    for path in ("/x/a.txt", "/files/../x/a.txt"):
        assert server.get(f"{path}?{query}").status in (403, 404)
    assert server.get(f"/files/y/../x/a.txt?{query}").status == 200


def test_a_full_queue_keeps_the_answer_private(serve: Serve, folder: Path, keys: Path) -> None:
    (folder / "big.bin").write_bytes(bytes(8 << 20))
    server, target = served(serve, folder, keys, "--max-per-client", "1", "--queue-size", "0"), link(keys, "/big.bin")
    with server.start_download(target):
        response = server.get(target)
    assert (response.status, response.fields["cache-control"]) == (503, "private, no-store")
