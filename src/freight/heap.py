"""The process's heap: what a crowd has left there goes back to the operating system.

Python's own allocator takes memory in megabytes and gives one back when nothing at all is left in it, which after a
crowd is never: some long-lived object lies in each. The C library's gives back every free page when asked to
(malloc_trim(3)), so a server runs with that one (``PYTHONMALLOC=malloc``). docs/decisions/010 has the measurement.
"""

from __future__ import annotations

import ctypes
import gc


def give_back(thorough: bool) -> bool:
    """Give free pages back. False where the C library cannot.

    ``thorough``: empty Python's own free lists first, which walks through all objects that are there: where few are.
    """
    gc.collect(2 if thorough else 0)
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return False
    return True
