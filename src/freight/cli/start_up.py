"""Unusual steps at the start: one for every command, and two that save memory in a server. Each has side effects.

**UTF-8 mode.** In a locale of another encoding a command replaces its process by the same command with ``-X utf8``, so
that names in arguments, settings and output are UTF-8. Side effect: Python starts twice.

**The C library's allocator.** ``freight serve`` replaces its process by the same command with ``PYTHONMALLOC=malloc``,
because Python's own allocator returns little memory to the system. After 500 stalled downloads had ended, private
memory stayed 2.2 MiB larger with Python's allocator, and 0.7 MiB with this one; after 2,000, 9.0 and 1.5 MiB
(docs/decisions/010). Side effects: Python starts twice, a profiler or tracer that runs in the process loses
what it has collected, and child processes inherit the variables. The step is skipped if ``PYTHONMALLOC`` is set.

**asyncio without ssl.** freight uses OpenSSL on its own sockets, and only if TLS is configured, so asyncio never needs
the module ``ssl``. Without it an idle server has 4.4 MiB less resident memory, of which 1.3 MiB are private (Python
3.11). Side effect: asyncio has no TLS in this process, also for other libraries: ``create_connection(ssl=...)`` fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from freight.cli.output import FAILED, complain

_ALLOCATOR = "PYTHONMALLOC"


def restart(serves: bool) -> None:
    """Start this command again if it needs another Python: one in UTF-8 mode, or a server's, with its allocator.

    Return only if that fails or is not needed. The command then works with the Python that it has.
    """
    options = [] if sys.getfilesystemencoding() == "utf-8" else ["-X", "utf8"]
    chosen = serves and _choose_allocator()
    if not options and not chosen:
        return
    try:
        os.execv(sys.executable, [sys.executable, *options, *sys.orig_argv[1:]])
    except OSError as error:
        for new, lost in (
            (options, "with -X utf8 ({}); names that are not ASCII may not be understood"),
            (chosen, f"with {_ALLOCATOR}=malloc ({{}}); memory that many clients have used will not be given back"),
        ):
            if new:
                complain(f"cannot start {sys.executable} again {lost.format(error.strerror)}", FAILED)


def _choose_allocator() -> bool:
    """Set the variables of the C library's allocator, unless ``PYTHONMALLOC`` is set. Return whether they are new."""
    if _ALLOCATOR in os.environ or sys.platform != "linux":
        return False
    os.environ[_ALLOCATOR] = "malloc"
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")  # one heap for all threads: 0.1 to 0.4 MB less with 500 downloads
    # No freed pieces are kept for reuse, because each keeps its page: 0.3 MiB less after 500 downloads.
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")
    return True


@contextmanager
def asyncio_without_ssl() -> Iterator[None]:
    """Let asyncio be imported as if Python had been built without ssl, which asyncio supports.

    Do nothing if either module has been imported already. Afterwards ``import ssl`` works again.
    """
    if "ssl" in sys.modules or "asyncio" in sys.modules:
        yield
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # makes "import ssl" raise ImportError
    try:
        yield
    finally:
        del sys.modules["ssl"]
