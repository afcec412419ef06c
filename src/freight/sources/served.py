"""A source as the parts of a running server see it."""

from __future__ import annotations

from typing import Protocol

from freight.protocols import LogNotice, Source
from freight.sources.disk_pool import Home
from freight.sources.listing import ListingLimits


class ServedSource(Source, Protocol):
    """A source that is served by this process, from one path or from several."""

    @property
    def homes(self) -> tuple[Home, ...]:
        """The file systems of the served paths."""

    @property
    def may_hang(self) -> bool:
        """Whether a file system that is served is remote, so that a call on it may never return."""

    def path_of(self, device: int) -> str:
        """Return where a file system is mounted, for a message to the operator."""

    def start(self, log_notice: LogNotice) -> None:
        """Prepare this process for look-ups. Log to the operator when a path names another directory, or none."""

    def check_path_soon(self) -> None:
        """Look up, before the next request, which directories the paths name."""

    def set_listing_limits(self, limits: ListingLimits) -> None:
        """Use these limits for listings from now on."""

    def close(self) -> None:
        """Close the descriptors of the roots. Open readers stay open."""
