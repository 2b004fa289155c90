"""The texts of deduplication tokens. They are those of the versions before: an insert of theirs
that is repeated after an upgrade is dropped only under the same token."""

from __future__ import annotations

from nrtctl.store.intents import OffsetRange
from nrtctl.store.tokens import BatchTokens, LetterTokens, RepairTokens, of_incarnation, topic_of

SPAN = OffsetRange(10, 15)
OFFSETS = [10, 11, 13]


def test_a_batch() -> None:
    tokens = BatchTokens("t", 3, "a1", SPAN)
    assert tokens.insert(SPAN, OFFSETS, -1) == "t/3/a1/10-15"
    assert tokens.insert(SPAN, OFFSETS, 0) == "t/3/a1/10-15"
    assert tokens.insert(SPAN, OFFSETS, 1) == "t/3/a1/10-15/r1"
    assert tokens.insert(OffsetRange(10, 12), [10, 11], 0) == "t/3/a1/10-15/10-12"
    assert tokens.insert(OffsetRange(10, 12), [10, 11], 2) == "t/3/a1/10-15/10-12/r2"
    assert tokens.letters([10], 0) == "t/3/a1/10-15/10/dead"
    assert tokens.letters([10], 2) == "t/3/a1/10-15/10/r2/dead"


def test_what_the_sql_throws_on() -> None:
    """The rest of a batch has a token of its own, and so have its dead letters."""
    tokens = BatchTokens("t", 3, "a1", SPAN, "0f")
    left, half = tokens.insert(SPAN, [10, 13], 0, [11]), OffsetRange(10, 12)
    assert left == "t/3/a1/10-15/without-d9614b235de46ab6"
    assert tokens.insert(SPAN, [10, 13], 1, [11]) == f"{left}/r1"
    assert tokens.insert(half, [10], 0, [11]) == left.replace("10-15", "10-15/10-12")
    assert tokens.insert(SPAN, [13], 0, [10, 11]) != left
    letters = tokens.letters([10, 11], 0)
    assert letters == "t/3/a1/10-15/dead-c1e868fad2ed361e"
    assert tokens.letters([10, 11], 2) == f"{letters}/r2"
    assert tokens.letters([10, 13], 0) != letters


def test_batches_that_share_an_insert() -> None:
    """Only the first attempt at the whole goes under the token that they share."""
    first = {BatchTokens("t", n, "a1", SPAN, "0f").insert(SPAN, OFFSETS, 0) for n in range(2)}
    assert first == {"t/~0f"}
    tokens = BatchTokens("t", 0, "a1", SPAN, "0f")
    assert tokens.insert(SPAN, OFFSETS, 1) == "t/0/a1/10-15/r1"
    assert tokens.insert(OffsetRange(10, 12), [10, 11], 0) == "t/0/a1/10-15/10-12"
    assert tokens.letters([10], 0) == "t/0/a1/10-15/10/dead"


def test_a_repair() -> None:
    """The same offsets have the same token, whatever range they are a part of."""
    tokens = RepairTokens("t", 1)
    for part in (OffsetRange(5, 10), OffsetRange(0, 100)):
        assert tokens.insert(part, [5, 6, 9], 0) == "t/1/5-10/repair-b82dc2f50840e91f"
    again = RepairTokens("t#2", 1).insert(OffsetRange(5, 10), [5, 6, 9], 3)
    assert again == "t#2/1/5-10/repair-b82dc2f50840e91f/r3"
    assert tokens.letters([6], 0) == "t/1/6-7/repair-letter-1b3d182df7f1004c"
    assert tokens.letters([6], 2) == "t/1/6-7/repair-letter-1b3d182df7f1004c/r2"
    span = OffsetRange(5, 10)
    others = {
        tokens.insert(span, [5, 7, 9], 0),
        RepairTokens("t", 2).insert(span, [5, 6, 9], 0),
        tokens.insert(span, [5, 6, 9], 1),
    }
    assert len({tokens.insert(span, [5, 6, 9], 0), *others}) == 4


def test_dead_letters_that_are_sent_again() -> None:
    """The same letters have the same token; a letter that came anew has another."""
    stamps = {5: 1700000000123, 9: 1700000000456}
    span = OffsetRange(5, 10)
    tokens = LetterTokens("t", 1, stamps)
    assert tokens.insert(span, [5, 9], 0) == "t/1/dlq/5-10/7c4ee469a2e53194"
    assert tokens.insert(OffsetRange(5, 7), [5], 0) == "t/1/dlq/5-6/183c9b3aaf41e170"
    again = LetterTokens("t#3", 1, stamps).insert(span, [5, 9], 2)
    assert again == "t#3/1/dlq/5-10/7c4ee469a2e53194/r2"
    anew = LetterTokens("t", 1, {**stamps, 9: 1700000000457})
    assert anew.insert(span, [5, 9], 0) != tokens.insert(span, [5, 9], 0)
    assert tokens.letters([5], 0) == "t/1/dlq/5-6/183c9b3aaf41e170/dead"


def test_topics() -> None:
    assert of_incarnation("t", 2) == "t/incarnation/2"
    assert topic_of("t", 1) == "t"
    assert len({topic_of("t", number) for number in range(1, 9)}) == 8
