"""Names are bytes, and UTF-8 in URLs, pages, settings and output, in every locale."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from freight.names import from_bytes, from_system, shown, to_bytes
from support import processes
from support.processes import environment
from support.servers import Serve, ServerProcess

_NOT_CHOSEN = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LANG": "", "LC_CTYPE": ""}


@pytest.fixture(params=["C", pytest.param("en_US.ISO-8859-1", marks=pytest.mark.needs("locale-gen"))])
def locale(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Run commands in a locale that is not UTF-8."""
    name = str(request.param)
    for variable, value in {**_NOT_CHOSEN, "LC_ALL": name}.items():
        monkeypatch.setenv(variable, value)
    if name != "C":
        places = tmp_path_factory.mktemp("locales")
        language, encoding = name.split(".")
        processes.run("localedef", "-i", language, "-f", encoding, str(places / name))
        monkeypatch.setenv("LOCPATH", str(places))
    said = processes.run(sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())", env=environment())
    assert said.stdout.strip() in ("ascii", "iso8859-1")
    return name


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a directory ``dé`` with the files ``é.txt`` and one whose name is not UTF-8, and a directory ``ü``."""
    path = os.fsencode(tmp_path) + "/dé".encode()
    os.mkdir(path)
    os.mkdir(path + "/ü".encode())
    for name in ("é.txt".encode(), b"\xff.bin"):
        with open(path + b"/" + name, "wb") as file:
            file.write(b"hello")
    return Path(os.fsdecode(path))


def check_names(server: ServerProcess) -> None:
    assert server.get("/%C3%A9.txt").content == server.get("/%FF.bin").content == b"hello"
    moved = server.get("/%C3%BC")
    assert (moved.status, moved.fields["location"]) == (308, "%C3%BC/")
    page = server.get("/").content.decode("utf-8")
    assert 'href="%C3%A9.txt"' in page and ">é.txt<" in page and 'href="%FF.bin"' in page
    listing = json.loads(server.get("/", "Accept: application/json").content)
    assert [(each["name"], each["href"]) for each in listing["entries"]] == [
        ("ü", "%C3%BC/"),
        ("é.txt", "%C3%A9.txt"),
        (r"\xff.bin", "%FF.bin"),
    ]
    assert server.get("/?filter=%C3%89").content.decode("utf-8").count(">é.txt<") == 1  # without regard to case
    disposition = server.get("/%FF.bin").fields["content-disposition"]
    assert disposition.endswith("filename*=UTF-8''%EF%BF%BD.bin")
    server.wait_for_log('"GET /%C3%A9.txt" 200')


def test_the_server_has_the_same_names_in_every_locale(locale: str, tree: Path, serve: Serve) -> None:
    server = serve(tree, admin=True)
    assert f" serving {tree} at " in server.line
    check_names(server)
    assert server.status()["server"]["path"] == str(tree)


def test_a_path_in_a_settings_file_is_utf_8(locale: str, tree: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text(f'path = "{tree}"\nport = 0\nadmin = "none"\n', encoding="utf-8")
    words = (sys.executable, "-m", "freight", "settings", "--config", str(settings))
    assert str(tree) in processes.run(*words, env=environment()).stdout
    assert processes.run(*words, "--check", env=environment()).stdout == "ok\n"


def test_one_file_is_served_under_its_name(locale: str, tree: Path, serve: Serve) -> None:
    server = serve(tree / "é.txt")
    assert server.get("/").content == server.get("/%C3%A9.txt").content == b"hello"
    assert "é.txt" in server.get("/other").content.decode("utf-8")


def test_a_manifest_is_the_same_in_every_locale(locale: str, tree: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest"
    words = (sys.executable, "-m", "freight", "sync-mtimes", str(tree))
    assert processes.run(*words, "--write", str(manifest), env=environment()).returncode == 0
    paths = [json.loads(line)["path"] for line in manifest.read_text().splitlines()[1:]]
    assert sorted(map(to_bytes, paths)) == ["é.txt".encode(), b"\xff.bin"]
    assert processes.run(*words, str(manifest), env=environment()).returncode == 0


_LIBRARY = """
import asyncio, json, os, sys
from freight.sources.disk_pool import DiskPool
from freight.sources.producer import no_more
from freight.sources.local import LocalSource

async def main():
    pool = DiskPool()
    source = LocalSource(sys.argv[1], pool)
    names = []
    for target in ("/%C3%A9.txt", "/%FF.bin", "/"):
        found = await source.locate(target, "client")
        names.append(found.name)
        media_type = "application/json" if target == "/" else found.media_types[0]
        with await source.open(found, media_type, "client") as reader:
            if target == "/":
                names += [entry["name"] for entry in json.loads(reader.read(no_more))["entries"]]
    assert sys.getfilesystemencoding() in ("ascii", "iso8859-1")
    print(json.dumps(names))
    source.close()
    pool.close()

asyncio.run(main())
"""


def test_an_application_of_another_locale_has_the_same_names(locale: str, tree: Path) -> None:
    """The library runs in the locale of its application, without the UTF-8 mode of the command line."""
    done = processes.run(sys.executable, "-c", _LIBRARY, str(tree), env=environment())
    assert done.stderr == ""
    assert json.loads(done.stdout) == ["é.txt", "\udcff.bin", "", "ü", "é.txt", r"\xff.bin"]


@pytest.mark.parametrize("name", [b"a", "é".encode(), b"\xff", b"\xed\xb2\x80", b"\xc3\xa9\x80"])
def test_every_name_survives(name: bytes) -> None:
    assert to_bytes(from_bytes(name)) == to_bytes(from_system(os.fsdecode(name))) == name


def test_a_name_is_shown_in_characters_only() -> None:
    assert shown(from_bytes(b"\xc3\xa9\xff")) == "é\\xff"
