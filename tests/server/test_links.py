"""Links as clients see them: the volumes of Kubernetes, a deployment by a link, and links to allowed directories."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from support import processes
from support.servers import HUGE_BYTES, Serve, ServerProcess, run_python, wait_until


class Volume:
    """A volume as kubelet's atomic writer makes it: entries link to ``..data``, and that to a dated directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number = 0
        path.mkdir()

    def update(self, files: dict[str, bytes]) -> None:
        """Replace all files at one moment, and remove the old ones."""
        self._number += 1
        dated = f"..2026_11_30_21_24_02.{self._number}"
        for name, content in files.items():
            file = self.path / dated / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        old = os.readlink(self.path / "..data") if self._number > 1 else None
        os.symlink(dated, self.path / "..data_tmp")
        os.rename(self.path / "..data_tmp", self.path / "..data")
        for entry in {name.split("/")[0] for name in files}:
            if not (self.path / entry).is_symlink():
                os.symlink(f"..data/{entry}", self.path / entry)
        if old is not None:
            shutil.rmtree(self.path / old)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


def listed(server: ServerProcess, target: str = "/") -> list[str]:
    answer = server.get(target, "Accept: application/json")
    return [entry["name"] for entry in json.loads(answer.content)["entries"]]


def test_a_volume_of_kubernetes_is_listed_and_served_without_its_hidden_names(volume: Volume, serve: Serve) -> None:
    volume.update({"key": b"value", "models/small": b"weights"})
    server = serve(volume.path)
    assert listed(server) == ["models", "key"]
    assert listed(server, "/models/") == ["small"]
    assert server.get("/key").content == b"value"
    assert server.get("/models/small").content == b"weights"
    for hidden in ("/..data/key", "/..data/", "/..2026_11_30_21_24_02.1/key"):
        assert server.get(hidden).status == 404
    assert serve(volume.path, "--no-follow-symlinks").get("/key").status == 404


@pytest.mark.needs("curl")
def test_clients_get_whole_versions_while_a_volume_is_updated(volume: Volume, serve: Serve, tmp_path: Path) -> None:
    versions = [bytes([64 + number]) * (200_000 + number) for number in range(8)]
    volume.update({"key": versions[0], "other": b""})
    server = serve(volume.path)
    done = threading.Event()

    def update() -> None:
        try:
            for number in range(200):
                volume.update({"key": versions[number % len(versions)], "other": b""})
        finally:
            done.set()

    updating = threading.Thread(target=update, daemon=True)
    updating.start()
    downloads = 0
    while not done.is_set() or not downloads:
        saved = tmp_path / "saved"
        url = f"http://127.0.0.1:{server.port}/key"
        processes.run("curl", "-sS", "--fail", "--max-time", "30", "-o", saved, url).check_returncode()
        assert saved.read_bytes() in versions
        downloads += 1
    updating.join(60)
    assert server.get("/key").content == versions[199 % len(versions)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_deployment_by_a_link_needs_no_signal_and_cuts_no_download(
    serve: Serve, tmp_path: Path, workers: int
) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "file").write_text(version)
        with (tmp_path / version / "huge").open("wb") as huge:
            huge.truncate(HUGE_BYTES)
    (tmp_path / "current").symlink_to("v1")
    server = serve(tmp_path / "current", "--workers", str(workers))
    tag = server.get("/file").fields["etag"]
    with server.start_download("/huge") as client:
        first = client.read_exactly(100_000)
        os.symlink("v2", tmp_path / "next")
        os.rename(tmp_path / "next", tmp_path / "current")
        wait_until(lambda: server.get("/file").content == b"v2", "the new version is served")
        shutil.rmtree(tmp_path / "v1")
        assert first + client.read_exactly(HUGE_BYTES - 100_000) == bytes(HUGE_BYTES)
    # A 304 has no content. Each worker looks the path up by itself.
    condition = f"If-None-Match: {tag}"
    wait_until(lambda: all(server.get("/file", condition).content == b"v2" for _ in range(20)), "all workers serve it")
    server.wait_for_log("is another directory now")


def test_sighup_has_the_path_looked_up_before_the_next_request(serve: Serve, tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "file").write_text(version)
    (tmp_path / "current").symlink_to("v1")
    server = serve(tmp_path / "current")
    for target, version in (("v2", b"v2"), ("v1", b"v1")):
        os.symlink(target, tmp_path / "next")
        os.rename(tmp_path / "next", tmp_path / "current")
        server.clear_log()
        server.signal(signal.SIGHUP)
        server.wait_for_log("nothing to reload")
        assert server.get("/file").content == version


def test_links_to_an_allowed_directory_are_served_and_others_are_neither_served_nor_listed(
    serve: Serve, tmp_path: Path
) -> None:
    for name in ("root", "pool", "private"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    root = tmp_path / "root"
    for name, target in {
        "in-pool": str(tmp_path / "pool" / "file"),
        "pool": "../pool",
        "back": str(root / "file"),
        "private": "../private",
        "in-private": str(tmp_path / "private" / "file"),
        "through-pool": "../pool/../private/file",
    }.items():
        (root / name).symlink_to(target)
    server = serve(root)
    assert listed(server) == ["file"]
    server = serve(root, "--allow-links-to", str(tmp_path / "pool"))
    assert listed(server) == ["pool", "back", "file", "in-pool"]
    for target, body in (("/in-pool", b"pool"), ("/pool/file", b"pool"), ("/back", b"root")):
        assert server.get(target).content == body
    for target in ("/in-private", "/private/", "/private/file", "/through-pool"):
        assert server.get(target).status == 404


def test_an_allowed_directory_must_exist(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    done = run_python("-m", "freight", "serve", str(tmp_path), "--port", "0", "--allow-links-to", str(absent))
    assert (done.returncode, done.stderr) == (2, f"freight: --allow-links-to: {absent} is not a directory\n")
