"""Which of many items fail, where only whole groups can be asked. Pure; used by `throwing`.

The groups are as large as the share of failing items so far makes sensible: of `n` items of which
`k` fail, about `k * log2(n / k)` groups are asked while few fail, and no more than `n` and a few
where most do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
E = TypeVar("E")

LIKELY_EMPTY = 0.69
"""The failing items that a group of the best size holds on average: it fails as often as not."""


def failing(
    items: Sequence[T], fails: Callable[[Sequence[T]], E | None], *, likely: bool = False
) -> Iterator[tuple[T, E]]:
    """The items that fail, each asked alone, with what its failure says, as they are found.

    Args:
        fails: why a group fails; None: it does not. A group fails where any item of it does.
        likely: most of them are likely to fail; a mistake costs some groups, nothing else.
    """
    left = deque(items)
    passed = failed = 0
    size = 1 if likely else len(items)
    while left:
        group = [left.popleft() for _ in range(min(size, len(left)))]
        error = fails(group)
        if error is None:
            passed += len(group)
        else:
            place, alone = _first_of(group, error, fails)
            left.extendleft(reversed(group[place + 1 :]))
            passed += place
            if alone is None:  # it fails only beside others, or no more
                passed += 1
            else:
                failed += 1
                yield group[place], alone
        seen = passed + failed
        size = max(1, round(LIKELY_EMPTY * (seen + 1) / failed)) if failed else max(size, seen)


def _first_of(
    group: Sequence[T], error: E, fails: Callable[[Sequence[T]], E | None]
) -> tuple[int, E | None]:
    """Where in a failing group the first failing item is, and why it fails alone."""
    low, high, alone = 0, len(group), error if len(group) == 1 else None
    while high - low > 1:
        middle = (low + high) // 2
        found = fails(group[low:middle])
        if found is None:
            low = middle
        else:
            high, alone = middle, found if middle - low == 1 else None
    return low, fails(group[low:high]) if alone is None else alone
