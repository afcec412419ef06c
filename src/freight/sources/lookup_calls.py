"""Runs look-ups where they cannot delay others: on the event loop if they cannot wait, otherwise in the pool.

Rules:

1. On the loop only what the kernel has cached of a local file system. A call on a remote one may wait for ever,
   whatever is cached: open(2) of a cached path asks the server.
2. In the pool in the queue of the file system that the path lies on (:mod:`freight.sources.mounts`).
3. A path that a link leads from the root's file system, *home*, to another one is looked up in a queue of its own:
   home's threads touch home only, whatever was mounted since the table was read.

Left out: a link from one file system mounted below the root to another counts for the first. Without openat2(2), a link
out of home counts for home.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, TypeVar

from freight.errors import DiskTimeout
from freight.model import NotFound
from freight.sources.beneath import OtherMount, Root, not_cached
from freight.sources.disk_pool import DiskPool, Home, Work
from freight.sources.lookup import BUSY, UNRESPONSIVE, Opener
from freight.sources.mounts import Mounts
from freight.threads import OutOfThreads

_Found = TypeVar("_Found")


class _Place(NamedTuple):
    """Where a path is looked up: its device, how it is opened on the loop (None: not there), and in a thread."""

    device: int
    open_cached: Opener | None
    open: Opener


class LookupCalls:
    """Runs calls for paths below ``root``. ``home`` is the file system of the served path.

    ``is_local``: whether that is a local one. ``follows_file``: one file is served, to which links may lead.
    ``number``: that of the source. Each source has a queue of its own for look-ups that a link leads from home to
    another file system.
    """

    def __init__(
        self, pool: DiskPool, home: Home, root: Root, is_local: bool, *, follows_file: bool, number: int = 0
    ) -> None:
        self.home = home
        self._elsewhere = -1 - number  # in place of an st_dev
        self._pool = pool
        self._root = root
        self._is_local = is_local
        self._follows_file = follows_file
        self._mounts = Mounts(root.fileno(), root.allowed)

    @property
    def may_hang(self) -> bool:
        """Whether a file system that is served is remote, so that a call on it may never return."""
        return not self._is_local or (self._mounts.is_known and self._mounts.has_remote)

    def path_of(self, device: int) -> str | None:
        """Return where a file system other than home is mounted, for a message to the operator.

        None: it is not mounted below the root.
        """
        return "the targets of links" if device == self._elsewhere else self._mounts.path_of(device)

    def remote_entries(self, names: Sequence[str]) -> frozenset[str] | None:
        """Return which entries of the directory ``names`` are mount points of remote file systems.

        None: nothing remote is mounted below the root or where links may lead. Callable in any thread.
        """
        return self._mounts.remote_entries(names) if self._mounts.has_remote else None

    def start(self) -> None:
        """Open what look-ups need in this process, before clients can use up its descriptors."""
        self._mounts.watch()

    def set_root(self, root: Root) -> None:
        """Look paths up below ``root`` from now on."""
        self._mounts.close()
        self._root, self._mounts = root, Mounts(root.fileno(), root.allowed)
        self._mounts.watch()
        if not self._follows_file:
            self.home.device, self._is_local = root.device, root.is_local

    def close(self) -> None:
        """Close the table of mounts."""
        self._mounts.close()

    def stat_cached(self, path: bytes) -> os.stat_result:
        """Return the stat of what a path below the root names (:meth:`Root.stat_cached`). Raises BlockingIOError too
        where the root is remote: a call on it may never return.
        """
        if not self._is_local:
            raise not_cached()
        return self._root.stat_cached(path)

    async def now_or_in_pool(
        self, client: str | bytes, names: Sequence[str], call: Callable[[Opener], _Found]
    ) -> _Found | NotFound:
        """Return what ``call`` returns for the path of ``names``: on the loop if that cannot wait, else in the pool."""
        open_cached = self._place(names).open_cached
        if open_cached is not None:
            try:
                return call(open_cached)
            except BlockingIOError:
                pass
        return await self.in_pool(client, names, call)

    async def in_pool(
        self, client: str | bytes, names: Sequence[str], call: Callable[[Opener], _Found]
    ) -> _Found | NotFound:
        """Return what ``call`` returns for the path of ``names`` in the pool, where it may wait."""
        place, root = self._place(names), self._root
        try:
            return await self._run(client, place.device, place.open, call)
        except OtherMount:
            return await self._run(client, self._elsewhere, root.open, call)

    async def read_in_pool(
        self, client: str | bytes, device: int, call: Callable[[Opener], _Found]
    ) -> _Found | NotFound:
        """Return what ``call`` returns, which reads a file of ``device``."""
        return await self._run(client, device, self._root.open, call, Work.READ)

    async def at_home(self, client: str | bytes, call: Callable[[Opener], _Found]) -> _Found | NotFound:
        """Return what ``call`` returns in the queue of home."""
        return await self._run(client, self.home.device, self._root.open, call)

    def _place(self, names: Sequence[str]) -> _Place:
        root, mount = self._root, self._mounts.at(names)
        if mount is not None:
            on_loop = mount.is_local and not self._mounts.has_remote and not root.leads_elsewhere
            return _Place(mount.device, root.open_cached if on_loop else None, root.open)
        if self._follows_file:  # home is where its link led at the start
            return _Place(self.home.device, root.open_cached_on_own_mount if self._is_local else None, root.open)
        # On its own mount only: another may be mounted there after the table was read.
        open_cached = root.open_cached_on_own_mount if self._is_local else None
        return _Place(self.home.device, open_cached, root.open_on_own_mount)

    async def _run(
        self,
        client: str | bytes,
        device: int,
        open_path: Opener,
        call: Callable[[Opener], _Found],
        work: Work = Work.LOOKUP,
    ) -> _Found | NotFound:
        if not self._pool.admits(device):
            return UNRESPONSIVE
        try:
            future = self._pool.submit(lambda: _unless_busy(call, open_path), work=work, device=device, client=client)
        except OutOfThreads:
            return BUSY
        try:
            return await asyncio.wrap_future(future)
        except DiskTimeout:
            return UNRESPONSIVE
        except asyncio.CancelledError:
            # A thread may be running the call already: close what it still opens.
            future.add_done_callback(_close_result)
            raise


def _unless_busy(call: Callable[[Opener], _Found], open_path: Opener) -> _Found | NotFound:
    try:
        return call(open_path)
    except BlockingIOError:
        return BUSY


def _close_result(future: Future[_Found]) -> None:
    if not future.cancelled() and future.exception() is None:
        result = future.result()
        if hasattr(result, "__exit__"):
            result.__exit__(None, None, None)
