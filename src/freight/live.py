"""What may change while a server runs, and how it is reloaded: the settings that are live, and the certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freight.config import Gathered, reload
from freight.errors import Unservable
from freight.flow.budget import Budget
from freight.flow.limits import default_memory
from freight.model import Level
from freight.settings import SETTINGS, Settings
from freight.sources.local import LocalSource

if TYPE_CHECKING:
    from freight.server.tls import Tls


@dataclass(slots=True)
class Live:
    """``settings`` are those of now. ``gather`` gathers them again, from where they came, and raises Unservable when
    they are not sensible. ``tls``, ``budget`` and ``source`` follow them.
    """

    settings: Settings
    gather: Callable[[], Gathered]
    tls: Tls | None
    budget: Budget
    source: LocalSource

    def reload(self) -> list[tuple[Level, str]]:
        """Reload the certificate and what is live of the settings; what became of it, for the operator.

        Where something makes no sense, all of that stays as it was.
        """
        return [*self._renew(), *self._reload()] or [(Level.INFO, "nothing to reload: there is no --config file")]

    def _renew(self) -> list[tuple[Level, str]]:
        if self.tls is None:
            return []
        try:
            self.tls.renew()
        except Unservable as error:
            return [(Level.WARNING, f"certificate not reloaded, the old one stays: {error}")]
        return [(Level.INFO, "certificate reloaded")]

    def _reload(self) -> list[tuple[Level, str]]:
        """Without a file there is nothing to say, unless what ``auto`` means has changed."""
        before = self.settings
        try:
            gathered = self.gather()
        except Unservable as error:
            return _kept(str(error))
        settings, waiting = reload(before, gathered.settings)
        try:
            self.budget.resize(memory_of(settings))
        except Unservable as error:
            return _kept(gathered.explain(error))
        self.source.list_by(self.budget.listing_entries, self.budget.piece_bytes)
        self.settings = settings
        if gathered.file is None:
            return []
        changed = [each.name for each in SETTINGS if getattr(before, each.field) != getattr(settings, each.field)]
        news = f"changed: {', '.join(changed)}" if changed else "nothing changed"
        needs = f"; needs a restart: {', '.join(waiting)}" if waiting else ""
        return [(Level.INFO, f"settings reloaded from {gathered.file}, {news}{needs}")]


def _kept(why: str) -> list[tuple[Level, str]]:
    return [(Level.WARNING, f"settings not reloaded, the old ones stay: {why}")]


def memory_of(settings: Settings) -> int:
    """The memory that is divided among clients, in bytes."""
    return default_memory() if settings.memory_bytes is None else settings.memory_bytes
