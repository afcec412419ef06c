"""curl, wget, pip and git sign in by a password and by a token, as the how-to page says."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from programs import digest, done, make_content, make_wheel, run

from support.access_files import PASSWORD, TOKEN, write_access_files
from support.servers import ServerProcess

CURL = ("curl", "-sSf", "--noproxy", "*", "--max-time", "20")
WGET = ("wget", "-q", "--no-proxy", "--tries=1", "--timeout=20")
SIZE = 300_000


class Protected(NamedTuple):
    """A server for users and tokens only, and the digests of what it has."""

    port: int
    site: Path
    file: str
    wheel: str

    def url(self, path: str, credentials: str = "") -> str:
        return f"http://{credentials}{'@' if credentials else ''}127.0.0.1:{self.port}{path}"


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    home = tmp_path_factory.mktemp("protected")
    site = home / "site"
    project = site / "simple" / "sample-wheel"
    project.mkdir(parents=True)
    file = make_content(site / "a.bin", SIZE)
    wheel = make_wheel(site / "packages", home)
    (project / "index.html").write_text(f'<!DOCTYPE html><a href="../../packages/{wheel.name}">{wheel.name}</a>')
    options = ("--index", "index.html", *write_access_files(home))
    server = ServerProcess((str(site), *options))
    yield Protected(server.port, site, file, digest(home / "tree" / "sample_content.bin"))
    server.close()


@pytest.mark.needs("curl")
def test_curl_resumes_with_a_password_a_token_and_a_netrc(protected: Protected, here: Path) -> None:
    url = protected.url("/a.bin")
    (here / ".netrc").write_text(f"machine 127.0.0.1 login ci password {TOKEN}\n")
    for at, words in enumerate(
        [("-u", f"alice:{PASSWORD}"), ("--oauth2-bearer", TOKEN), ("-u", f"x:{TOKEN}"), ("-n",)]
    ):
        done(*CURL, *words, "-r", "0-99", "-o", f"{at}", url, within=here)
        done(*CURL, *words, "-C", "-", "-o", f"{at}", url, within=here)
        assert digest(here / f"{at}") == protected.file
    assert run(*CURL, url, within=here).returncode == 22
    assert run(*CURL, "-u", "alice:wrong", url, within=here).returncode == 22


@pytest.mark.needs("wget")
def test_wget_continues_after_the_challenge(protected: Protected, here: Path) -> None:
    """It sends the password only when a response asks for it."""
    for user, password in (("alice", PASSWORD), ("x", TOKEN)):
        words = (*WGET, f"--user={user}", f"--password={password}", "-O", f"{user}.bin", "-c", protected.url("/a.bin"))
        done(*words, within=here)
        os.truncate(here / f"{user}.bin", 1000)
        done(*words, within=here)
        assert digest(here / f"{user}.bin") == protected.file
    assert run(*WGET, protected.url("/a.bin"), within=here).returncode == 6  # authentication failed


def test_pip_installs_with_a_token_in_the_address_of_the_index(protected: Protected, here: Path) -> None:
    index = protected.url("/simple/", f"ci:{TOKEN}")
    pip = (sys.executable, "-m", "pip", "install", "--isolated", "--no-cache-dir", "--disable-pip-version-check")
    done(*pip, "--index-url", index, "--target", "into", "sample-wheel", within=here)
    assert digest(here / "into" / "sample_content.bin") == protected.wheel


@pytest.mark.needs("git")
def test_git_clones_with_a_token_in_the_address(
    protected: Protected, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare repository as static files, with the index that git update-server-info makes."""
    for name, value in (("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_TERMINAL_PROMPT", "0"), ("HOME", str(tmp_path))):
        monkeypatch.setenv(name, value)
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "http.proxy=")
    (tmp_path / "work").mkdir()
    expected = make_content(tmp_path / "work" / "content.bin", 50_000)
    for words in (("init", "-q"), ("add", "content.bin"), ("commit", "-q", "-m", "x")):
        done(*git, *words, within=tmp_path / "work")
    bare = protected.site / "repository.git"
    done(*git, "clone", "-q", "--bare", tmp_path / "work", bare, within=tmp_path)
    done(*git, "update-server-info", within=bare)
    done(*git, "clone", "-q", protected.url("/repository.git", f"x:{TOKEN}"), "cloned", within=here)
    assert digest(here / "cloned" / "content.bin") == expected
    refused = run(*git, "clone", "-q", protected.url("/repository.git", "x:wrong"), "refused", within=here)
    assert refused.returncode == 128 and b"Authentication failed" in refused.stderr
