"""PURE. Numbers as they are read: three figures, and a unit that suits."""

from __future__ import annotations


def figures(value: float) -> str:
    """At most three significant figures, whole from a hundred on, with commas: ``0.031``, ``3.42``, ``1,234``."""
    if value != value or abs(value) >= 99.95:
        return f"{value:,.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}".removesuffix(".0")
    text = f"{value:.3g}"
    return "0" if float(text) == 0 else text


def memory(size_bytes: float) -> str:
    """Bytes in powers of 1024: ``95 KiB``, ``15.2 MiB``, ``1.23 GiB``."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if abs(size_bytes) >= 0.9995 * scale:
            return f"{figures(size_bytes / scale)} {unit}"
    return f"{figures(size_bytes / 1024)} KiB" if abs(size_bytes) >= 1024 or not size_bytes else f"{size_bytes:.0f} B"


def seconds(value: float) -> str:
    """``420 ms``, ``3.42 s``."""
    return f"{figures(value * 1000)} ms" if abs(value) < 1 else f"{figures(value)} s"


def times(value: float) -> str:
    """A ratio: ``83 times``."""
    return f"{figures(value)} times"


def count(value: float, one: str, many: str = "") -> str:
    """``1 client``, ``2,012 clients``."""
    return f"{value:,.0f} {one if value == 1 else many or one + 's'}"
