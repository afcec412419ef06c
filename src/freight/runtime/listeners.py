"""The listening sockets of a server: those passed to it, and for the rest those that its settings ask for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal

from freight.config.settings import Settings
from freight.config.types import PORT_MAX, Address
from freight.config.unix_address import UnixAddress
from freight.errors import ConfigurationError
from freight.flow.send_window import SEND_BUFFER_MIN
from freight.runtime.inherited_sockets import ADMIN, AGENT, FILES, OWN, REDIRECT
from freight.server.binding import check_overlaps, is_in_use
from freight.server.listener import listen, prepare

if TYPE_CHECKING:
    from freight.server.unix_files import Permissions, SocketFiles

AUTO_HOST, AUTO_DISTANCE = "127.0.0.1", 1000
"""``--admin auto`` is this host, and this many ports above the port of the files."""


NamedSockets = Sequence[tuple[str, socket.socket]]
"""Listening sockets, each with the name under which a successor inherits it. Several may have one name."""

_FREE_PORT_TRIES = 20


@dataclass(frozen=True, slots=True)
class ListeningSockets:
    """The listening sockets, non-blocking. None, or none at all: there is no such listener.

    ``made`` are the Unix sockets whose files freight has made, ``socket_files`` those files.
    """

    files: tuple[socket.socket, ...]
    admin: socket.socket | None
    redirect: tuple[socket.socket, ...]
    agent: socket.socket | None
    made: tuple[socket.socket, ...] = ()
    socket_files: SocketFiles | None = None

    @property
    def port(self) -> int:
        """The port of the files; 0 if they are served on Unix sockets only."""
        return _first_port(self.files)

    def named(self) -> NamedSockets:
        """Return the sockets that exist."""
        every = [(FILES, each) for each in self.files] + [(REDIRECT, each) for each in self.redirect]
        every += [(name, each) for name, each in ((ADMIN, self.admin), (AGENT, self.agent)) if each is not None]
        return [(OWN + name if each in self.made else name, each) for name, each in every]

    def close(self) -> None:
        """Close all sockets, and remove the files of those on which no other process listens."""
        for _, each in self.named():
            each.close()
        if self.socket_files is not None:
            self.socket_files.remove()


def open_listening_sockets(
    settings: Settings,
    passed: Mapping[str, tuple[socket.socket, ...]],
    warn: Callable[[str], None],
    made: Sequence[socket.socket] = (),
) -> ListeningSockets:
    """Listen at all addresses of the settings. ``passed`` sockets replace addresses. Raise ConfigurationError.

    ``made`` are those passed Unix sockets whose files are removed at the end.
    """
    unix = _UnixSockets(settings, made) if made or _has_unix_addresses(settings) else None
    try:
        return _open_all(settings, passed, warn, unix)
    except BaseException:
        if unix is not None:
            unix.close()
        raise


def _open_all(
    settings: Settings,
    passed: Mapping[str, tuple[socket.socket, ...]],
    warn: Callable[[str], None],
    unix: _UnixSockets | None,
) -> ListeningSockets:
    for each in chain(*passed.values()):
        prepare(each, SEND_BUFFER_MIN)
    if REDIRECT in passed and settings.tls_cert is None and not settings.tls_self_signed:
        raise ConfigurationError(
            "a socket was passed for redirect, but there is no HTTPS to redirect to; give --tls-cert too"
        )
    if FILES not in passed:
        check_overlaps(settings.addresses, "host")
    files = passed.get(FILES) or (
        *_open_hosts(settings.tcp_hosts, settings.port, "port"),
        *(_open_unix(each, "host", unix) for each in settings.unix_addresses),
    )
    redirect = passed.get(REDIRECT, ())
    if not redirect and settings.redirect_port is not None:
        redirect = _open_hosts(settings.tcp_hosts, settings.redirect_port, "redirect-port")
    (admin,), (agent,) = passed.get(ADMIN, (None,)), passed.get(AGENT, (None,))
    if admin is not None:
        pass
    elif isinstance(settings.admin, UnixAddress):
        admin = _open_unix(settings.admin, "admin", unix)
    else:
        admin = listen_admin(settings.admin, _first_port(files) or settings.port, _open_admin, warn)
    if agent is None and settings.haproxy_agent is not None:
        agent = _open(settings.haproxy_agent, "haproxy-agent", "haproxy-agent")
    if unix is None:
        return ListeningSockets(files, admin, redirect, agent)
    return ListeningSockets(files, admin, redirect, agent, tuple(unix.made), unix.files)


def _has_unix_addresses(settings: Settings) -> bool:
    return bool(settings.unix_addresses) or isinstance(settings.admin, UnixAddress)


def _first_port(listening: Sequence[socket.socket]) -> int:
    return next((each.getsockname()[1] for each in listening if each.family != socket.AF_UNIX), 0)


def permissions(settings: Settings) -> Permissions:
    """Return mode and owner of the files of Unix sockets."""
    from freight.server.unix_files import Permissions

    return Permissions(settings.socket_mode, *(settings.socket_owner or ("", "")))


class _UnixSockets:
    """The Unix sockets that freight has made, and their files. It is made only where there are some."""

    def __init__(self, settings: Settings, made: Sequence[socket.socket]) -> None:
        from freight.server.unix_files import SocketFiles

        self.made = list(made)
        self.files = SocketFiles()
        self._permissions = permissions(settings)
        for each in made:
            self.files.add(each)

    def open(self, address: UnixAddress, setting: str) -> socket.socket:
        """Listen on a Unix socket. Raise ConfigurationError, about ``setting`` or the owner's."""
        from freight.server.unix_files import bind_unix

        listening = bind_unix(address, self._permissions, setting)
        self.made.append(listening)
        self.files.add(listening)
        prepare(listening, SEND_BUFFER_MIN)
        return listening

    def close(self) -> None:
        """Close the sockets and remove their files."""
        for each in self.made:
            each.close()
        self.files.remove()


