"""What a server needs before it serves: certificate, users, budget, source and sockets, opened from its settings."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freight.config.load import ResolvedSettings
from freight.config.settings import Settings
from freight.http.client_address import Networks
from freight.memory.budget import Budget
from freight.memory.host_limits import largest_send_queue
from freight.model import Level
from freight.protocols import LogNotice
from freight.runtime.announcement import urls
from freight.runtime.build import ServerParts, open_source
from freight.runtime.listeners import open_listening_sockets
from freight.runtime.reload import connection_cost, memory_of
from freight.runtime.terminal import Terminal
from freight.server.addresses import is_local
from freight.sources.disk_pool import DiskPool
from freight.sources.listing import ListingLimits

if TYPE_CHECKING:
    from freight.access.guard import Guard
    from freight.server.tls.sockets import TlsLayer
    from freight.sources.served import ServedSource

OpenSource = Callable[[Settings, DiskPool, ListingLimits], "ServedSource"]
"""A function that opens what is served. It raises ConfigurationError."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """What another process has passed to this one: listening sockets by name, and the stream to a predecessor, if any.

    ``own`` are those sockets whose files are removed at the end.
    """

    sockets: Mapping[str, tuple[socket.socket, ...]] = field(default_factory=dict)
    own: Sequence[socket.socket] = ()
    predecessor: socket.socket | None = None


@contextmanager
def open_parts(
    settings: Settings,
    reread: Callable[[], ResolvedSettings],
    log_notice: LogNotice,
    terminal: Terminal,
    inherited: Inherited | None = None,
    open_served: OpenSource = open_source,
) -> Iterator[tuple[ServerParts, Budget]]:
    """Open what a server needs, and close it at the end. Raise ConfigurationError if that is impossible.

    ``reread`` resolves the settings again, for a reload. ``log_notice`` logs what the operator should change.
    """
    inherited = inherited or Inherited()

    def warn(message: str) -> None:
        log_notice(Level.WARNING, message)

    tls, fingerprint = _load_tls(settings)
    _check_files(settings)
    guard = _load_guard(settings, warn, encrypted=tls is not None)
    budget = Budget(memory_of(settings), largest_send_queue(), connection_cost(settings))
    trusted = Networks.parse(settings.trusted_proxy)
    with ExitStack() as opened:
        pool = DiskPool()
        opened.callback(pool.close)
        source = open_served(settings, pool, ListingLimits(budget.division.listing_bytes, budget.division.piece_bytes))
        opened.callback(source.close)
        sockets = open_listening_sockets(settings, inherited.sockets, warn, inherited.own)
        opened.callback(sockets.close)
        parts = ServerParts(
            settings=settings,
            reread=reread,
            source=source,
            trusted=trusted,
            sockets=sockets,
            predecessor=inherited.predecessor,
            pool=pool,
            tls=tls,
            fingerprint=fingerprint,
            terminal=terminal,
            guard=guard,
            admin_token=_admin_token(settings),
        )
        _warn_of_open_admin(parts, warn)
        yield parts, budget


def _check_files(settings: Settings) -> None:
    """Raise ConfigurationError if a secret would be served, or the log cannot be written to its file."""
    if settings.can_permit or settings.admin_token_file is not None:
        from freight.config.served_secrets import check_not_served

        check_not_served(settings)
    if settings.log_file is not None:
        from freight.observe.log_file import check_log_file

        check_log_file(settings.log_file)


def _load_tls(settings: Settings) -> tuple[TlsLayer | None, str]:
    """Return the TLS layer, if configured, and the fingerprint of a self-signed certificate. Import ssl only then."""
    if settings.tls_self_signed:
        from freight.server.tls.certificate import self_signed
        from freight.server.tls.sockets import TlsLayer

        contexts, fingerprint = self_signed(settings.tcp_hosts)
        return TlsLayer(contexts), fingerprint
    if settings.tls_cert is not None and settings.tls_key is not None:
        from freight.server.tls.certificate import from_files
        from freight.server.tls.sockets import TlsLayer

        return TlsLayer(from_files(settings.tls_cert, settings.tls_key)), ""
    return None, ""


def _load_guard(settings: Settings, warn: Callable[[str], None], *, encrypted: bool) -> Guard | None:
    """Return what checks requests; None if everything is public. Import the package only if it is needed."""
    if not settings.can_permit:
        return None
    from freight.access.files import AccessFiles, clear_text_warning
    from freight.access.guard import Guard
    from freight.http.access import EVERYONE, USERS

    files, warning = None, ""
    if settings.knows_users:
        files = AccessFiles(settings.users, settings.tokens)
        behind_proxy = bool(settings.trusted_proxy)
        warning = clear_text_warning(settings.tcp_hosts, encrypted=encrypted, behind_proxy=behind_proxy)
    guard = Guard(settings.signing_keys, files, EVERYONE if settings.access == "everyone" else USERS)
    for each in (*guard.warnings, *filter(None, [warning])):
        warn(each)
    return guard


def _admin_token(settings: Settings) -> bytes | None:
    """Return the secret of the admin listener's clients, if there is one."""
    if settings.admin_token_file is None:
        return None
    from freight.observe.admin_token import read_token

    return read_token(settings.admin_token_file)


def _warn_of_open_admin(parts: ServerParts, warn: Callable[[str], None]) -> None:
    """Warn of an admin listener that other machines reach, and that asks for no secret."""
    admin = parts.sockets.admin
    if admin is None or parts.admin_token is not None or is_local(admin):
        return
    warn(
        f"everyone who reaches {urls(admin)[0]} sees which files clients download; give --admin-token-file, or another "
        "address with --admin"
    )
