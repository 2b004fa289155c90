"""`up` on tables that are there: what is applied, what is refused, and that no row is touched."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import SystemClock
from nrtctl.config.servers import ClickHouse
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.schema.apply import apply
from nrtctl.schema.building import build_the_rest, wait_until_built
from nrtctl.schema.ddl import feeding_views, needed
from nrtctl.schema.drift import lost
from nrtctl.schema.steps import mark_of
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.pipeline_engine import REFERENCE, Engine, events
from tests.plugins.stopping import Stopped, Stopping

VIEWS = {"events_landing_view", "events_accepted"}
READ = {"dead_letters_log", "by_kind", "by_id"}
TRIAL = re.compile("events_trial_[0-9a-f]{8}")
"""What an interruption may leave; the next `up` drops it when it is a minute old."""


def changed(actions: dict[str, str]) -> set[str]:
    return {name for name, action in actions.items() if action != "kept"}


def fields(**more: str) -> dict[str, str]:
    return {**REFERENCE["fields"], **more}


@pytest.fixture
def filled(engine: Engine) -> Engine:
    return fill(engine)


@pytest.fixture(scope="module")
def untouched(one_engine: Engine) -> Engine:
    """For tests in which nothing is changed."""
    return fill(one_engine)


def fill(engine: Engine) -> Engine:
    """The reference, with ids 0 to 9 stored and one dead letter."""
    actions = engine.up(**REFERENCE)
    assert set(actions.values()) == {"made"}
    engine.send(*events([*range(10), 2000]))
    assert engine.rejected() == {10: ("too large", "")}
    return engine


def test_the_same_again_is_no_work(filled: Engine) -> None:
    assert changed(filled.up(**REFERENCE)) == set()


def test_a_new_field(filled: Engine) -> None:
    new = {**REFERENCE, "fields": fields(note="Nullable(String)", n="Int8")}
    actions = filled.up(**new)
    assert actions["events"] == "changed: + note, n"
    assert changed(actions) == {"events", "events_parsed", *VIEWS}
    assert changed(filled.up(**new)) == set()
    at = filled.send(b'{"id":1,"kind":"k","ms":1,"note":"x","n":7}', *events([3]))
    assert filled.rejected()[at + 1] == ("field missing", "n")
    rows = filled.stored("note", "n")
    assert rows.pop(at) == ("x", 7)
    assert set(rows.values()) == {(None, 0)}
    assert len(rows) == 10


def test_a_new_column_is_computed_for_the_rows_from_before_too(filled: Engine) -> None:
    columns = {"at": REFERENCE["columns"]["at"], "twice": "id * 2", "more": "twice + 1"}
    new = {**REFERENCE, "columns": columns}
    assert changed(filled.up(**new)) == {"events", "events_landing_view", "events_accepted"}
    assert changed(filled.up(**new)) == set()
    at = filled.send(*events([50]))
    rows = filled.stored("id", "twice", "more")
    assert len(rows) == 11
    assert rows[at] == (50, 100, 101)
    assert all(row == (row[0], row[0] * 2, row[0] * 2 + 1) for row in rows.values())
    filled.query("SELECT 1 FROM {db}.events LIMIT 1")
    filled.client.command(f"OPTIMIZE TABLE {filled.database}.events FINAL")
    assert filled.stored("id", "twice", "more") == rows


def test_a_new_column_over_the_message_itself(filled: Engine) -> None:
    """The rows from before have no message any more: they get the type's default."""
    new = {**REFERENCE, "columns": {**REFERENCE["columns"], "size": "length(_value)"}}
    filled.up(**new)
    at = filled.send(*events([50]))
    rows = filled.stored("size")
    assert rows.pop(at) == (len(events([50])[0]),)
    assert set(rows.values()) <= {(None,), (0,)}


def test_a_new_rule_and_a_changed_one(filled: Engine) -> None:
    new = {**REFERENCE, "rejects": {"too large": "id > 100", "odd kind": "kind = 'k1'"}}
    assert changed(filled.up(**new)) == {"events_landing_view"}
    at = filled.send(*events([500, 1, 3]))
    assert filled.rejected() == {
        10: ("too large", ""), at: ("too large", ""), at + 1: ("odd kind", ""),
    }  # fmt: skip
    assert len(filled.stored()) == 11


def test_a_removed_rule(filled: Engine) -> None:
    assert changed(filled.up(**{**REFERENCE, "rejects": {}})) == {"events_landing_view"}
    at = filled.send(*events([2000]))
    assert at in filled.stored()
    assert filled.rejected() == {10: ("too large", "")}


