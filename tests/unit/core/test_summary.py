"""What a run of the consumer says it did."""

from __future__ import annotations

from nrtctl.consumer.insert import Stored
from nrtctl.consumer.observer import Summary
from nrtctl.store.batch import Batch
from nrtctl.store.intents import OffsetRange


def batch(partition: int, start: int, end: int) -> Batch:
    offsets = range(start, end)
    return Batch.of_rows(partition, "e", OffsetRange(start, end), offsets, [b"x"] * len(offsets))


def test_what_was_stored_before_is_not_counted_again() -> None:
    """Two runs, the second of which resolves what the first had stored and not committed."""
    first, second = Summary(), Summary()
    first.add([batch(0, 0, 100), batch(1, 0, 50)], Stored(0.1))
    second.add([batch(0, 0, 100)], Stored(0.1, 0, before=100))
    second.add([batch(1, 0, 50)], Stored(0.1, 0, before=20))
    second.add([batch(0, 100, 130)], Stored(0.1))
    second.add([batch(0, 130, 140)], Stored(0.1))
    assert (first.records, first.resolved) == (150, 0)
    assert (second.records, second.resolved) == (70, 120)
    assert second.spans == {0: [OffsetRange(100, 140)]}
