"""What a failure of ClickHouse means, by its code and, where a code means two things, its text."""

from __future__ import annotations

from collections import Counter

import pytest

from nrtctl.insert_errors import GROUPS, KINDS, Failure, classify, explain


def test_a_code_stands_in_one_group() -> None:
    counts = Counter(code for codes, _, _ in GROUPS for code in codes)
    assert [code for code, count in counts.items() if count > 1] == []


def test_every_meaning_says_what_ends_it() -> None:
    for _, _, advice in GROUPS:
        assert advice
    for _, _, meaning in KINDS:
        assert meaning.advice


@pytest.mark.parametrize(
    ("code", "message", "failure", "named"),
    [
        (252, "Too many parts (3000 with average size of 1.00 KiB) in table", Failure.WAIT,
         "parts_to_throw_insert"),
        (252, "Too many parts (100001) in all partitions in total in table", Failure.WAIT,
         "max_parts_in_total"),
        (252, "Too many partitions for single INSERT block (more than 100).", Failure.SPLIT,
         "max_partitions_per_insert_block"),
        (241, "Memory limit (total) exceeded: would use 1.00 GiB", Failure.WAIT,
         "max_server_memory_usage"),
        (241, "(total) memory limit exceeded: would use 1.00 GiB", Failure.WAIT,
         "max_server_memory_usage"),
        (241, "Memory limit (for query) exceeded: would use 1.00 GiB", Failure.SPLIT,
         "max_memory_usage"),
        (241, "Query memory limit exceeded: would use 1.00 GiB", Failure.SPLIT,
         "max_memory_usage"),
        (62, "Max query size exceeded: line 1", Failure.STOP, "max_query_size"),
        (62, "Syntax error: failed at position 1", Failure.STOP, "nrtctl up"),
        (201, "Quota for user has been exceeded", Failure.WAIT, "quota"),
        (164, "Cannot execute query in readonly mode", Failure.STOP, "right"),
        (115, "Unknown setting", Failure.STOP, "too old"),
        (60, "Table nrt.events_landing does not exist", Failure.STOP, "nrtctl up"),
        (72, "Cannot parse number", Failure.DATA, "SQL"),
        (100_000, "of a version to come", Failure.WAIT, "not known"),
        (None, "", Failure.WAIT, "not known"),
    ],
)  # fmt: skip
def test_what_a_failure_means(code: int | None, message: str, failure: Failure, named: str) -> None:
    assert classify(code, message) is failure
    assert named in explain(code, message).advice
