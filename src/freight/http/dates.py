"""HTTP dates (RFC 9110 section 5.6.7): parse the three formats, write one. Times are seconds since the epoch, in UTC.

Dates are case-sensitive. The day name must be valid but is not compared with the date, because section 5.6.7 asks
recipients to be robust.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = f"(?:{'|'.join(_DAYS)})"
_LONG_DAY = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_IMF_FIXDATE = re.compile(f"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT")
_RFC850 = re.compile(f"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT")
_ASCTIME = re.compile(f"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})")

_SECONDS_A_DAY = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EARLIEST = (date.min.toordinal() - _EPOCH_DAY) * _SECONDS_A_DAY
_LATEST = (date.max.toordinal() + 1 - _EPOCH_DAY) * _SECONDS_A_DAY - 1


def parse(text: str, now: float) -> int | None:
    """Return the seconds since the epoch of an HTTP-date, or None. ``now`` resolves two-digit years."""
    found = _IMF_FIXDATE.fullmatch(text) or _RFC850.fullmatch(text) or _ASCTIME.fullmatch(text)
    if found is None:
        return None
    month, day = _MONTHS.index(found["month"]) + 1, int(found["day"])
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    # The grammar allows 60, a leap second.
    if hour > 23 or minute > 59 or second > 60:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        year = _full_year(year, (month, day, hour, minute, second), now)
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    return days * _SECONDS_A_DAY + hour * 3600 + minute * 60 + second


@lru_cache(maxsize=64)
def format(seconds: int) -> str:
    """Return the IMF-fixdate of a time in seconds since the epoch, in English in every locale.

    A time outside the years 1 to 9999 becomes the nearest one inside.
    """
    days, rest = divmod(min(max(seconds, _EARLIEST), _LATEST), _SECONDS_A_DAY)
    on = date.fromordinal(days + _EPOCH_DAY)
    hour, rest = divmod(rest, 3600)
    minute, second = divmod(rest, 60)
    return (
        f"{_DAYS[on.weekday()]}, {on.day:02} {_MONTHS[on.month - 1]} {on.year:04} {hour:02}:{minute:02}:{second:02} GMT"
    )


def _full_year(digits: int, within: tuple[int, int, int, int, int], now: float) -> int:
    """Return the latest year with these two digits for which the date is at most 50 years after ``now``."""
    days, rest = divmod(min(max(int(now), _EARLIEST), _LATEST), _SECONDS_A_DAY)
    today = date.fromordinal(days + _EPOCH_DAY)
    limit = (today.year + 50, today.month, today.day, rest // 3600, rest % 3600 // 60, rest % 60)
    year = limit[0] - limit[0] % 100 + digits
    return year if (year, *within) <= limit else year - 100
