"""The files of Unix sockets: the permission to connect, what is replaced, what is removed."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from freight.config.unix_address import UnixAddress
from freight.errors import ConfigurationError
from freight.server.unix_files import Permissions, SocketFiles, bind_unix, check_unix

MODE = Permissions(0o660)


@pytest.fixture
def address(tmp_path: Path) -> UnixAddress:
    return UnixAddress(str(tmp_path / "freight.sock"))


def is_accepted(address: UnixAddress) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(address.path) == 0


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_mode_is_exact_whatever_the_umask_says_and_the_umask_stays(address: UnixAddress, umask: int) -> None:
    before = os.umask(umask)
    try:
        with bind_unix(address, Permissions(0o620), "host"):
            assert stat.S_IMODE(os.stat(address.path).st_mode) == 0o620
    finally:
        assert os.umask(before) == umask


def test_the_owner_may_be_given_by_number(address: UnixAddress) -> None:
    with bind_unix(address, Permissions(0o660, str(os.getuid()), str(os.getgid())), "host"):
        found = os.stat(address.path)
        assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can change the user")
def test_root_may_give_it_to_another_user(address: UnixAddress) -> None:
    with bind_unix(address, Permissions(0o660, "nobody", "0"), "host"):
        assert os.stat(address.path).st_uid not in (0, -1)


@pytest.mark.parametrize(("user", "group", "words"), [("no-such", "", "user 'no-such'"), ("", "no-such", "group")])
def test_an_unknown_owner_is_an_error_and_makes_no_file(
    address: UnixAddress, user: str, group: str, words: str
) -> None:
    for attempt in (bind_unix, check_unix):
        with pytest.raises(ConfigurationError, match=words) as refused:
            attempt(address, Permissions(0o660, user, group), "host")
        assert refused.value.setting == "socket-owner"
    assert not os.path.lexists(address.path)


def test_the_file_of_a_dead_server_is_replaced(address: UnixAddress) -> None:
    bind_unix(address, MODE, "host").close()
    assert os.path.lexists(address.path)
    check_unix(address, MODE, "host")
    assert os.path.lexists(address.path)
    with bind_unix(address, MODE, "host"):
        assert is_accepted(address)


def test_a_server_that_lives_is_an_error(address: UnixAddress) -> None:
    with bind_unix(address, MODE, "host"):
        for attempt in (bind_unix, check_unix):
            with pytest.raises(ConfigurationError, match=r"a server listens on .*; stop it"):
                attempt(address, MODE, "host")
        assert is_accepted(address)


def test_what_is_no_socket_is_an_error_and_stays(address: UnixAddress, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for make in (Path(address.path).write_text, lambda text: os.symlink(victim, address.path)):
        make("text")
        with pytest.raises(ConfigurationError, match="exists and is not a socket"):
            bind_unix(address, MODE, "host")
        assert os.path.lexists(address.path)
        os.unlink(address.path)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("path", ["missing/freight.sock", "file/freight.sock"])
def test_a_directory_that_is_missing_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    for attempt in (bind_unix, check_unix):
        with pytest.raises(ConfigurationError, match="there is no directory"):
            attempt(UnixAddress(str(tmp_path / path)), MODE, "host")


def test_of_servers_that_start_at_once_one_listens(address: UnixAddress) -> None:
    """A stale file tempts all of them to remove it."""
    bind_unix(address, MODE, "host").close()
    made, refused, barrier = list[socket.socket](), list[str](), threading.Barrier(4)

    def start() -> None:
        barrier.wait(10)
        try:
            made.append(bind_unix(address, MODE, "host"))
        except ConfigurationError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert (len(made), len(refused)) == (1, 3)
    assert is_accepted(address)
    made[0].close()


def test_the_file_is_removed_unless_somebody_listens_or_it_is_another(address: UnixAddress) -> None:
    first, files = bind_unix(address, MODE, "host"), SocketFiles()
    files.add(first)
    successor = first.dup()
    first.close()
    files.remove()
    assert is_accepted(address)  # the successor listens
    successor.close()
    with bind_unix(address, MODE, "host") as second:
        files.add(second)
        os.rename(address.path, f"{address.path}.moved")
        with bind_unix(address, MODE, "host"):
            pass
    files.remove()
    assert os.path.lexists(address.path)  # that of another server
    third = bind_unix(address, MODE, "host")
    files.add(third)
    third.close()
    files.remove()
    assert not os.path.lexists(address.path)
