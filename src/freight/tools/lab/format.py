"""PURE. Format numbers for readers: three digits, and a suitable unit."""

from __future__ import annotations

import re

from freight.units import brief_size

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


def figures(value: float) -> str:
    """Return at most three significant digits, whole from 100 on, with commas: ``0.031``, ``3.42``, ``1,234``."""
    if value != value or abs(value) >= 99.95:
        return f"{value:,.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}".removesuffix(".0")
    text = f"{value:.3g}"
    return "0" if float(text) == 0 else text


def memory(size_bytes: float) -> str:
    """Return bytes in powers of 1000, with a no-break space: ``97.3 kB``, ``15.2 MB``, ``1.00 GB``."""
    text = re.sub(r"(?=[a-zA-Z])", NO_BREAK_SPACE, brief_size(abs(size_bytes)), count=1)
    return f"-{text}" if size_bytes < 0 and not text.startswith("0") else text


def seconds(value: float) -> str:
    """Return ``420 ms`` or ``3.42 s``, with a no-break space."""
    return f"{figures(value * 1000)}{NO_BREAK_SPACE}ms" if abs(value) < 1 else f"{figures(value)}{NO_BREAK_SPACE}s"


def rate(bytes_per_second: float) -> str:
    """Return ``25.0 MB/s``, with a no-break space."""
    return f"{memory(bytes_per_second)}/s"


def times(value: float) -> str:
    """Return a ratio: ``83 times``."""
    return f"{figures(value)} times"


def count(value: float, one: str, many: str = "") -> str:
    """Return ``1 client`` or ``2,012 clients``."""
    return f"{value:,.0f} {one if value == 1 else many or one + 's'}"
