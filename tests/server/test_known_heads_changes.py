"""Files that change between two equal requests, and rules: the second is answered as a new one would be."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from freight.flow.transfers import MOST_AT_ONCE, SMALL_BYTES
from support.access_files import ALICE, write_access_files
from support.processes import descriptor_targets
from support.repeats import Asker, content_of, status_of
from support.servers import Serve, ServerProcess, wait_until

SIZE = 1_000_000
OLD, NEW = os.urandom(SIZE), os.urandom(SIZE)
LONG_AGO = (1_700_000_000, 1_700_000_000)

HEADS: dict[str, tuple[str, ...]] = {
    "small": (f"Range: bytes=7-{6 + SMALL_BYTES}",),
    "in a call": (f"Range: bytes=7-{6 + MOST_AT_ONCE}",),
    "in calls": (f"Range: bytes=7-{7 + MOST_AT_ONCE}",),
    "whole": (),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory with a file at a path of two names, and a link to its directory."""
    folder = tmp_path / "root"
    folder.mkdir()
    fill(folder)
    return folder


def fill(folder: Path) -> None:
    """Make everything in a directory again."""
    for entry in folder.iterdir():
        if entry.is_symlink():
            entry.unlink()
        else:
            shutil.rmtree(entry)
    write(folder / "sub" / "file.bin", OLD)
    write(folder / "other" / "file.bin", NEW)
    (folder / "link").symlink_to("sub")


