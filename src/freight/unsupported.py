"""Calls of the kernel that are refused here, by a file system, a sandbox or an old kernel, so that others are used.

Each is logged once. The code that meets a refusal is deep in the data path and has no log, so it leaves a note, and the
sweep takes the notes.
"""

from __future__ import annotations

import errno

_REFUSALS = frozenset(
    (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.ENOTTY, errno.EPERM, errno.EACCES)
)

noted: set[str] = set()
"""The names of the calls that are refused. Only :func:`note` adds to them."""

_new: list[str] = []


def note(call: str, error: OSError, instead: str) -> None:
    """Note that ``call``, such as ``sendfile(2)``, fails with ``error``. ``instead``: what is done, as a sentence.

    Raise ``error`` if it does not mean that the call is refused.
    """
    if error.errno not in _REFUSALS:
        raise error
    if call not in noted:
        noted.add(call)
        _new.append(f"{call} does not work here ({error.strerror}): {instead}")


def take() -> list[str]:
    """Return the messages since the last call, in the order of their notes."""
    messages = _new.copy()
    _new.clear()
    return messages
