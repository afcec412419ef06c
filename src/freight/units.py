"""Read and write sizes, rates and times: ``20MB``, ``64MiB``, ``10MB/s``, ``30s``, without loss in either direction.

The ``brief_`` functions round to three digits, for tables.
"""

from __future__ import annotations

import re

_SIZE_UNITS: dict[str, int] = {"B": 1} | {
    letter + suffix: step**power
    for power, letter in enumerate("kMGTP", start=1)
    for suffix, step in (("B", 1000), ("iB", 1024))
}
_DECIMAL_UNITS = tuple((scale, unit) for unit, scale in _SIZE_UNITS.items() if not unit.endswith("iB") and scale > 1)
_SIZE_BY_FOLDED_NAME = {unit.lower(): scale for unit, scale in _SIZE_UNITS.items()}

_BIT_UNITS = {prefix + "bit": 1000**power for power, prefix in enumerate(("", "k", "m", "g", "t"))}

# (numerator, denominator) in seconds: with integers 500ms is exactly 0.5, and 100ms exactly the float 0.1.
_TIME_UNITS = {"d": (86_400, 1), "h": (3600, 1), "m": (60, 1), "s": (1, 1), "ms": (1, 1000)}

_BRIEF_CHARACTERS = 6

# The number of digits is limited because int() takes quadratic time.
_QUANTITY = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))? ?([A-Za-z]*)", re.ASCII)


