"""Find what a server would refuse at its start, without starting one: check the settings against this machine.

The settings must be valid by themselves (:func:`freight.config.load.examine`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from freight.config.settings import Settings
from freight.config.types import Address
from freight.config.unix_address import UnixAddress
from freight.errors import ConfigurationError
from freight.memory.budget import Budget
from freight.memory.host_limits import largest_send_queue
from freight.runtime.build import open_source
from freight.runtime.listeners import permissions
from freight.runtime.reload import connection_cost, memory_of
from freight.server.binding import bind, check_overlaps
from freight.sources.disk_pool import DiskPool


def find_problems(settings: Settings) -> Iterator[ConfigurationError]:
    """Yield every problem. A port in use is one of them (:func:`freight.server.binding.is_in_use`)."""
    checks = (
        _check_path,
        _check_memory,
        _check_tls,
        _check_secrets,
        _check_access,
        _check_log_file,
        _check_admin_token,
    )
    for check in (*checks, *_address_checks(settings)):
        try:
            check(settings)
        except ConfigurationError as error:
            yield error


def _check_path(settings: Settings) -> None:
    open_source(settings, DiskPool()).close()  # the pool starts no thread: nothing is looked up


def _check_memory(settings: Settings) -> None:
    Budget(memory_of(settings), largest_send_queue(), connection_cost(settings))


def _check_tls(settings: Settings) -> None:
    if settings.tls_self_signed:
        from freight.server.tls.certificate import self_signed

        self_signed(settings.tcp_hosts)
    elif settings.tls_cert is not None and settings.tls_key is not None:
        from freight.server.tls.certificate import load

        load(settings.tls_cert, settings.tls_key)


def _check_secrets(settings: Settings) -> None:
    if settings.can_permit or settings.admin_token_file is not None:
        from freight.config.served_secrets import check_not_served

        check_not_served(settings)


def _check_access(settings: Settings) -> None:
    if settings.signing_keys is not None:
        from freight.access.keys import load

        load(settings.signing_keys)
    if settings.knows_users:
        from freight.access.files import AccessFiles

        AccessFiles(settings.users, settings.tokens)


def _check_log_file(settings: Settings) -> None:
    if settings.log_file is not None:
        from freight.observe.log_file import check_log_file

        check_log_file(settings.log_file)


def _check_admin_token(settings: Settings) -> None:
    if settings.admin_token_file is not None:
        from freight.observe.admin_token import read_token

        read_token(settings.admin_token_file)


def _address_checks(settings: Settings) -> Iterator[Callable[[Settings], None]]:
    for address in settings.addresses:
        yield partial(_check_address, address, "host", "port")
    yield _check_overlaps
    if settings.redirect_port is not None:
        for host in settings.tcp_hosts:
            yield partial(_check_address, Address(host, settings.redirect_port), "host", "redirect-port")
    for name, listener in (("admin", settings.admin), ("haproxy-agent", settings.haproxy_agent)):
        if isinstance(listener, Address):
            yield partial(_check_address, listener, name, name)
    for unix in settings.unix_addresses:
        yield partial(_check_unix, unix, "host")
    if isinstance(settings.admin, UnixAddress):
        yield partial(_check_unix, settings.admin, "admin")


def _check_unix(address: UnixAddress, name: str, settings: Settings) -> None:
    from freight.server.unix_files import check_unix

    check_unix(address, permissions(settings), name)


def _check_overlaps(settings: Settings) -> None:
    try:
        check_overlaps(settings.addresses, "host")
    except ConfigurationError as error:
        if error.__cause__ is None:  # else a host has no address, which its own check says
            raise


def _check_address(address: Address, host_setting: str, port_setting: str, settings: Settings) -> None:
    """Bind an address and close the socket. It never listens, so a server on that address is not affected."""
    bind(address, 0, host_setting, port_setting).close()