def _open_unix(address: UnixAddress, setting: str, unix: _UnixSockets | None) -> socket.socket:
    assert unix is not None  # as the settings have such an address
    return unix.open(address, setting)


def _open_hosts(hosts: Sequence[str], port: int, port_setting: str) -> tuple[socket.socket, ...]:
    """Listen at all hosts, at one port: with ``port`` 0, the port that is free at the first one.

    If another program has that port at another host, all are closed, and another port is tried.
    """
    for tries_left in reversed(range(_FREE_PORT_TRIES)):
        opened: list[socket.socket] = []
        try:
            for host in hosts:
                chosen: int = opened[0].getsockname()[1] if opened else port
                opened.append(_open(Address(host, chosen), "host", port_setting))
            return tuple(opened)
        except ConfigurationError as error:
            for each in opened:
                each.close()
            if port or not tries_left or not is_in_use(error):
                raise
    raise AssertionError("the last try returns or raises")


def admin_address(setting: Address | Literal["auto"] | None, port: int) -> Address | None:
    """Return the admin listener's address for a server of files at ``port``; None: there is no admin listener."""
    if setting != "auto":
        return setting
    if not port:
        return Address(AUTO_HOST, 0)  # files are served on Unix sockets only, with --port 0
    return Address(AUTO_HOST, port + AUTO_DISTANCE if port + AUTO_DISTANCE <= PORT_MAX else port - AUTO_DISTANCE)


def listen_admin(
    setting: Address | Literal["auto"] | None,
    port: int,
    listen: Callable[[Address], socket.socket],
    warn: Callable[[str], None],
) -> socket.socket | None:
    """Return the admin listener's socket for a server of files at ``port``, or None.

    ``listen`` opens a socket or raises ConfigurationError. Raise that error if the operator chose the address. If it
    is ``auto``, pass a message to ``warn`` instead: files are served without an admin listener.
    """
    address = admin_address(setting, port)
    if address is None:
        return None
    try:
        return listen(address)
    except ConfigurationError as error:
        if setting != "auto":
            raise
        warn(f"no admin listener: {error.why}; choose another address with --admin, or --admin none")
        return None


def _open(address: Address, host_setting: str, port_setting: str) -> socket.socket:
    return listen(address, SEND_BUFFER_MIN, host_setting, port_setting)


def _open_admin(address: Address) -> socket.socket:
    return _open(address, "admin", "admin")
