"""Durations and sizes, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from nrtctl.config.describe import as_read
from nrtctl.config.units import (
    Duration,
    Size,
    format_duration,
    format_size,
    is_duration,
    is_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1ms", 0.001), ("500ms", 0.5), ("1s", 1), ("1.5s", 1.5), ("1m", 60), ("1h", 3600),
        ("1d", 86400), ("1h30m", 5400), ("1d 2h 3m 4s 5ms", 93784.005), (" 2 s ", 2), ("0s", 0),
        ("36525d", 86400 * 36525),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 weeks", "-1s", "1s2", "x1s", "1,5s", "1e3s", "."]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36525d 1ms", "36526d", "9999999h"])
def test_a_century_is_the_longest(text: str) -> None:
    with pytest.raises(ValueError, match="longer than a century"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("4096", 4096), ("7B", 7), ("1kB", 1000), ("1KB", 1000), ("1MB", 10**6),
        ("1GB", 10**9), ("1TB", 10**12), ("1KiB", 2**10), ("1MiB", 2**20), ("1GiB", 2**30),
        ("1TiB", 2**40), ("1.5GB", 1_500_000_000), ("0.3KiB", 307), (" 64 MiB ", 64 * 2**20),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "1.5", "1.5B", "-1", "1 mib", "1M", "1 MiB 2 KiB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"), (0.0005, "0.5ms"), (0.001, "1ms"), (0.5, "500ms"), (1.5, "1500ms"),
        (0.1, "100ms"), (1.0, "1s"), (59.0, "59s"), (60.0, "1m"), (90.0, "90s"), (3600.0, "1h"),
        (5400.0, "90m"), (86400.0, "1d"), (100 * 86400.0, "100d"), (2e-6, "0.002ms"),
    ],
)  # fmt: skip
def test_durations_are_written_in_the_largest_unit_that_is_exact(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"), (1, "1"), (1000, "1000"), (1023, "1023"), (1024, "1KiB"), (1025, "1025"),
        (2**20, "1MiB"), (3 * 2**19, "1536KiB"), (2**30, "1GiB"), (2**40, "1TiB"),
        (2**50, "1024TiB"),
    ],
)  # fmt: skip
def test_sizes_are_written_in_the_largest_unit_that_is_exact(size: int, text: str) -> None:
    assert format_size(size) == text
    assert parse_size(text) == size


@given(st.integers(0, 2**60))
def test_every_size_is_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 86400 * 36525 * 1000))
def test_every_duration_is_read_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (5, "5 has no unit: write '5s' or '5ms'"),
        (1.5, "1.5 has no unit"),
        (True, "is not a duration"),
        (None, "is not a duration"),
        ([1], "is not a duration"),
        ("5", "'5' is not a duration"),
    ],
)
def test_a_duration_needs_its_unit(value: object, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        TypeAdapter(Duration).validate_python(value)


def test_a_size_may_be_a_number() -> None:
    sizes = TypeAdapter(Size)
    assert sizes.validate_python(4096) == sizes.validate_python("4KiB") == 4096
    with pytest.raises(ValidationError):
        sizes.validate_python(None)


def test_each_is_told_from_the_other() -> None:
    durations, sizes = Duration.__metadata__, Size.__metadata__  # type: ignore[attr-defined]
    assert (is_duration(durations), is_size(durations)) == (True, False)
    assert (is_duration(sizes), is_size(sizes)) == (False, True)
    assert not is_duration(())
    assert not is_size(())


def test_a_duration_is_shown_with_its_unit() -> None:
    assert TypeAdapter(Duration).dump_python(90.0) == "90s"


@pytest.mark.parametrize(
    ("setting", "shown"),
    [
        (("batch.max_bytes", 64 * 2**20), "64MiB"),
        (("batch.max_rows", 2**20), 2**20),
        (("pipeline.topic_config.segment.bytes", 2**20), 2**20),
        (("pipeline.rejects.an own name", "x = 1"), "x = 1"),
    ],
)
def test_a_size_is_shown_with_its_unit(setting: tuple[str, object], shown: object) -> None:
    assert as_read(setting) == (setting[0], shown)