def test_removed_fields_and_columns_keep_their_data(filled: Engine) -> None:
    less = {
        **REFERENCE, "fields": {"id": "UInt32", "ms": "Int64"}, "rollups": {}, "columns": {},
        "order_by": REFERENCE["order_by"],
    }  # fmt: skip
    with pytest.raises(ValueError, match="neither a field nor a column"):
        filled.up(**less)
    filled.up(**{**REFERENCE, "fields": fields(note="Nullable(String)")})
    filled.send(b'{"id":1,"kind":"k","ms":1,"note":"x"}')
    actions = filled.up(**REFERENCE)
    assert actions["events"] == "kept, with note, though not in the pipeline"
    assert changed(actions) == {"events", *VIEWS}
    at = filled.send(b'{"id":1,"kind":"k","ms":1,"note":"y"}')
    rows = filled.stored("note")
    assert rows[at] == (None,)
    assert rows[at - 1] == ("x",)


def test_a_new_rollup_covers_the_rows_from_before(filled: Engine) -> None:
    by_id = {"by": {"id": "id"}, "values": {"n": "count()"}}
    new = {**REFERENCE, "rollups": {**REFERENCE["rollups"], "by_id": by_id}}
    actions = filled.steps(Pipeline(**new))
    assert {(s.kind, s.name, s.action) for s in actions if s.action != "kept"} == {
        ("projection", "by_id", "made"), ("view", "by_id", "made"),
    }  # fmt: skip
    filled.send(*events([9]))
    assert dict(filled.query("SELECT id, n FROM {db}.by_id")) == {**dict.fromkeys(range(9), 1),
                                                                  9: 2}  # fmt: skip
    assert changed(filled.up(**new)) == set()


def test_a_changed_rollup(filled: Engine) -> None:
    by_kind = {"by": {"kind": "kind"}, "values": {"n": "count()", "smallest": "min(id)"}}
    new = {**REFERENCE, "rollups": {"by_kind": by_kind}}
    assert changed(filled.up(**new)) == {"by_kind"}
    assert sorted(filled.query("SELECT kind, n, smallest FROM {db}.by_kind")) == [
        ("k0", 4, 0), ("k1", 3, 1), ("k2", 3, 2),
    ]  # fmt: skip
    projections = (
        "SELECT query FROM system.projections WHERE database = '{db}' AND name = 'by_kind'"
    )
    assert "min(id)" in filled.value(projections)
    assert changed(filled.up(**new)) == set()


def test_a_removed_rollup_goes_and_comes_back(filled: Engine) -> None:
    """A projection and a view that `up` did not make stay."""
    database = filled.database
    filled.client.command(
        f"ALTER TABLE {database}.events ADD PROJECTION mine (SELECT kind, sum(ms) GROUP BY kind)"
    )
    filled.client.command(f"CREATE VIEW {database}.seen AS SELECT max(ms) FROM {database}.events")
    actions = filled.up(**{**REFERENCE, "rollups": {}})
    assert actions["by_kind"] == "dropped, as it is no longer in the pipeline"
    assert actions["mine"] == "kept, though not in the pipeline"
    there = "SELECT count() FROM system.{} WHERE database = '{{db}}' AND name = '{}'"
    assert filled.value(there.format("tables", "by_kind")) == 0
    assert filled.value(there.format("projections", "by_kind")) == 0
    assert filled.value(there.format("projections", "mine")) == 1
    assert filled.value(there.format("tables", "seen")) == 1
    filled.send(*events([11]))
    assert filled.up(**REFERENCE)["by_kind"] == "made"
    wait_until_built(
        lambda: build_the_rest(filled.client, database, "events"), lambda _: None, SystemClock()
    )
    assert filled.value("SELECT sum(n) FROM {db}.by_kind") == 11
    assert changed(filled.up(**REFERENCE)) == {"mine"}


def test_another_order_of_the_same_fields(filled: Engine) -> None:
    new = {**REFERENCE, "fields": dict(reversed(REFERENCE["fields"].items()))}
    assert changed(filled.up(**new)) == VIEWS
    at = filled.send(*events([50]))
    assert filled.stored("id", "kind", "ms")[at] == (50, "k2", 50000)


