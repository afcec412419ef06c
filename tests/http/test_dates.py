"""HTTP dates: RFC 9110 section 5.6.7."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.http import dates

NOW = datetime(2026, 6, 15, 12, 0, 0, tzinfo=UTC).timestamp()
EXAMPLE = 784_111_777


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_the_three_formats_of_the_rfc_are_one_date(text: str) -> None:
    assert dates.parse(text, NOW) == EXAMPLE


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Thu, 29 Feb 2024 00:00:00 GMT", at(2024, 2, 29)),
        ("Wed Nov 16 08:49:37 1994", EXAMPLE + 864_000),
        ("Sat, 31 Dec 2016 23:59:60 GMT", at(2017, 1, 1)),
    ],
)
def test_edges(text: str, seconds: int) -> None:
    assert dates.parse(text, NOW) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "1994-11-06T08:49:37Z",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Xxx, 06 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:00:61 GMT",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 06 08:49:37 94",
        "Sun, 0\u0666 Nov 1994 08:49:37 GMT",
    ],
)
def test_anything_else_is_no_date(text: str) -> None:
    assert dates.parse(text, NOW) is None


@pytest.mark.parametrize(
    ("text", "now", "seconds"),
    [
        ("Monday, 15-Jun-76 12:00:00 GMT", NOW, at(2076, 6, 15, 12)),
        ("Monday, 15-Jun-76 12:00:01 GMT", NOW, at(1976, 6, 15, 12, 0, 1)),
        ("Monday, 16-Jun-76 00:00:00 GMT", NOW, at(1976, 6, 16)),
        ("Monday, 01-Jan-77 00:00:00 GMT", NOW, at(1977, 1, 1)),
        ("Monday, 01-Jan-00 00:00:00 GMT", NOW, at(2000, 1, 1)),
        ("Monday, 29-Feb-00 00:00:00 GMT", NOW, at(2000, 2, 29)),
        ("Monday, 01-Jan-05 00:00:00 GMT", float(at(2099, 1, 1)), at(2105, 1, 1)),
    ],
)
def test_two_digit_years_are_at_most_50_years_ahead(text: str, now: float, seconds: int) -> None:
    assert dates.parse(text, now) == seconds


def test_dates_are_written_as_imf_fixdate() -> None:
    assert dates.format(EXAMPLE) == "Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_written_date_parses_back(when: datetime) -> None:
    seconds = int(when.timestamp() // 1)
    assert dates.parse(dates.format(seconds), NOW) == seconds


@pytest.mark.parametrize("seconds", [-(10**18), 10**18])
def test_a_time_outside_the_range_is_written_as_the_nearest(seconds: int) -> None:
    assert dates.format(seconds) in ("Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT")
