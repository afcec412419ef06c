"""What may change while a server runs, and how it is read again: the settings that are live, and the certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freight.config import reload
from freight.errors import Unservable
from freight.flow.budget import Budget
from freight.flow.limits import default_memory
from freight.settings import Settings
from freight.sources.local import LocalSource

if TYPE_CHECKING:
    from freight.server.tls import Tls


@dataclass(slots=True)
class Live:
    """``settings`` are those of now. ``gather`` gathers them anew, from where they came, and raises Unservable when
    they are not sensible. ``tls``, ``budget`` and ``source`` follow them.
    """

    settings: Settings
    gather: Callable[[], Settings]
    tls: Tls | None
    budget: Budget
    source: LocalSource

    def read_again(self) -> list[str]:
        """Take over what is live; lines for the operator. What makes no sense leaves all as it was, and is said."""
        return [*self._renew(), self._reload()]

    def _renew(self) -> list[str]:
        if self.tls is None:
            return []
        try:
            self.tls.renew()
        except Unservable as error:
            return [f"the certificate is as it was: {error}"]
        return ["the certificate was read again"]

    def _reload(self) -> str:
        try:
            settings, waiting = reload(self.settings, self.gather())
            self.budget.resize(memory_of(settings))
            self.source.list_by(self.budget.listing_entries, self.budget.piece_bytes)
        except Unservable as error:
            return f"the settings are as they were: {error}"
        self.settings = settings
        needs = f"; {', '.join(waiting)} only with a restart" if waiting else ""
        return f"the settings were read again{needs}"


def memory_of(settings: Settings) -> int:
    """The memory that is divided among clients, in bytes."""
    return default_memory() if settings.memory_bytes is None else settings.memory_bytes
