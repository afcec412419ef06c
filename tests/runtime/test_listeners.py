"""The listening sockets: where the admin listener is, and what happens if its port is in use."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any, Literal

import pytest

from freight.config.settings import Settings, read_settings
from freight.config.types import Address
from freight.errors import ConfigurationError
from freight.runtime.listeners import admin_address, listen_admin, open_listening_sockets
from freight.server.listener import listen


@pytest.mark.parametrize(
    ("setting", "port", "address"),
    [
        ("auto", 8080, Address("127.0.0.1", 9080)),
        ("auto", 64_535, Address("127.0.0.1", 65_535)),
        ("auto", 64_536, Address("127.0.0.1", 63_536)),
        ("auto", 65_535, Address("127.0.0.1", 64_535)),
        (None, 8080, None),
        (Address("::1", 0), 8080, Address("::1", 0)),
    ],
)
def test_auto_is_on_this_host_1000_ports_away(
    setting: Address | Literal["auto"] | None, port: int, address: Address | None
) -> None:
    assert admin_address(setting, port) == address


class FakeListen:
    """Stands in for ``listen`` and ``warn``, and records their calls."""

    def __init__(self, in_use: bool = False) -> None:
        self.in_use = in_use
        self.addresses: list[Address] = []
        self.warnings: list[str] = []

    def listen(self, address: Address) -> socket.socket:
        self.addresses.append(address)
        if self.in_use:
            raise ConfigurationError(f"port {address.port} of {address.host} is taken", "admin")
        return socket.socket()

    def open(self, setting: Address | Literal["auto"] | None) -> socket.socket | None:
        return listen_admin(setting, 8080, self.listen, self.warnings.append)


@pytest.mark.parametrize(
    ("setting", "address"),
    [("auto", Address("127.0.0.1", 9080)), (Address("::1", 0), Address("::1", 0))],
    ids=["auto", "chosen"],
)
def test_a_free_address_is_opened(setting: Any, address: Address) -> None:
    fake = FakeListen()
    opened = fake.open(setting)
    assert opened is not None
    opened.close()
    assert (fake.addresses, fake.warnings) == ([address], [])


def test_none_opens_no_listener_and_logs_no_warning() -> None:
    fake = FakeListen()
    assert fake.open(None) is None
    assert (fake.addresses, fake.warnings) == ([], [])


def test_an_automatic_port_in_use_is_a_warning_that_names_it() -> None:
    fake = FakeListen(in_use=True)
    assert fake.open("auto") is None
    (warning,) = fake.warnings
    assert warning.startswith("no admin listener: port 9080 of 127.0.0.1 is taken; ")


def test_a_chosen_port_in_use_is_an_error() -> None:
    fake = FakeListen(in_use=True)
    with pytest.raises(ConfigurationError, match=r"^admin: port 9 of ::1 is taken$"):
        fake.open(Address("::1", 9))
    assert fake.warnings == []


TWO = ("127.0.0.1", "127.0.0.2")


def two_hosts(port: str) -> Settings:
    return read_settings({"host": ",".join(TWO), "port": port, "admin": "none"})


def test_a_free_port_is_chosen_again_if_another_program_has_it_at_another_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Port 0 takes a port that is free at the first address."""
    held, tried = ExitStack(), list[Address]()

    def listen_after_others(address: Address, *arguments: Any) -> socket.socket:
        tried.append(address)
        if address.host == TWO[1] and len(tried) <= 4:  # another program is faster, twice
            held.enter_context(socket.create_server((address.host, address.port)))
        return listen(address, *arguments)

    monkeypatch.setattr("freight.runtime.listeners.listen", listen_after_others)
    with held:
        sockets = open_listening_sockets(two_hosts("0"), {}, pytest.fail)
        for each in sockets.files:
            held.enter_context(each)
        assert [each.getsockname() for each in sockets.files] == [(host, sockets.port) for host in TWO]
    assert len(tried) == 6


def test_a_port_in_use_at_the_second_address_is_an_error_and_the_first_is_closed() -> None:
    with socket.create_server((TWO[1], 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} of {TWO[1]} is taken by another program"):
            open_listening_sockets(two_hosts(str(port)), {}, pytest.fail)
        socket.create_server((TWO[0], port)).close()
