"""Programs that install from a repository of files: apt, git, ostree, pip, zchunk and zsync."""

from __future__ import annotations

import gzip
import hashlib
import shutil
from pathlib import Path

import pytest
from programs import apt_get, digest, done, make_content

from support.real_clients import PYTHON
from support.servers import Serve


def make_package(folder: Path, work: Path) -> tuple[Path, str]:
    """Build a package of Debian with a file of 3 MB. Return its path and its entry in an index."""
    control = (
        "Package: sample\nVersion: 1.0+really~2\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    (work / "tree" / "DEBIAN").mkdir(parents=True)
    (work / "tree" / "DEBIAN" / "control").write_text(control)
    make_content(work / "tree" / "content.bin", 3_000_000)
    package = folder / "sample_1.0+really~2_all.deb"
    done("dpkg-deb", "--build", "--root-owner-group", work / "tree", package, within=work)
    sums = f"Size: {package.stat().st_size}\nSHA256: {digest(package)}\n"
    return package, f"{control}Filename: {{place}}{package.name}\n{sums}\n"


def write_release(folder: Path, *, names: list[str], more: str = "") -> None:
    """Write a Release file that lists files of its directory."""
    rows = "".join(f" {digest(folder / name)} {(folder / name).stat().st_size} {name}\n" for name in names)
    fields = "Origin: x\nLabel: x\nSuite: stable\nCodename: stable\nArchitectures: all amd64 arm64\n"
    (folder / "Release").write_text(f"{fields}Date: Thu, 01 Jan 2026 00:00:00 UTC\n{more}SHA256:\n{rows}")


def lay_out_apt(there: Path, work: Path, layout: str) -> tuple[Path, str]:
    """Write a repository. Return its package, and what follows the URL in the list of sources."""
    if layout == "flat":
        package, entry = make_package(there, work)
        index = there / "Packages"
        index.write_text(entry.format(place="./"))
        (there / "Packages.gz").write_bytes(gzip.compress(index.read_bytes()))
        write_release(there, names=["Packages", "Packages.gz"])
        return package, "./"
    pool, release = there / "pool" / "main", there / "dists" / "stable"
    pool.mkdir(parents=True)
    package, entry = make_package(pool, work)
    names = []
    for architecture in ("all", "amd64", "arm64"):
        place = release / "main" / f"binary-{architecture}"
        by_hash = place / "by-hash" / "SHA256"
        by_hash.mkdir(parents=True)
        plain = entry.format(place="pool/main/").encode()
        for name, content in (("Packages", plain), ("Packages.gz", gzip.compress(plain))):
            (place / name).write_bytes(content)
            (by_hash / hashlib.sha256(content).hexdigest()).write_bytes(content)
            names.append(f"main/binary-{architecture}/{name}")
    write_release(release, names=names, more="Components: main\nAcquire-By-Hash: yes\n")
    return package, "stable main"


@pytest.mark.needs("apt-get", "dpkg-deb")
@pytest.mark.parametrize("layout", ["flat", "dists"])
def test_apt_updates_and_downloads_a_package(
    serve: Serve, there: Path, here: Path, tmp_path: Path, layout: str
) -> None:
    """With directories of its own, so that it changes nothing of this machine. A second update downloads nothing."""
    package, words = lay_out_apt(there, tmp_path, layout)
    server = serve(there)
    apt = apt_get(here, f"http://127.0.0.1:{server.port}/ {words}")
    done(*apt, "update", within=here)
    server.wait_for_log("GET", "Packages" if layout == "flat" else "/by-hash/", " 200 ")
    server.clear_log_when_written()
    assert "Hit:2" in done(*apt, "update", within=here)
    server.wait_for_log(" 304 ")
    done(*apt, "download", "sample", within=here)
    (got,) = here.glob("*.deb")
    assert digest(got) == digest(package)


@pytest.mark.needs("git")
@pytest.mark.parametrize("packed", [False, True])
def test_git_clones_over_dumb_http_and_fetches_what_is_new(
    serve: Serve, there: Path, here: Path, tmp_path: Path, packed: bool
) -> None:
    """A bare repository, its objects loose or in a pack."""
    work = tmp_path / "work"
    work.mkdir()
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main")
    done(*git, "init", "-q", within=work)
    for number in range(10):
        make_content(work / f"file {number}.bin", 300_000, seed=number)
        done(*git, "add", "-A", within=work)
        done(*git, "commit", "-qm", f"{number}", within=work)
    bare = there / "project.git"
    done(*git, "clone", "-q", "--bare", work, bare, within=tmp_path)
    if packed:
        done(*git, "gc", "-q", within=bare)
    done(*git, "update-server-info", within=bare)
    server = serve(there)
    done(*git, "clone", "-q", f"http://127.0.0.1:{server.port}/project.git", "copy", within=here)
    copy = here / "copy"
    done(*git, "fsck", "--strict", within=copy)

    make_content(work / "another.bin", 300_000, seed=11)
    done(*git, "add", "-A", within=work)
    done(*git, "commit", "-qm", "another", within=work)
    done(*git, "push", "-q", bare, "HEAD", within=work)
    done(*git, "update-server-info", within=bare)
    done(*git, "pull", "-q", within=copy)
    names = sorted(path.name for path in work.iterdir() if path.is_file())
    assert len(names) == 11 and [digest(copy / name) for name in names] == [digest(work / name) for name in names]


@pytest.mark.needs("ostree")
def test_ostree_pulls_commits_and_a_delta(serve: Serve, there: Path, here: Path, tmp_path: Path) -> None:
    """A repository in archive mode: loose objects, then a static delta."""
    work, repository = tmp_path / "tree", there / "repo"
    (work / "sub").mkdir(parents=True)
    for number in range(30):
        make_content(work / "sub" / f"{number}.bin", 50_000, seed=number)
    done("ostree", f"--repo={repository}", "init", "--mode=archive", within=tmp_path)
    commit = ("ostree", f"--repo={repository}", "commit", "--branch=main", "--owner-uid=0", "--owner-gid=0")
    done(*commit, work, within=tmp_path)
    done("ostree", f"--repo={repository}", "summary", "-u", within=tmp_path)
    server = serve(there)
    local = ("ostree", "--repo=local")
    done(*local, "init", "--mode=bare-user-only", within=here)
    url = f"http://127.0.0.1:{server.port}/repo"
    done(*local, "remote", "add", "--no-gpg-verify", "origin", url, within=here)
    done(*local, "pull", "origin", "main", within=here)
    make_content(work / "sub" / "3.bin", 60_000, seed=77)
    done(*commit, work, within=tmp_path)
    done("ostree", f"--repo={repository}", "static-delta", "generate", "main", within=tmp_path)
    done("ostree", f"--repo={repository}", "summary", "-u", within=tmp_path)
    done(*local, "pull", "--require-static-deltas", "origin", "main", within=here)
    done(*local, "fsck", within=here)
    done(*local, "checkout", "-U", "origin:main", "out", within=here)
    names = sorted(path.name for path in (work / "sub").iterdir())
    found = [digest(here / "out" / "sub" / name) for name in names]
    assert found == [digest(work / "sub" / name) for name in names]


@pytest.mark.needs("pip")
def test_pip_installs_from_a_listing_of_links(serve: Serve, there: Path, here: Path, tmp_path: Path) -> None:
    """``pip install --find-links`` reads the listing of the directory, and checks the wheel's hash."""
    wheel = there / "sample_wheel-1.0+local.1-py3-none-any.whl"
    (tmp_path / "tree" / "sample_wheel-1.0+local.1.dist-info").mkdir(parents=True)
    about = tmp_path / "tree" / "sample_wheel-1.0+local.1.dist-info"
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sample-wheel\nVersion: 1.0+local.1\n")
    (about / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (about / "RECORD").write_text("")
    expected = make_content(tmp_path / "tree" / "sample_content.bin", 4_000_000)
    shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path / "tree")
    (tmp_path / "made.zip").rename(wheel)
    server = serve(there)
    requirement = here / "requirements.txt"
    requirement.write_text(f"sample-wheel==1.0+local.1 --hash=sha256:{digest(wheel)}\n")
    links = ("--no-index", "--isolated", "--no-cache-dir", "--find-links", f"http://127.0.0.1:{server.port}/")
    done(PYTHON, "-m", "pip", "install", *links, "--target", "into", "-r", requirement, within=here)
    assert digest(here / "into" / "sample_content.bin") == expected


def make_versions(folder: Path) -> tuple[Path, Path]:
    """Write two versions of a file that differ in a few places."""
    old, new = folder / "old.bin", folder / "new.bin"
    make_content(new, 6_000_000)
    content = bytearray(new.read_bytes())
    for at in (100_000, 2_500_000, 5_000_000):
        content[at : at + 30_000] = bytes(range(250)) * 120
    old.write_bytes(content)
    return old, new


@pytest.mark.needs("zsync", "zsyncmake")
def test_zsync_downloads_only_what_changed(serve: Serve, there: Path, here: Path) -> None:
    old, new = make_versions(there)
    done("zsyncmake", "-u", new.name, "-o", "new.zsync", new, within=there)
    server = serve(there)
    done("zsync", "-i", old, "-o", "got.bin", f"http://127.0.0.1:{server.port}/new.zsync", within=here)
    assert digest(here / "got.bin") == digest(new)
    assert sum(sent(line) for line in server.log if "/new.bin" in line) < 1_000_000


@pytest.mark.needs("zck", "zckdl")
def test_zchunk_downloads_only_what_changed(serve: Serve, there: Path, here: Path) -> None:
    """Its multi-range requests have up to 256 ranges."""
    old, new = make_versions(there)
    for path in (old, new):
        done("zck", "-o", f"{path.name}.zck", path, within=there)
    server = serve(there)
    done("zckdl", "--source", there / "old.bin.zck", f"http://127.0.0.1:{server.port}/new.bin.zck", within=here)
    assert digest(here / "new.bin.zck") == digest(there / "new.bin.zck")
    done("unzck", "new.bin.zck", within=here)
    assert digest(here / "new.bin") == digest(new)
    assert sum(sent(line) for line in server.log if "/new.bin" in line) < 2_000_000


def sent(line: str) -> int:
    """Return the bytes of content that a line of the log counts."""
    return int(line.split('" ', 1)[1].rpartition("/")[0].rsplit(" ", 1)[-1])
