"""Sizes, rates and times: what is accepted, and that a written value is read as the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.units import (
    brief_rate,
    brief_seconds,
    brief_size,
    chosen_size,
    format_rate,
    format_seconds,
    format_size,
    parse_rate,
    parse_seconds,
    parse_size,
    spaced_size,
)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("1kB", 1000),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("20MB", 20_000_000),
        ("20mb", 20_000_000),
        ("64MiB", 64 * 2**20),
        ("64 MiB", 64 * 2**20),
        (" 64MiB\n", 64 * 2**20),
        ("10GB", 10**10),
        ("4GiB", 4 * 2**30),
        ("1.5GiB", 3 * 2**29),
        ("1.1KiB", 1126),
        ("2TB", 2 * 10**12),
        ("1TiB", 2**40),
        ("3PB", 3 * 10**15),
        ("1PiB", 2**50),
    ],
)
def test_a_size_is_read_as_bytes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MB",
        "-1",
        "-5MB",
        "+5MB",
        "1e6",
        "1,5GB",
        "1.GB",
        ".5GB",
        "0x10",
        "5XB",
        "5iB",
        "5 M B",
        "٣MB",
        "inf",
        "9" * 19,
    ],
)
def test_any_other_text_is_not_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["512k", "64M", "1G", "2t"])
def test_a_size_that_could_mean_1000_or_1024_is_an_error_that_names_both_units(text: str) -> None:
    with pytest.raises(ValueError, match=r"write .B for powers of 1000, .iB for 1024"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0B"), (1, "1B"), (1001, "1001B"), (1000, "1kB"), (1024, "1KiB"), (67_108_864, "64MiB"), (10**10, "10GB")],
)
def test_a_size_is_written_with_the_unit_that_makes_it_shortest(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@given(st.integers(0, 10**17) | st.integers(0, 60).map(lambda power: 2**power % 10**18))
def test_a_written_size_is_read_as_the_same_bytes(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("0", 0),
        ("512", 512),
        ("512/s", 512),
        ("1KiB/s", 1024),
        ("10MB/s", 10**7),
        ("10MB", 10**7),
        ("10mb/S", 10**7),
        (" 10 MB /s\n", 10**7),
        ("1.5GiB/s", 3 * 2**29),
        ("1Gbit/s", 125_000_000),
        ("100 Mbit", 12_500_000),
        ("2.5gbit/S", 312_500_000),
        ("9bit/s", 1),
        ("7bit/s", 0),
    ],
)
def test_a_rate_is_a_size_or_bits_with_or_without_per_second(text: str, bytes_per_second: int) -> None:
    assert parse_rate(text) == bytes_per_second


@pytest.mark.parametrize(
    "text", ["", "/s", "MB/s", "-1/s", "10MB/m", "10MB/s/s", "10MBps", "10Mibit/s", "10Mbits", "inf", "5/"]
)
def test_any_other_text_is_not_a_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a rate|has no unit of size"):
        parse_rate(text)


def test_a_rate_that_could_mean_1000_or_1024_is_an_error_that_names_both_units() -> None:
    with pytest.raises(ValueError, match="write MB for powers of 1000, MiB for 1024"):
        parse_rate("10M/s")


@given(st.integers(0, 10**17) | st.integers(0, 60).map(lambda power: 2**power % 10**18))
def test_a_written_rate_is_read_as_the_same_bytes_per_second(bytes_per_second: int) -> None:
    text = format_rate(bytes_per_second)
    assert text.endswith("/s")
    assert parse_rate(text) == bytes_per_second


@given(st.integers(0, 10**12), st.sampled_from(["k", "M", "G", "T"]))
def test_eight_bits_are_a_byte(count: int, prefix: str) -> None:
    assert parse_rate(f"{8 * count}{prefix}bit/s") == parse_rate(f"{count}{prefix}B/s")


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0B"), (999, "999B"), (999.6, "1.00kB"), (1234, "1.23kB"), (99_950, "100kB"), (19_900_000, "19.9MB")],
)
def test_a_size_in_a_table_has_three_digits(size_bytes: float, text: str) -> None:
    assert brief_size(size_bytes) == text


@pytest.mark.parametrize(("size_bytes", "text"), [(0, "0\xa0B"), (10**9, "1.00\xa0GB"), (2**63 - 1, "9223\xa0PB")])
def test_a_size_on_a_page_is_not_broken_from_its_unit(size_bytes: int, text: str) -> None:
    assert spaced_size(size_bytes) == text


@pytest.mark.parametrize(("size_bytes", "text"), [(64 << 20, "64MiB"), (20_000_000, "20MB"), (19_850_123, "19.9MB")])
def test_a_configured_size_is_exact_if_that_is_short(size_bytes: int, text: str) -> None:
    assert chosen_size(size_bytes) == text


@given(st.floats(0, 9.99e17))
def test_a_size_in_a_table_is_short_and_correct_to_half_of_its_last_digit(size_bytes: float) -> None:
    text = brief_size(size_bytes)
    assert len(text) <= 6
    assert parse_size(text) == pytest.approx(size_bytes, rel=0.0051, abs=0.5)
    assert brief_rate(size_bytes) == f"{text}/s"


@given(st.floats(0, 99 * 86_400))
def test_a_time_in_a_table_is_short_and_less_than_one_unit_off(seconds: float) -> None:
    text = brief_seconds(seconds)
    assert len(text) <= 6
    parts = re.findall(r"[0-9.]+[a-z]+", text)
    assert "".join(parts) == text
    smallest = parse_seconds("1" + parts[-1].lstrip("0123456789."))
    assert sum(map(parse_seconds, parts)) == pytest.approx(seconds, abs=smallest)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "40ms"), (4.25, "4.2s"), (59.7, "1m00s"), (192, "3m12s"), (18_180, "5h03m"), (90_000, "1d01h")],
)
def test_a_time_in_a_table_has_at_most_two_units(seconds: float, text: str) -> None:
    assert brief_seconds(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("30", 30.0),
        ("30s", 30.0),
        ("30 S", 30.0),
        ("1.5s", 1.5),
        ("500ms", 0.5),
        ("100ms", 0.1),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        ("1d", 86_400.0),
    ],
)
def test_a_time_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-3s", "3x", "1h30m", "1e3s", "inf", "nan", "3MB", "1:30"])
def test_any_other_text_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "500ms"), (1, "1s"), (1.5, "1.5s"), (90, "90s"), (120, "2m"), (5400, "90m"), (3600, "1h")],
)
def test_a_time_is_written_with_the_unit_that_makes_it_shortest(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@given(st.integers(0, 10**15))
def test_a_written_time_is_read_as_the_same_to_the_nanosecond(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9
    assert parse_seconds(format_seconds(seconds)) == seconds
