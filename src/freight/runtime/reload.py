"""Reloading: the settings that may change while a server runs, the certificate, and the keys of links."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freight.config.load import ResolvedSettings, reload
from freight.config.settings import Settings
from freight.config.table import SETTINGS
from freight.errors import ConfigurationError
from freight.memory.budget import Budget
from freight.memory.costs import DETAILS_COST, TLS_COST
from freight.memory.host_limits import default_memory
from freight.model import Level
from freight.runtime.terminal import Terminal
from freight.sources.listing import ListingLimits

if TYPE_CHECKING:
    from freight.access.guard import Guard
    from freight.server.tls.sockets import TlsLayer
    from freight.sources.served import ServedSource

Notices = list[tuple[Level, str]]


@dataclass(slots=True)
class LiveSettings:
    """The current ``settings``, and ``tls``, ``budget``, ``source`` and ``guard``, which follow them.

    ``terminal`` is that of the server. ``reread`` resolves the settings again, from where they came; it raises
    ConfigurationError when they are invalid.
    """

    settings: Settings
    reread: Callable[[], ResolvedSettings]
    tls: TlsLayer | None
    budget: Budget
    source: ServedSource
    terminal: Terminal
    guard: Guard | None = None

    def hangup_stops(self) -> bool:
        """Return whether SIGHUP is to stop the server, because its terminal was closed."""
        try:
            has_file = self.reread().file is not None
        except ConfigurationError:
            has_file = True  # the rest of the settings was valid at the start, and has not changed
        settings = self.settings
        has_other = settings.tls_cert is not None or settings.log_file is not None or self.guard is not None
        return self.terminal.hangup_stops(has_file, has_other)

    def reload(self) -> Notices:
        """Reload the certificate, keys, and the settings that may change; return messages for the operator.

        An invalid certificate, or an invalid file, leaves the current one unchanged. The served path is looked up
        before the next request, and not now, because that may wait for a disk.
        """
        self.source.check_path_soon()
        keys = [] if self.guard is None else self.guard.reload()
        notices = [*self._reload_certificate(), *keys, *self._reload_settings()]
        if self.settings.log_file is not None:
            notices.append((Level.INFO, f"log file is opened again: {self.settings.log_file}"))
        return notices or [(Level.INFO, "nothing to reload: there is no --config file")]

    def _reload_certificate(self) -> Notices:
        if self.tls is None:
            return []
        try:
            self.tls.reload_certificate()
        except ConfigurationError as error:
            return [(Level.WARNING, f"certificate not reloaded, keeping the current one: {error}")]
        return [(Level.INFO, "certificate reloaded")]

    def _reload_settings(self) -> Notices:
        """Reload the settings, also without a file: the meaning of ``auto`` may have changed."""
        before = self.settings
        try:
            resolved = self.reread()
        except ConfigurationError as error:
            return _not_reloaded(str(error))
        settings, need_restart = reload(before, resolved.settings)
        try:
            self.budget.resize(memory_of(settings))
        except ConfigurationError as error:
            return _not_reloaded(resolved.explain(error))
        division = self.budget.division
        self.source.set_listing_limits(ListingLimits(division.listing_bytes, division.piece_bytes))
        self.settings = settings
        if resolved.file is None:
            return []
        changed = [] if before.rule == settings.rule else ["rules"]
        changed += [each.name for each in SETTINGS if getattr(before, each.field) != getattr(settings, each.field)]
        news = f"changed: {', '.join(changed)}" if changed else "nothing changed"
        needs = f"; needs a restart: {', '.join(need_restart)}" if need_restart else ""
        return [(Level.INFO, f"settings reloaded from {resolved.file}, {news}{needs}")]


def _not_reloaded(why: str) -> Notices:
    return [(Level.WARNING, f"settings not reloaded, keeping the current ones: {why}")]


def connection_cost(settings: Settings) -> int:
    """Return what a connection costs beyond one in clear text whose log is text, in bytes."""
    uses_tls = settings.tls_self_signed or settings.tls_cert is not None
    has_details = settings.log_format != "text" or settings.request_id
    return (TLS_COST if uses_tls else 0) + (DETAILS_COST if has_details else 0)


def memory_of(settings: Settings) -> int:
    """Return the memory that is divided among clients, in bytes."""
    return default_memory() if settings.memory_bytes is None else settings.memory_bytes
