"""What a server would refuse at its start, found without serving: the settings against this machine.

The settings make sense by themselves; :func:`freight.config.examine` has seen to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from freight.disk import DiskPool
from freight.errors import Unservable
from freight.flow.budget import Budget
from freight.flow.costs import TLS_COST
from freight.flow.limits import largest_send_queue
from freight.kinds import Address
from freight.live import memory_of
from freight.server.binding import bind
from freight.settings import Settings
from freight.sources.local import LocalSource


def find_problems(settings: Settings) -> Iterator[Unservable]:
    """Every problem. A port that is taken is one of them: :func:`freight.server.binding.is_taken`."""
    for look in (_look_at_path, _look_at_memory, _look_at_tls, *_binds(settings)):
        try:
            look(settings)
        except Unservable as error:
            yield error


def _look_at_path(settings: Settings) -> None:
    LocalSource(
        settings.path,
        follow_links=settings.follow_links,
        hidden=settings.hidden,
        no_length=settings.no_length,
        pool=DiskPool(),  # which has no thread, as nothing is looked up
        entries_at_once=1,
        piece_bytes=1,
    ).close()


def _look_at_memory(settings: Settings) -> None:
    secured = settings.tls_self_signed or settings.tls_cert is not None
    Budget(memory_of(settings), largest_send_queue(), TLS_COST if secured else 0)


def _look_at_tls(settings: Settings) -> None:
    if settings.tls_self_signed:
        from freight.server.certificate import self_signed

        self_signed(settings.host)
    elif settings.tls_cert is not None and settings.tls_key is not None:
        from freight.server.certificate import load

        load(settings.tls_cert, settings.tls_key)


def _binds(settings: Settings) -> Iterator[Callable[[Settings], None]]:
    yield partial(_look_at_address, settings.host, settings.port, "host", "port")
    if settings.redirect_port is not None:
        yield partial(_look_at_address, settings.host, settings.redirect_port, "host", "redirect-port")
    for name, address in (("admin", settings.admin), ("agent", settings.agent)):
        if isinstance(address, Address):
            yield partial(_look_at_address, address.host, address.port, name, name)


def _look_at_address(host: str, port: int, host_setting: str, port_setting: str, settings: Settings) -> None:
    """Bind it and let it go. Nothing listens, so a server that is there, or starts meanwhile, does not notice."""
    bind(host, port, 0, host_setting, port_setting).close()