def test_a_field_may_have_the_name_of_a_word_of_sql(engine: Engine) -> None:
    engine.up(fields={"null": "String", "select": "UInt8"})
    engine.send(b'{"null":"x","select":1}', b'{"select":1}')
    assert engine.query("SELECT `null`, `select` FROM {db}.events") == [("x", 1)]
    assert engine.rejected() == {1: ("field missing", "null")}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "type of a field": ({"fields": fields(ms="UInt64")}, "type of stored values cannot"),
    "Nullable": ({"fields": fields(ms="Nullable(Int64)")}, "type of stored values cannot"),
    "type of a column": ({"columns": {"at": "toDateTime(1)"}}, "type of stored values cannot"),
    "order_by": ({"order_by": ("at", "kind")}, "cannot be sorted in another way"),
    "no order_by": ({"order_by": ()}, "cannot be sorted in another way"),
    "partition_by": ({"partition_by": "toDate(at)"}, "cannot be partitioned in another way"),
    "unknown type": ({"fields": fields(x="Strin")}, "not a supported type"),
    "unknown column": ({"columns": {"at": "frm(ms)"}}, "pipeline.columns.at: "),
    "rollup over no column": (
        {"rollups": {"r": {"by": {"k": "kind"}, "values": {"n": "sum(no_such)"}}}},
        "pipeline.rollups.r: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_change_changes_nothing(untouched: Engine, name: str) -> None:
    change, words = REFUSED[name]
    snapshot = "SELECT name, create_table_query FROM system.tables WHERE database = '{db}'"
    before = sorted(untouched.query(snapshot))
    # What else could be applied is not applied either.
    rejects = {"new rule": "id = 7"}
    with pytest.raises(ConfigError, match=words):
        untouched.steps(Pipeline(**{**REFERENCE, "rejects": rejects, **change}))
    assert sorted(untouched.query(snapshot)) == before
    assert changed(untouched.up(**REFERENCE)) == set()
    assert len(untouched.stored()) == 10


NEW = {
    **REFERENCE,
    "fields": fields(note="Nullable(String)"),
    "columns": {**REFERENCE["columns"], "twice": "id * 2"},
    "rejects": {"too large": "id > 100"},
    "rollups": {
        "by_kind": {"by": {"kind": "kind"}, "values": {"n": "count()", "t": "sum(twice)"}},
        "by_id": {"by": {"id": "id"}, "values": {"n": "count()"}},
    },
}


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("step", [21, pytest.param(1, marks=pytest.mark.long)])
def test_interrupted_anywhere(make_engine: Callable[[], Engine], back: bool, step: int) -> None:
    """After any statement: the same `up` finishes; or the old pipeline is as it was."""
    after = int(back)
    finished = False
    while not finished:
        engine = make_engine()
        engine.up(**REFERENCE)
        engine.send(*events(range(5)))
        stopping = Stopping(engine.client, after)
        try:
            apply(stopping, Pipeline(**NEW), engine.database)
            finished = True
        except Stopped:
            pass
        engine.send(*events([50]))
        if back:
            engine.up(**REFERENCE)
            assert engine.send(*events([200])) in engine.stored()
        engine.up(**NEW)
        at = engine.send(b'{"id":7,"kind":"k","ms":1,"note":"x"}', *events([200]))
        assert engine.stored("note", "twice")[at] == ("x", 14)
        assert engine.rejected() == {at + 1: ("too large", "")}
        stored = engine.stored("id", "twice")
        assert len(stored) == at + 1
        assert all(twice == 2 * number for number, twice in stored.values())
        assert engine.value("SELECT sum(t) FROM {db}.by_kind") == sum(t for _, t in stored.values())
        tables = {name for (name,) in engine.query("SHOW TABLES FROM {db}")}
        left = tables - set(needed(engine.pipeline, engine.database)) - READ
        assert all(TRIAL.fullmatch(name) for name in left), left
        assert len(left) <= 1
        after += step
    assert changed(engine.up(**NEW)) == set()
    assert after > 10


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.long)])
def test_from_nothing_interrupted_anywhere(make_engine: Callable[[], Engine], step: int) -> None:
    after = 0
    finished = False
    while not finished:
        engine = make_engine()
        try:
            apply(Stopping(engine.client, after), Pipeline(**NEW), engine.database)
            finished = True
        except Stopped:
            pass
        engine.up(**NEW)
        assert engine.fates(*events([1, 200])) == [(1, "k1", 1000, None), "too large:"]
        after += step
    assert after > 8


def test_two_at_once(filled: Engine, clickhouse_front: ClickHouseFront) -> None:
    errors: list[BaseException] = []

    def one() -> None:
        client = ClickHouseClient(
            ClickHouse(), url=clickhouse_front.url, password=clickhouse_front.password
        )
        try:
            apply(client, Pipeline(**NEW), filled.database)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert changed(filled.up(**NEW)) == set()
    at = filled.send(*events([20]))
    assert filled.stored("twice")[at] == (40,)


