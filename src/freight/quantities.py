"""Sizes, rates and times as people write them: ``20MB``, ``64MiB``, ``10MB/s``, ``30s``; each way, without loss.

For tables there is a short way to write them too, of three digits.
"""

from __future__ import annotations

import re

_SIZE_UNITS: dict[str, int] = {"B": 1} | {
    letter + suffix: step**power
    for power, letter in enumerate("kMGTP", start=1)
    for suffix, step in (("B", 1000), ("iB", 1024))
}
_SIZE_BY_FOLDED_NAME = {unit.lower(): scale for unit, scale in _SIZE_UNITS.items()}

_BIT_UNITS = {prefix + "bit": 1000**power for power, prefix in enumerate(("", "k", "m", "g", "t"))}

# (numerator, denominator) in seconds: whole numbers, so that 500ms is exactly 0.5 and 100ms exactly the float 0.1.
_TIME_UNITS = {"d": (86_400, 1), "h": (3600, 1), "m": (60, 1), "s": (1, 1), "ms": (1, 1000)}

_BRIEF = 6  # characters, or fewer

# The digits are bounded because they come from command lines and files, and int() takes quadratic time.
_QUANTITY = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))? ?([A-Za-z]*)", re.ASCII)


def _split(text: str) -> tuple[int, int, str] | None:
    """``"1.5GB"`` -> ``(15, 10, "GB")``: digits, the power of ten they are over, unit."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    whole, fraction, unit = match[1], match[2] or "", match[3]
    over: int = 10 ** len(fraction)
    return int(whole + fraction), over, unit


def parse_size(text: str) -> int:
    """Bytes. ``kB MB GB TB PB`` are powers of 1000, ``KiB MiB GiB TiB PiB`` of 1024 (IEC 80000-13), in any case.

    A plain number is bytes; a fraction of a byte is dropped. A bare ``k`` or ``M`` means 1000 to some and 1024 to
    others, so it is refused. Raises ValueError with a sentence for the user.
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
    """The shortest text that :func:`parse_size` reads back as exactly this many bytes (>= 0)."""
    if size_bytes == 0:
        return "0B"
    exact = [(size_bytes // scale, unit) for unit, scale in _SIZE_UNITS.items() if size_bytes % scale == 0]
    count, unit = min(exact)
    return f"{count}{'KiB' if unit == 'kiB' else unit}"


def parse_rate(text: str) -> int:
    """Bytes per second: a size, with or without ``/s``, or bits as networks count them: ``kbit Mbit Gbit Tbit``.

    A fraction of a byte is dropped. Raises ValueError with a sentence for the user.
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
    """The shortest text with ``/s`` that :func:`parse_rate` reads back as exactly this rate (>= 0)."""
    return f"{format_size(bytes_per_second)}/s"


def parse_seconds(text: str) -> float:
    """Seconds. Units ``ms s m h d``; a plain number is seconds. Raises ValueError with a sentence for the user."""
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
    """A text that :func:`parse_seconds` reads back as this time (>= 0), to the nanosecond."""
    if seconds and seconds % 1 == 0:
        whole = int(seconds)
        unit = next(unit for unit, (scale, _) in _TIME_UNITS.items() if whole % scale == 0)
        return f"{whole // _TIME_UNITS[unit][0]}{unit}"
    thousandths = round(seconds * 1000)
    if 0 < thousandths < 1000 and thousandths / 1000 == seconds:
        return f"{thousandths}ms"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def brief_size(size_bytes: float) -> str:
    """A size for a table, of three digits and at most six characters, rounded: ``19.9MB``. Not to be read back."""
    if size_bytes < 999.5:
        return f"{size_bytes:.0f}B"
    units = [(scale, unit) for unit, scale in _SIZE_UNITS.items() if not unit.endswith("iB") and scale > 1]
    for scale, unit in units:
        number = size_bytes / scale
        for digits in (2, 1, 0):
            shown = f"{number:.{digits}f}"
            if len(shown.replace(".", "")) <= 3:
                return shown + unit
    return f"{number:.0f}{unit}"  # thousands of the largest


def spaced_size(size_bytes: float) -> str:
    """The same for a page or a sentence, with a no-break space: ``19.9 MB``."""
    brief = brief_size(size_bytes)
    number = brief.rstrip("kMGTPB")
    return f"{number}\N{NO-BREAK SPACE}{brief[len(number) :]}"


def chosen_size(size_bytes: int) -> str:
    """A size for a table that somebody has chosen: as it was, ``64MiB``, where that is short."""
    exact = format_size(size_bytes)
    return exact if len(exact) <= _BRIEF else brief_size(size_bytes)


def brief_rate(bytes_per_second: float) -> str:
    """A rate for a table: ``1.25MB/s``."""
    return f"{brief_size(bytes_per_second)}/s"


def spoken_seconds(seconds: float) -> str:
    """Return a time as people say it, to the second: ``1 second``, ``30 seconds``; ``2 minutes``, ``3 hours``."""
    whole = max(0, round(seconds))
    for least, unit, scale in ((7200, "hours", 3600), (120, "minutes", 60)):
        if whole >= least:
            return f"{round(whole / scale)} {unit}"
    return "1 second" if whole == 1 else f"{whole} seconds"


def brief_seconds(seconds: float) -> str:
    """A time for a table, of at most six characters: ``40ms``, ``4.2s``, ``3m12s``, ``5h03m``, ``12d04h``."""
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
