"""What a failure of ClickHouse means, by its code and, where a code means two things, its text."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import nrtctl
from nrtctl.clickhouse.client import ClickHouseGone
from nrtctl.clickhouse.error_codes import (
    GONE,
    GROUPS,
    KINDS,
    UNKNOWN,
    Cause,
    Failure,
    explain,
    failed,
)
from nrtctl.clickhouse.patience import Patient, meaning
from nrtctl.clickhouse.queries import Rows
from nrtctl.errors import ConfigError, QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.schema.check import pipeline_types

SOURCE = Path(nrtctl.__file__).parent
BUSY = QueryError("Too many simultaneous queries", 202)


def test_a_code_stands_in_one_group() -> None:
    counts = Counter(code for _, codes in GROUPS for code in codes)
    assert [code for code, count in counts.items() if count > 1] == []


def test_every_code_that_is_listed_is_read() -> None:
    for expected, codes in GROUPS:
        for code in codes:
            assert explain(code) == expected
            assert meaning(failed("x", code)) == expected


def test_every_cause_has_a_row() -> None:
    rows = [*(row for row, _ in GROUPS), *(row for _, _, row in KINDS), GONE, UNKNOWN]
    assert {row.cause for row in rows} == set(Cause)
    assert all(row.advice for row in rows)


def test_only_the_table_compares_codes_of_clickhouse() -> None:
    """The command line compares exit codes, and the local stack is a server itself."""
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if not path.is_relative_to(SOURCE / "local")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        and any(
            isinstance(side, ast.Attribute) and side.attr == "code"
            for side in (node.left, *node.comparators)
        )
        and "error" in ast.unparse(node)
    }
    assert found == set()


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (202, "max_concurrent_queries"),
        (252, "parts_to_throw_insert"),
        (241, "max_server_memory_usage"),
        (158, "batch.max_rows"),
        (60, "`nrtctl up`"),
        (452, "profile"),
        (72, None),
        (62, None),
        (36, None),
        (100_000, None),
        (None, None),
    ],
)
def test_a_failed_statement_says_what_mends_it_whosever_it_is(
    code: int | None, hint: str | None
) -> None:
    error = failed("of a statement", code)
    assert (error.hint is None) == (hint is None)
    assert (hint or "") in (error.hint or "")


class Flaky:
    """A server that fails with these, one after the other, and then answers."""

    def __init__(self, *errors: QueryError | ClickHouseGone) -> None:
        self.errors = list(errors)
        self.calls = 0

    def _call(self) -> Any:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return [("x", "String")]

    def query(self, sql: str, parameters: Any = None, settings: Any = None) -> Any:
        return self._call()

    def command(self, sql: str, settings: Any = None) -> Any:
        return self._call()

    def insert(self, table: str, columns: Any, body: Rows, settings: Any) -> Any:
        return self._call()


def patient(storage: Flaky, slept: list[float], **given: Any) -> Patient:
    return Patient(storage, waiting=lambda reason, seconds: None, sleep=slept.append, **given)


def test_a_limit_ends_the_wait_with_the_error() -> None:
    storage, slept = Flaky(*[BUSY] * 100), list[float]()
    with pytest.raises(QueryError) as caught:
        patient(storage, slept, limit=30.0).command("CREATE TABLE t")
    assert caught.value is BUSY
    assert 15 < sum(slept) <= 30
    assert patient(Flaky(*[BUSY] * 5), slept, limit=30.0).query("SELECT 1")


def test_the_time_of_answers_counts_toward_the_limit() -> None:
    storage, slept = Flaky(*[BUSY] * 100), list[float]()
    ticks = iter(range(0, 2000, 12))
    with pytest.raises(QueryError):
        patient(storage, slept, limit=30.0, monotonic=lambda: next(ticks)).command("CREATE TABLE t")
    assert storage.calls == 3


def test_only_the_causes_that_are_named_are_waited_for() -> None:
    slept = list[float]()
    late = QueryError("Distributed DDL task is not finished on 1 of 2 hosts", 159)
    servers = {Cause.REPLICAS}
    assert patient(Flaky(late), slept, causes=servers).query("SELECT 1")
    assert len(slept) == 1
    for other in (ClickHouseGone("away"), BUSY):
        with pytest.raises(type(other)):
            patient(Flaky(other), slept, causes=servers).query("SELECT 1")
    assert len(slept) == 1


def test_who_is_told_to_stop_waits_no_longer() -> None:
    slept = list[float]()
    with pytest.raises(ClickHouseGone):
        patient(
            Flaky(*[ClickHouseGone("away")] * 10), slept, stopped=lambda: len(slept) == 3
        ).command("x")
    assert len(slept) == 3


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BUSY, QueryError),
        (QueryError("Memory limit (total) exceeded", 241), QueryError),
        (QueryError("may only read", 164), QueryError),
        (QueryError("Unknown identifier", 47), ConfigError),
        (QueryError("of a version to come", 100_000), ConfigError),
    ],
)
def test_a_pipeline_is_wrong_only_where_its_sql_is(
    error: QueryError, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        pipeline_types(Flaky(error), Pipeline(fields={"x": "String"}))
    assert type(caught.value) is kind


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
    assert explain(code, message).failure is failure
    assert named in explain(code, message).advice
