"""Whether an array of a sample is a record whose values go by their position, as a candle is: time,
open, high, low, close. Called by `several` and `columns`.
"""

from __future__ import annotations

from nrtctl.pipeline.infer.looks import NUMBER, integers
from nrtctl.pipeline.infer.seen import ARRAY, FLOAT, INTEGER, STRING, Seen

YEAR_2010, YEAR_2040 = 1_262_304_000, 2_208_988_800
FEWEST = 3
"""Arrays of one length, where nothing but the kinds of their values says that they are records."""

_NUMBERS = frozenset({INTEGER, FLOAT})


def of_positions(seen: Seen) -> bool:
    """Args: seen: a place that holds arrays only."""
    if seen.kinds.keys() != {ARRAY} or not seen.positions or len(seen.positions) < 2:
        return False
    first, *others = seen.positions
    if any(not each.kinds or not _of_one_kind(each) for each in seen.positions):
        return False
    if is_moment(first) and (first.strings or all(map(_is_number, others))):
        return True
    kinds = {_kind(each) for each in seen.positions}
    return len(kinds) > 1 and seen.kinds[ARRAY] >= FEWEST


def is_moment(seen: Seen) -> bool:
    """Whether these numbers, or at least 13 digits in strings, are times since 1970, by their
    size."""
    if not seen.kinds or seen.nulls:
        return False
    if seen.kinds.keys() == {STRING}:
        values: list[float] = [*(integers(seen.strings) or ())]
        factors: tuple[int, ...] = (10**3, 10**6, 10**9)
    elif seen.kinds.keys() <= _NUMBERS:
        values = [*map(float, seen.reals), *seen.integers]
        factors = (1,) if seen.reals else (1, 10**3, 10**6, 10**9)
    else:
        return False
    if not values:
        return False
    return any(YEAR_2010 * by <= min(values) <= max(values) < YEAR_2040 * by for by in factors)


def _of_one_kind(seen: Seen) -> bool:
    return len(seen.kinds) == 1 or seen.kinds.keys() <= _NUMBERS


def _kind(seen: Seen) -> str:
    return FLOAT if seen.kinds.keys() <= _NUMBERS else next(iter(seen.kinds))


def _is_number(seen: Seen) -> bool:
    if seen.kinds.keys() <= _NUMBERS:
        return True
    known = ("NaN", "+Inf", "-Inf", "Inf")
    return seen.kinds.keys() == {STRING} and all(
        NUMBER.fullmatch(text) or text in known for text in seen.strings
    )