def write(path: Path, content: bytes) -> None:
    """Write a file with a time of modification that is long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, LONG_AGO)


def rename_over(file: Path) -> None:
    write(file.with_name("new.bin"), NEW)
    file.with_name("new.bin").replace(file)


def truncate(file: Path) -> None:
    os.truncate(file, 10)


def append(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"more")


def rewrite(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.write(NEW)


def rename_directory(file: Path) -> None:
    file.parent.rename(file.parent.with_name("moved"))


def replace_directory(file: Path) -> None:
    rename_directory(file)
    write(file, NEW)


def turn_link(file: Path) -> None:
    link = file.parent.with_name("link.new")
    link.symlink_to("other")
    link.replace(file.parent.with_name("link"))


def become_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("../other/file.bin")


def become_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def hide(file: Path) -> None:
    file.rename(file.with_name(".file.bin"))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "another is renamed to its name": (rename_over, "sub"),
    "it is removed": (os.unlink, "sub"),
    "it is truncated": (truncate, "sub"),
    "it is appended to": (append, "sub"),
    "it is rewritten in place": (rewrite, "sub"),
    "it is touched": (lambda file: os.utime(file), "sub"),
    "its directory is renamed": (rename_directory, "sub"),
    "its directory is replaced": (replace_directory, "sub"),
    "the link in its path is turned": (turn_link, "link"),
    "its directory is removed, behind a link": (lambda file: shutil.rmtree(file.parent), "link"),
    "it becomes a link": (become_link, "sub"),
    "it becomes a directory": (become_directory, "sub"),
    "it is renamed": (hide, "sub"),
}


def answer_until_old(asker: Asker, target: str, *fields: str) -> bytes:
    """Ask some times, so that the head is known. Return the answer."""
    answers = {asker.ask(target, *fields) for _ in range(4)}
    assert len(answers) == 1
    return answers.pop()


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("options", [(), ("--tls-self-signed",)], ids=["clear", "tls"])
def test_an_answer_has_the_file_as_it_is(serve: Serve, root: Path, options: tuple[str, ...], kind: str) -> None:
    server, head = serve(root, *options), HEADS[kind]
    for name, (change, folder) in CHANGES.items():
        fill(root)
        target = f"/{folder}/file.bin"
        with closing(Asker(server)) as asker, closing(Asker(server)) as other:
            before = answer_until_old(asker, target, *head)
            server.get("/mark")  # so that the server has also checked what the client has received
            change(root / "sub" / "file.bin")
            after = asker.ask(target, *head)
            assert after == other.ask_as_new(target, *head), name
            assert after != before, name
            again = answer_until_old(asker, target, *head)
            assert again == other.ask_as_new(target, *head), name


def test_when_the_root_is_replaced_it_is_found_within_a_second_although_heads_are_known(
    serve: Serve, root: Path
) -> None:
    server = serve(root)
    with closing(Asker(server)) as asker:
        head = ("/sub/file.bin", "Range: bytes=7-20")
        answer_until_old(asker, *head)
        root.rename(root.with_name("before"))
        write(root / "sub" / "file.bin", NEW)
        wait_until(lambda: content_of(asker.ask(*head)) == NEW[7:21], "the new root is served")


def open_files(server: ServerProcess, name: str) -> list[str]:
    """Return which open files of the server have this in their path."""
    return [target for target in descriptor_targets(server.pid) if name in target]


@pytest.mark.parametrize("kind", HEADS)
def test_no_file_stays_open_for_long_after_its_last_use(serve: Serve, root: Path, kind: str) -> None:
    server = serve(root)
    with closing(Asker(server)) as asker:
        answer_until_old(asker, "/sub/file.bin", *HEADS[kind])
        assert len(open_files(server, "file.bin")) == 1
        wait_until(lambda: not open_files(server, "file.bin"), "it is closed")
        assert content_of(asker.ask("/sub/file.bin", "Range: bytes=7-20")) == OLD[7:21]


@pytest.mark.parametrize("change", [os.unlink, rename_over, rewrite, truncate])
def test_a_file_that_has_gone_is_closed_although_clients_ask_for_it(
    serve: Serve, root: Path, change: Callable[[Path], object]
) -> None:
    """Otherwise its space on the disk would not become free."""
    file = root / "sub" / "file.bin"
    server, kept = serve(root), file.stat()
    with closing(Asker(server)) as asker:
        answer_until_old(asker, "/sub/file.bin", "Range: bytes=7-20")
        extra = 0 if change is os.unlink else 1
        change(file)

        def is_closed() -> bool:
            asker.ask("/sub/file.bin", "Range: bytes=7-20")
            found = open_files(server, "file.bin") + open_files(server, "new.bin")
            return len(found) <= extra and not any(target.endswith(" (deleted)") for target in found)

        wait_until(is_closed, f"the file of {kept.st_size} bytes is closed")


PRIVATE = '[[rule]]\nmatch = "/sub/**"\naccess = ["alice"]\n'
OTHER = '[[rule]]\nmatch = "/sub/**"\nheaders = { X-Robots-Tag = "noindex" }\n'


@pytest.mark.parametrize("kind", HEADS)
def test_rules_that_are_read_again_hold_for_known_heads(serve: Serve, root: Path, tmp_path: Path, kind: str) -> None:
    config, head = tmp_path / "freight.toml", ("/sub/file.bin", *HEADS[kind])
    config.write_text("")
    files = write_access_files(tmp_path)
    server = serve(root, *files, "--access", "everyone", "--config", str(config))
    with closing(Asker(server)) as asker, closing(Asker(server)) as other:
        plain = answer_until_old(asker, *head)
        for number, (text, status) in enumerate(((OTHER, None), (PRIVATE, 401), (OTHER, None), ("", None)), 1):
            config.write_text(text)
            server.signal(signal.SIGHUP)
            server.wait_for_log("settings reloaded", count=number)
            answer = asker.ask(*head)
            assert answer == other.ask_as_new(*head)
            assert status_of(answer) == (status or status_of(plain))
            assert (b"X-Robots-Tag: noindex" in answer) == (text == OTHER)
            assert answer_until_old(asker, *head) == answer
            if status == 401:
                assert content_of(asker.ask(head[0], *head[1:], ALICE)) == content_of(plain)


def test_rules_without_users_hold_too(serve: Serve, root: Path, tmp_path: Path) -> None:
    """The first request after a reload looks the root up, and is new in any case. The others need not be."""
    config, fields = tmp_path / "freight.toml", [(f"X-Client: {number}", "Range: bytes=7-20") for number in range(5)]
    config.write_text(OTHER)
    server = serve(root, "--config", str(config))
    with closing(Asker(server)) as asker:
        assert all(b"X-Robots-Tag" in answer_until_old(asker, "/sub/file.bin", *each) for each in fields)
        config.write_text("")
        server.signal(signal.SIGHUP)
        server.wait_for_log("settings reloaded")
        assert not any(b"X-Robots-Tag" in asker.ask("/sub/file.bin", *each) for each in fields)
