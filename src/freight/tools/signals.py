"""How a command ends by a signal."""

from __future__ import annotations

import sys
from types import FrameType
from typing import NoReturn

_SIGNALLED = 128  # a shell's convention: 128 + the number of the signal that ended the command


def exit_by_signal(number: int, frame: FrameType | None) -> NoReturn:
    """Exit with the status of a command that a signal ended, after what the default handler would leave undone."""
    sys.exit(_SIGNALLED + number)
