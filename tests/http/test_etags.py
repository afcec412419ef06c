"""Entity tags: RFC 9110 section 8.8.3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freight.http import etags

opaque = st.text(st.sampled_from([*map(chr, range(0x23, 0x7F)), "!", "\x80", "\xff"]), max_size=6)
tags = st.builds(lambda weak, text: f'{weak}"{text}"', st.sampled_from(["", "W/"]), opaque)


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
        ('"1"', '"2"', False, False),
    ],
)
def test_comparison_is_the_table_of_section_8_8_3_2(one: str, other: str, strong: bool, weak: bool) -> None:
    for left, right in ((one, other), (other, one)):
        assert etags.match_strong(left, right) is strong
        assert etags.match_weak(left, right) is weak


@pytest.mark.parametrize(
    ("value", "listed"),
    [
        ('"a"', ('"a"',)),
        ('"a", W/"b","c"', ('"a"', 'W/"b"', '"c"')),
        ('"a,b", "c"', ('"a,b"', '"c"')),
        ('""', ('""',)),
        (' ,, "a"\t,, ,"b", ', ('"a"', '"b"')),
        ('"\xe9"', ('"\xe9"',)),
        ("", ()),
        (", ,", ()),
        ("a", ()),
        ('"a', ()),
        ('a"', ()),
        ('w/"a"', ()),
        ('W/ "a"', ()),
        ('"a" "b"', ()),
        ('"a""b"', ()),
        ('"a b"', ()),
        ('"a", *', ()),
        ("*", ()),
        ('"a", junk', ()),
    ],
)
def test_lists_keep_commas_in_quotes_and_one_malformed_element_empties_them(
    value: str, listed: tuple[str, ...]
) -> None:
    assert etags.parse_list(value) == listed


@given(st.lists(tags, min_size=1), st.sampled_from([",", ", ", " ,\t", ",, "]))
def test_a_written_list_parses_back(listed: list[str], comma: str) -> None:
    assert etags.parse_list(comma.join(listed)) == tuple(listed)


@pytest.mark.parametrize("value", [" " * 200_000 + "x", "," * 200_000 + "x", '"a",' * 50_000 + "x", '"' * 200_000])
def test_a_hostile_value_is_parsed_in_linear_time(value: str) -> None:
    """With quadratic time this test would not end."""
    assert etags.parse_list(value) == ()


@given(st.text())
def test_no_value_raises(value: str) -> None:
    assert all(etags.is_tag(tag) for tag in etags.parse_list(value))


@given(*[st.integers(0, 2**63)] * 2, *[st.integers(-(2**63), 2**63)] * 2)
def test_tags_are_equal_exactly_when_size_and_time_are(size: int, other_size: int, time: int, other_time: int) -> None:
    one, other = etags.strong(size, time), etags.strong(other_size, other_time)
    assert etags.is_tag(one)
    assert etags.match_strong(one, other) is ((size, time) == (other_size, other_time))
    assert etags.match_strong(one, etags.strong(size, time))


def test_the_representations_of_one_resource_have_different_tags() -> None:
    assert len({etags.strong(1, 2, variant) for variant in range(3)}) == 3


def test_a_change_time_is_a_part_of_the_tag_of_its_own() -> None:
    """Zero is a time too, as on a read-only file system where all times are 1970."""
    tags = {etags.strong(1, 2, variant, ctime_ns) for variant in (0, 3) for ctime_ns in (None, 0, 1, 3, -1)}
    assert len(tags) == 10 and all(etags.is_tag(tag) for tag in tags)
