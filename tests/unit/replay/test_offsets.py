"""rpk's grammar: every point is read back from its own text, everything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.kafka.offsets import (
    LARGEST,
    Place,
    Point,
    before,
    format_time,
    is_empty,
    parse_point,
    parse_range,
    parse_span,
    parse_time,
)

NOW = 1_800_000_000.0
TIMES = st.integers(0, 253_402_300_799_999)
POINTS = st.one_of(
    st.builds(Point, st.sampled_from([Place.START, Place.END, Place.OFFSET]),
              st.integers(0, LARGEST)),
    st.builds(Point, st.just(Place.TIME), TIMES),
)  # fmt: skip


@given(POINTS)
def test_a_point_is_read_back_from_its_text(point: Point) -> None:
    assert parse_point(str(point), NOW) == point


@given(POINTS, POINTS)
def test_a_range_is_read_back_whatever_colons_its_times_have(first: Point, last: Point) -> None:
    assert parse_range(f"{first}:{last}", NOW) == (first, last)


@given(TIMES)
def test_a_time_is_read_back(milliseconds: int) -> None:
    assert parse_time(format_time(milliseconds)) == milliseconds


@given(st.text(max_size=30))
def test_any_text_is_a_point_or_refused(text: str) -> None:
    try:
        point = parse_point(text, NOW)
    except ValueError:
        return
    assert 0 <= point.value <= LARGEST


@pytest.mark.parametrize(
    ("text", "place", "value"),
    [
        ("start", Place.START, 0),
        ("end", Place.END, 0),
        ("47", Place.OFFSET, 47),
        ("+3", Place.START, 3),
        ("-3", Place.END, 3),
        ("@-1h", Place.TIME, 1_799_996_400_000),
        ("@2026-01-01T00:00Z", Place.TIME, 1_767_225_600_000),
        ("@2026-01-01", Place.TIME, 1_767_225_600_000),
        ("@2026-01-01T01:00+01:00", Place.TIME, 1_767_225_600_000),
        ("@1767225600000", Place.TIME, 1_767_225_600_000),
        ("@1767225600", Place.TIME, 1_767_225_600_000),
    ],
)
def test_what_rpk_documents(text: str, place: Place, value: int) -> None:
    assert parse_point(text, NOW) == Point(place, value)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("@-1h:end", Point(Place.TIME, 1_799_996_400_000), Point(Place.END)),
        (":", Point(Place.START), Point(Place.END)),
        (":47", Point(Place.START), Point(Place.OFFSET, 47)),
        ("47", Point(Place.OFFSET, 47), Point(Place.END)),
        ("@2026-01-01T00:00Z:+2", Point(Place.TIME, 1_767_225_600_000), Point(Place.START, 2)),
    ],
)
def test_ranges(text: str, first: Point, last: Point) -> None:
    assert parse_range(text, NOW) == (first, last)


@pytest.mark.parametrize(
    ("text", "empty"),
    [
        ("5:3", True),
        ("5:5", True),
        ("3:5", False),
        ("-3:-5", True),
        ("-5:-3", False),
        ("+2:+1", True),
        ("end:", True),
        (":", False),
        ("5:+3", False),
        ("end:start", False),
        ("@2026-01-02T00:00Z:@2026-01-01T00:00Z", True),
    ],
)
def test_a_range_is_empty_in_any_log(text: str, empty: bool) -> None:
    assert is_empty(*parse_range(text, NOW)) is empty


@pytest.mark.parametrize(
    "text", ["", "begin", "@", "@-", "@-1", "1.5", "--3", "+", "@1969-12-31", "9" * 20, "1:2", "٣"]
)
def test_what_is_no_point(text: str) -> None:
    with pytest.raises(ValueError):
        parse_point(text, NOW)


def test_durations_in_both_spellings() -> None:
    assert parse_span("1h30m") == parse_span("PT1H30M") == 5400
    assert parse_span("P1DT0.5S") == 86400.5
    for text in ("P", "PT", "PT1X", "1", "P200000D"):
        with pytest.raises(ValueError):
            parse_span(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT1S", 1), ("PT2M", 120), ("PT3H", 10800), ("P1D", 86400), ("P1DT2H3M4.5S", 93784.5),
     ("P36525D", 36525 * 86400)],
)  # fmt: skip
def test_each_part_of_a_duration_counts(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["P36525DT1S", "P36526D"])
def test_a_century_is_the_longest(text: str) -> None:
    with pytest.raises(ValueError, match="longer than a century"):
        parse_span(text)


def test_the_largest_offset_is_the_last() -> None:
    assert parse_point(str(LARGEST), NOW) == Point(Place.OFFSET, 2**63 - 1)
    with pytest.raises(ValueError):
        parse_point(str(LARGEST + 1), NOW)


def test_the_epoch_is_the_earliest_time() -> None:
    assert parse_time("1970-01-01") == 0
    assert parse_time("1970-01-01T00:00:00.001") == 1
    for text in ("1969-12-31T23:59:59.999", "1969-12-31"):
        with pytest.raises(ValueError, match="before 1970"):
            parse_time(text)
    assert before(10, 9.9994) == 1
    assert before(10, 10) == before(10, 11) == 0