def _split(text: str) -> tuple[int, int, str] | None:
    """Split ``"1.5GB"`` into ``(15, 10, "GB")``: digits, their denominator, unit."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    whole, fraction, unit = match[1], match[2] or "", match[3]
    over: int = 10 ** len(fraction)
    return int(whole + fraction), over, unit


def parse_size(text: str) -> int:
    """Return a size in bytes. Raise ValueError with a sentence for the user.

    ``kB MB GB TB PB`` are powers of 1000 and ``KiB MiB GiB TiB PiB`` of 1024 (IEC 80000-13), in any case. A plain
    number is bytes; a fraction of a byte is dropped. A bare ``k`` or ``M`` is an error, because it is ambiguous.
    """
    parts = _split(text)
    if parts is None:
        raise ValueError(f"{text!r} is not a size; write 20MB, 64MiB or a number of bytes")
    digits, over, unit = parts
    scale = _SIZE_BY_FOLDED_NAME.get(unit.lower() or "b")
    if scale is not None:
        return digits * scale // over
    if unit.lower() + "b" in _SIZE_BY_FOLDED_NAME:
        raise ValueError(f"{text!r} could be read two ways: write {unit}B for powers of 1000, {unit}iB for 1024")
    raise ValueError(f"{text!r} has no unit of size; write kB, MB, GB, TB or KiB, MiB, GiB, TiB")


def format_size(size_bytes: int) -> str:
    """Return the shortest text that :func:`parse_size` reads as exactly this many bytes (>= 0)."""
    if size_bytes == 0:
        return "0B"
    exact = [(size_bytes // scale, unit) for unit, scale in _SIZE_UNITS.items() if size_bytes % scale == 0]
    count, unit = min(exact)
    return f"{count}{'KiB' if unit == 'kiB' else unit}"


def parse_rate(text: str) -> int:
    """Return a rate in bytes per second. Raise ValueError with a sentence for the user.

    A rate is a size, with or without ``/s``, or bits: ``kbit Mbit Gbit Tbit``, powers of 1000. A fraction of a byte is
    dropped.
    """
    amount = text.strip()
    if amount[-2:].lower() == "/s":
        amount = amount[:-2]
    parts = _split(amount)
    if parts is None:
        raise ValueError(f"{text!r} is not a rate; write 10MB/s, 512KiB/s, 1Gbit/s or a number of bytes per second")
    digits, over, unit = parts
    bits = _BIT_UNITS.get(unit.lower())
    return parse_size(amount) if bits is None else digits * bits // (8 * over)


def format_rate(bytes_per_second: int) -> str:
    """Return the shortest text with ``/s`` that :func:`parse_rate` reads as exactly this rate (>= 0)."""
    return f"{format_size(bytes_per_second)}/s"


def parse_seconds(text: str) -> float:
    """Return a time in seconds. Units are ``ms s m h d``; a plain number is seconds.

    Raise ValueError with a sentence for the user.
    """
    parts = _split(text)
    if parts is None:
        raise ValueError(f"{text!r} is not a time; write 500ms, 30s, 2m or 1h")
    digits, over, unit = parts
    scale = _TIME_UNITS.get(unit.lower() or "s")
    if scale is None:
        raise ValueError(f"{text!r} has no unit of time; write ms, s, m, h or d")
    numerator, denominator = scale
    return digits * numerator / (over * denominator)


def format_seconds(seconds: float) -> str:
    """Return a text that :func:`parse_seconds` reads as this time (>= 0), to the nanosecond."""
    if seconds and seconds % 1 == 0:
        whole = int(seconds)
        unit = next(unit for unit, (scale, _) in _TIME_UNITS.items() if whole % scale == 0)
        return f"{whole // _TIME_UNITS[unit][0]}{unit}"
    thousandths = round(seconds * 1000)
    if 0 < thousandths < 1000 and thousandths / 1000 == seconds:
        return f"{thousandths}ms"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def brief_size(size_bytes: float) -> str:
    """Return a rounded size for a table, of three digits and at most six characters: ``19.9MB``."""
    return "".join(_brief(size_bytes))


def spaced_size(size_bytes: float) -> str:
    """Return a rounded size for a page or a sentence, with a no-break space: ``19.9 MB``."""
    return "\N{NO-BREAK SPACE}".join(_brief(size_bytes))


def _brief(size_bytes: float) -> tuple[str, str]:
    """Return a rounded number and its unit."""
    if size_bytes < 999.5:
        return f"{size_bytes:.0f}", "B"
    for scale, unit in _DECIMAL_UNITS:
        number = size_bytes / scale
        if number >= 1000:
            continue
        # Three digits at most. Rounding may add one, so the text decides.
        if number < 10 and len(shown := f"{number:.2f}") == 4:
            return shown, unit
        if number < 100 and len(shown := f"{number:.1f}") == 4:
            return shown, unit
        if len(shown := f"{number:.0f}") <= 3:
            return shown, unit
    return f"{number:.0f}", unit  # thousands of the largest


def chosen_size(size_bytes: int) -> str:
    """Return a configured size for a table: exact, ``64MiB``, in up to six characters, otherwise rounded."""
    exact = format_size(size_bytes)
    return exact if len(exact) <= _BRIEF_CHARACTERS else brief_size(size_bytes)


def brief_rate(bytes_per_second: float) -> str:
    """Return a rounded rate for a table: ``1.25MB/s``."""
    return f"{brief_size(bytes_per_second)}/s"


def spoken_seconds(seconds: float) -> str:
    """Return a time for a sentence: ``1 second``, ``30 seconds``, ``2 minutes``, ``3 hours``."""
    whole = max(0, round(seconds))
    for least, unit, scale in ((7200, "hours", 3600), (120, "minutes", 60)):
        if whole >= least:
            return f"{round(whole / scale)} {unit}"
    return "1 second" if whole == 1 else f"{whole} seconds"


def brief_seconds(seconds: float) -> str:
    """Return a time for a table, of at most six characters: ``40ms``, ``4.2s``, ``3m12s``, ``5h03m``, ``12d04h``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    for unit, part in (("m", "s"), ("h", "m"), ("d", "h")):
        large, small = _TIME_UNITS[unit][0], _TIME_UNITS[part][0]
        count, rest = divmod(whole, large)
        if count < (24 if unit == "h" else 60 if unit == "m" else 100):
            return f"{count}{unit}{rest // small:02}{part}"
    return f"{whole // large}d"
