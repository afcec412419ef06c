"""Mirrors of static pages behind rules by path: pip with ``--index-url``, and apt with pages beside its index."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from programs import apt_get, digest, done, make_wheel

from support.servers import Serve

RULES = """\
[[rule]]
match = "/simple/**"
index = "index.html-only"
content_type = "application/vnd.pypi.simple.v1+html"
cache_control = "max-age=600"

[[rule]]
match = "/packages/**"
index = "none"
cache_control = "public, max-age=31536000, immutable"

[[rule]]
match = "/debian/Packages*"
cache_control = "no-cache"

[[rule]]
match = "/**"
index = "index.html"
"""
PAGE = "<!DOCTYPE html><title>a page</title><p>A page."


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "freight.toml"
    path.write_text(RULES)
    return path


def test_pip_installs_from_an_index_of_static_pages(
    serve: Serve, there: Path, here: Path, tmp_path: Path, config: Path
) -> None:
    """The pages of the simple repository API (PEP 503), with the media type of PEP 691. Nothing else is listed."""
    wheel = make_wheel(there / "packages", tmp_path)
    project = there / "simple" / "sample-wheel"
    project.mkdir(parents=True)
    link = f"../../packages/{wheel.name}#sha256={digest(wheel)}"
    (project / "index.html").write_text(f'<!DOCTYPE html><title>x</title><a href="{link}">{wheel.name}</a>')
    server = serve(there, "--config", config)
    index = ("--isolated", "--no-cache-dir", "--index-url", f"http://127.0.0.1:{server.port}/simple/")
    done(sys.executable, "-m", "pip", "install", *index, "--target", "into", "sample-wheel", within=here)
    assert digest(here / "into" / "sample_content.bin") == digest(tmp_path / "tree" / "sample_content.bin")
    assert server.get("/simple/").status == server.get("/packages/").status == 404
    assert server.get(f"/packages/{wheel.name}").fields["cache-control"].endswith("immutable")


@pytest.mark.needs("apt-get", "dpkg-deb")
def test_apt_updates_from_a_repository_with_a_page(
    serve: Serve, there: Path, here: Path, tmp_path: Path, config: Path
) -> None:
    """A flat repository. With directories of its own, so that it changes nothing of this machine."""
    repository, tree = there / "debian", tmp_path / "tree"
    repository.mkdir()
    (repository / "index.html").write_text(PAGE)
    (tree / "DEBIAN").mkdir(parents=True)
    control = "Package: sample\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    (tree / "DEBIAN" / "control").write_text(control)
    package = repository / "sample_1.0_all.deb"
    done("dpkg-deb", "--build", "--root-owner-group", tree, package, within=tmp_path)
    sums = f"Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest(package)}\n"
    packages = repository / "Packages"
    packages.write_text(f"{control}{sums}\n")
    row = f" {digest(packages)} {packages.stat().st_size} Packages\n"
    (repository / "Release").write_text(f"Origin: x\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n{row}")
    server = serve(there, "--config", config)
    apt = apt_get(here, f"http://127.0.0.1:{server.port}/debian/ ./")
    done(*apt, "update", within=here)
    done(*apt, "update", within=here)
    server.wait_for_log(" 304 ")
    done(*apt, "download", "sample", within=here)
    assert digest(here / package.name) == digest(package)
    page = server.get("/debian/")
    assert (page.content.decode(), page.fields["content-type"]) == (PAGE, "text/html")
    assert page.fields["content-disposition"].startswith("inline")