@pytest.mark.parametrize("rounds", [1, pytest.param(2, marks=pytest.mark.long)])
def test_inserts_during_changes_are_stored_once(
    filled: Engine, clickhouse_front: ClickHouseFront, rounds: int
) -> None:
    """Back and forth between two pipelines while batches arrive: each message has one fate."""
    client = ClickHouseClient(
        ClickHouse(), url=clickhouse_front.url, password=clickhouse_front.password
    )
    sender = Engine(client, filled.database)
    sender.up(**REFERENCE)
    done = threading.Event()
    errors: list[BaseException] = []

    def send() -> None:
        try:
            at = 1000
            while not done.wait(0.05):
                sender.send(*events([1, 200, 3000, 2]), offset=at)
                at += 4
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(rounds):
            filled.up(**NEW)
            filled.up(**REFERENCE)
    finally:
        done.set()
        thread.join()
        client.close()
    assert errors == []
    sent = sender._offset - 1000
    assert sent > 0
    stored, rejected = filled.stored("id"), filled.rejected()
    fates = [(at in stored) + (at in rejected) for at in range(1000, 1000 + sent)]
    assert set(fates) == {1}
    assert all(row != (3000,) for row in stored.values())
    assert all(at in stored for at in range(1000, 1000 + sent, 4))


def test_a_view_of_the_users_own_is_not_replaced_by_a_rollup(engine: Engine) -> None:
    engine.up(**{**REFERENCE, "rollups": {}})
    engine.client.command(f"CREATE VIEW {engine.database}.by_kind AS SELECT 42 AS answer")
    with pytest.raises(ConfigError, match="by_kind exists and was not created by nrtctl"):
        engine.up(**REFERENCE)
    assert engine.value("SELECT answer FROM {db}.by_kind") == 42
    engine.client.command(f"DROP VIEW {engine.database}.by_kind")
    assert engine.up(**REFERENCE)["by_kind"] == "made"
    engine.client.command(f"CREATE TABLE {engine.database}.visits_accepted (x Int8) ENGINE = Log")
    with pytest.raises(ConfigError, match=r"visits_accepted exists .*engine Log"):
        engine.up(**{**REFERENCE, "table": "visits", "rollups": {}})


def test_a_rollup_says_that_it_showed_another_table(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([1]))
    steps = engine.steps(Pipeline(**{**REFERENCE, "table": "visits"}))
    (view,) = [each.action for each in steps if (each.kind, each.name) == ("view", "by_kind")]
    assert view == "changed: it showed events before, and now visits"
    assert engine.value("SELECT count() FROM {db}.by_kind") == 0


def test_dead_letters_stay_in_their_table(engine: Engine) -> None:
    """A view goes on to store where it did, so nobody may look elsewhere."""
    engine.up(**REFERENCE)
    moved = Pipeline(**{**REFERENCE, "dead_letters": "letters"})
    with pytest.raises(
        ConfigError, match=r"events_rejected stores into .*\.dead_letters"
    ) as refused:
        engine.steps(moved)
    assert 'set pipeline.dead_letters = "dead_letters"' in str(refused.value.hint)
    create = f"CREATE TABLE {engine.database}.letters AS {engine.database}.dead_letters"
    engine.client.command(f"{create} ENGINE = MergeTree ORDER BY _offset")
    (loss,) = lost(engine.client, moved, engine.database)
    assert "events_rejected stores into" in loss.what
    assert engine.steps(Pipeline(**{**REFERENCE, "table": "visits", "dead_letters": "letters"}))


def test_two_ups_at_once_leave_no_view_of_one_with_the_mark_of_the_other(engine: Engine) -> None:
    """Else the next `up` would keep it, and nobody would say that it is another configuration's."""
    engine.up(**REFERENCE)
    above = {5: "id > 5", 50: "id > 50"}
    lines = {n: Pipeline(**{**REFERENCE, "rejects": {"large": each}}) for n, each in above.items()}
    apply(Between(engine.client, lambda: engine.steps(lines[50])), lines[5], engine.database)
    view = "events_landing_view"
    comment = "SELECT comment FROM system.tables WHERE database = '{db}' "
    mark = engine.value(f"{comment} AND name = '{view}'")
    views = {n: feeding_views(each, engine.database)[view][1] for n, each in lines.items()}
    engine.send(*events([20]))
    assert mark == mark_of(views[50 if engine.stored() else 5])


class Between:
    """A client that does something else after the first statement that changes a view's query."""

    def __init__(self, client: ClickHouseClient, then: Callable[[], object]) -> None:
        self._client = client
        self._then: Callable[[], object] | None = then

    def query(self, *arguments: Any) -> list[tuple[Any, ...]]:
        return self._client.query(*arguments)

    def command(self, sql: str, *arguments: Any) -> Any:
        answer = self._client.command(sql, *arguments)
        if self._then is not None and "MODIFY QUERY" in sql:
            then, self._then = self._then, None
            then()
        return answer
