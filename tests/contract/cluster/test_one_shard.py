"""The pipeline behind Distributed tables: stored once, probed, deleted from and verified through
them. One shard without a replica; what that leaves untested is in docs/clusters.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Event
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseGone, QueryError
from nrtctl.clock import ManualClock
from nrtctl.config.model import Config, Stack
from nrtctl.config.servers import ClickHouse
from nrtctl.dead_letters.purge import purge
from nrtctl.dead_letters.replay import Replay, Report
from nrtctl.dead_letters.selection import Selection
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.replay import into
from nrtctl.schema import cluster, keeping_latest
from nrtctl.schema.apply import make_beside
from nrtctl.schema.cluster_ddl import on_each_server
from nrtctl.schema.drift import differences, lost
from nrtctl.schema.latest import feed_of, state_of
from nrtctl.stats.table_side import TableSide
from nrtctl.store import doubles
from nrtctl.store.batch import Batch
from nrtctl.store.envelope import COLUMNS, row_encoder
from nrtctl.store.filling import filling
from nrtctl.store.incarnations import Incarnations
from nrtctl.store.intents import Incarnation, OffsetRange
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.latest import StateReport
from nrtctl.store.latest import States as CurrentStates
from nrtctl.store.pressure import Pressure
from nrtctl.store.rows import TopicRows
from nrtctl.store.several_rows import rows_in
from nrtctl.store.target import Target, target_of
from nrtctl.store.writer import Writer
from tests.plugins.one_shard import CLUSTER, OneShard
from tests.plugins.pipeline_engine import REFERENCE, events

SYNCED = [
    f"SYSTEM SYNC REPLICA ON CLUSTER 'one' {{db}}.{table}_local LIGHTWEIGHT"
    for table in ("events", "dead_letters")
]


class Shop:
    """A pipeline in a database of its own on the cluster, and a writer of partition 3."""

    def __init__(self, server: OneShard, database: str) -> None:
        self.server = server
        self.config = Config(
            pipeline=Pipeline(**REFERENCE),
            clickhouse=ClickHouse(database=database, cluster=CLUSTER),
            stack=Stack(kind="external"),
        )
        self.database = database

    def up(self, **more: Any) -> dict[str, str]:
        line = Pipeline(**{**REFERENCE, **more})
        steps = cluster.apply(self.server, line, self.database, CLUSTER)
        return {step.name: step.action for step in steps}

    def write(
        self,
        values: Sequence[bytes],
        *,
        mode: Mode = Mode.NEW,
        server: OneShard | None = None,
        first: int = 0,
    ) -> int:
        clock = ManualClock()
        writer = Writer(
            target_of(self.config, Incarnation()),
            server or self.server,
            declare=lambda *_: clock.monotonic(),
            lease=1000,
            clock=clock,
            pressure=Pressure(self.database, ("events",), ManualClock(), cluster=CLUSTER),
            waiting=lambda reason, seconds: None,
        )
        encode = row_encoder(self.config.pipeline.topic, 1, 3)
        offsets = range(first, first + len(values))
        rows = [encode(at, 1, None, value) for at, value in zip(offsets, values, strict=True)]
        span = OffsetRange(offsets.start, offsets.stop)
        return writer.write(Batch.of_rows(3, "e", span, offsets, rows), mode, None, Event())

    def value(self, sql: str) -> Any:
        return self.server.query(sql.replace("{db}", self.database))[0][0]

    def offsets(self) -> list[int]:
        rows = f"SELECT _offset FROM {self.database}.events UNION ALL "
        rows += f"SELECT _offset FROM {self.database}.dead_letters"
        return [row[0] for row in self.server.query(f"SELECT _offset FROM ({rows}) ORDER BY 1")]


class Unanswered(OneShard):
    """The next insert is carried out, and its answer lost."""

    def __init__(self, server: OneShard) -> None:
        self.__dict__ = server.__dict__.copy()
        self.lost = False

    def insert(self, *arguments: Any) -> None:
        super().insert(*arguments)
        if not self.lost:
            self.lost = True
            raise ClickHouseGone("cut before the answer")


class Beside(OneShard):
    """The same server, and a second one, which says `told(sql)` of itself where all are asked."""

    def __init__(self, server: OneShard, told: Callable[[str], list[tuple[Any, ...]]]) -> None:
        self.__dict__ = server.__dict__.copy()
        self._told = told
        self.renamed: Mapping[str, str] = {}

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        rows = super().query(sql, parameters, settings)
        for old, new in self.renamed.items():
            rows = [
                tuple(e.replace(old, new) if isinstance(e, str) else e for e in row) for row in rows
            ]
        return [*rows, *self._told(sql)] if "clusterAllReplicas(" in sql else rows


def _same(rows: list[tuple[Any, ...]], _: str) -> list[tuple[Any, ...]]:
    return rows


@pytest.fixture
def shop(one_shard: OneShard, request: pytest.FixtureRequest) -> Shop:
    made = Shop(one_shard, request.node.name)
    assert set(made.up().values()) == {"made"}
    one_shard.sent.clear()
    return made


VALUES = [*events(range(8)), b"no JSON", *events([2000])]


def test_a_batch_is_stored_behind_the_distributed_tables(shop: Shop) -> None:
    shop.write(VALUES)
    assert shop.offsets() == list(range(10))
    letters = f"SELECT reason, _target FROM {shop.database}.dead_letters ORDER BY reason"
    assert shop.server.query(letters) == [("not JSON", "events"), ("too large", "events")]
    assert shop.value("SELECT count() FROM {db}.events_local") == 8
    assert shop.value("SELECT sum(n) FROM {db}.by_kind") == 8
    assert shop.server.sent == []  # nothing was in doubt, so no replica was waited for
    assert set(shop.up().values()) == {"kept"}


def test_a_repeat_is_dropped_by_its_token_on_the_shard(shop: Shop) -> None:
    shop.write(VALUES, server=Unanswered(shop.server))
    assert shop.offsets() == list(range(10))
    assert shop.server.sent == [sql.format(db=shop.database) for sql in SYNCED]
    shop.write(VALUES, mode=Mode.RESUME)
    assert shop.offsets() == list(range(10))
    # Without the token the same rows come again: it is the token that kept them out.
    landing, body = f"{shop.database}.events_landing", row_encoder("user_events", 1, 3)
    shop.server.insert(
        landing,
        COLUMNS,
        body(0, 1, None, VALUES[0]),
        {"distributed_foreground_insert": 1},
    )
    assert shop.offsets() == [0, *range(10)]


def test_what_is_not_right_is_deleted_on_every_server_and_stored_again(shop: Shop) -> None:
    shop.write(VALUES)
    target = f"{shop.database}.events_local"
    shop.server.command(
        f"ALTER TABLE {target} DELETE WHERE _offset < 4 SETTINGS mutations_sync = 2"
    )
    shop.server.sent.clear()
    shop.write(VALUES, mode=Mode.LOOK)
    assert shop.offsets() == list(range(10))
    told = [sql for sql in shop.server.sent if sql.startswith("ALTER")]
    assert len(told) == 2
    for sql, table in zip(told, ("events", "dead_letters"), strict=True):
        assert sql.startswith(f"ALTER TABLE {shop.database}.{table}_local ON CLUSTER 'one' DELETE")


def test_verify_and_stats_read_through_them(shop: Shop) -> None:
    shop.write(VALUES)
    rows = TopicRows(shop.server, Target.of(shop.config.pipeline, shop.database, 1))
    (found,) = rows.partitions()[3]
    assert (found.stored, found.dead, found.dense, found.doubled) == (8, 2, True, 0)
    look = TableSide(shop.server, shop.config.pipeline, shop.database, cluster=CLUSTER).look(1e9)
    assert (look.stored, look.by_reason) == (8, {"not JSON": 1, "too large": 1})
    assert look.parts.active == 1
    assert look.inserts is not None


def test_a_server_that_is_away_leaves_what_is_stored_to_be_told(shop: Shop) -> None:
    shop.write(VALUES)

    def away(sql: str) -> list[tuple[Any, ...]]:
        raise QueryError("Code: 279. All connection tries failed.", 279)

    server = Beside(shop.server, away)
    look = TableSide(server, shop.config.pipeline, shop.database, cluster=CLUSTER).look(1e9)
    assert (look.stored, look.inserts) == (8, None)


def test_doubled_rows_are_removed_by_their_place(shop: Shop) -> None:
    shop.write(VALUES)
    for table in ("events", "dead_letters"):
        local = f"{shop.database}.{table}_local"
        shop.server.command(
            f"INSERT INTO {local} SELECT * FROM {local} SETTINGS insert_deduplicate = 0"
        )
    assert shop.offsets() == sorted([*range(10), *range(10)])
    rows = rows_in(shop.server, target_of(shop.config, Incarnation()))
    assert doubles.remove(rows, 3, below=10, sleep=time.sleep) == 10
    assert shop.offsets() == list(range(10))
    told = [sql for sql in shop.server.sent if sql.startswith("ALTER")]
    assert all("_local ON CLUSTER 'one' DELETE WHERE" in sql for sql in told)


def test_letters_are_replayed_and_purged(shop: Shop) -> None:
    shop.write(VALUES)
    target = target_of(shop.config, Incarnation())
    work = Replay(
        shop.server,
        shop.config.pipeline,
        Selection(reasons=("not JSON",), incarnation=1),
        filling(target, shop.server, clock=ManualClock(), waiting=print, again=""),
        database=shop.database,
        cluster=CLUSTER,
        committed=None,
        fix='\'{"id":9,"kind":"k","ms":1}\'',
        max_rows=100,
        max_bytes=10**6,
        sleep=time.sleep,
        clock=lambda: 0,
    )
    assert work.run(Report(), execute=True).stored == 1
    assert shop.offsets() == list(range(10))
    purge(shop.server, shop.config.pipeline, shop.database, Selection(), cluster=CLUSTER)
    assert shop.value("SELECT count(value) FROM {db}.dead_letters") == 0
    logged = f"SELECT outcome FROM {shop.database}.dead_letters_log ORDER BY outcome"
    assert shop.server.query(logged) == [("purged",), ("stored",)]


def test_a_pipeline_is_changed_on_every_server(shop: Shop) -> None:
    shop.write(VALUES)
    before = shop.up(columns={**REFERENCE["columns"], "twice": "id * 2"})
    assert before["events_local"] == before["events"] == "changed: + twice"
    assert before["events_local_accepted"] == "changed"
    assert shop.value("SELECT sum(twice) = 2 * sum(id) FROM {db}.events")
    more = {"r": {"by": {"k": "kind"}, "values": {"n": "count()"}}}
    after = shop.up(rejects={"too large": "id > 5"}, rollups=more)
    assert after["events_local"] == "changed: projection r"
    assert (after["events_local_landing_view"], after["r"]) == ("changed", "made")
    assert shop.value("SELECT sum(n) FROM {db}.r") == 8
    assert shop.up(rejects={"too large": "id > 5"}, rollups=more)["r"] == "kept"
    more["r"]["values"]["n"] = "count() * 2"
    assert shop.up(rejects={"too large": "id > 5"}, rollups=more)["r"] == "changed"
    assert shop.value("SELECT sum(n) FROM {db}.r") == 16
    told = [sql for sql in shop.server.sent if sql.startswith(("ALTER", "CREATE"))]
    assert all(" ON CLUSTER 'one'" in sql for sql in told)


def test_a_table_beside_is_made_once_and_goes_as_a_whole(shop: Shop) -> None:
    shop.write(VALUES)
    names = f"SELECT name FROM system.tables WHERE database = '{shop.database}' ORDER BY name"
    before, server, database = shop.server.query(names), shop.server, shop.database
    other = into.pipeline_into(shop.config.pipeline, "others")
    into.refuse_existing(server, other, database, CLUSTER)
    make_beside(server, other, database, CLUSTER)
    server.sent.clear()
    make_beside(server, other, database, CLUSTER)
    assert all(sql.startswith("CREATE") and "IF NOT EXISTS" in sql for sql in server.sent)
    with pytest.raises(ConfigError, match=r"others exists already.*"):
        into.refuse_existing(server, other, database, CLUSTER)

    shop.config = shop.config.model_copy(update={"pipeline": other})
    shop.write(VALUES)
    assert shop.value("SELECT count() FROM {db}.others") == 8
    assert shop.value("SELECT countIf(_target = 'others') FROM {db}.dead_letters") == 2
    assert shop.value("SELECT sum(n) FROM {db}.by_kind") == 8  # still that of the other table

    into.drop(server, other, database, CLUSTER)
    assert server.query(names) == before
    assert all(" ON CLUSTER 'one'" in sql for sql in server.sent if sql.startswith("DROP"))


def test_a_topic_that_was_met_waits_for_no_replica(shop: Shop) -> None:
    topics = Incarnations(shop.server, shop.database, "user_events", cluster=CLUSTER)
    assert topics.register("one") == Incarnation(1, "one")
    synced = f"SYSTEM SYNC REPLICA ON CLUSTER 'one' {shop.database}.nrtctl_incarnations LIGHTWEIGHT"
    assert shop.server.sent[0] == synced
    shop.server.sent.clear()
    assert topics.register("one") == topics.find("one") == Incarnation(1, "one")
    assert shop.server.sent == []
    assert topics.find("two") == Incarnation(2, "two")
    assert shop.server.sent == [synced]


def test_a_server_that_has_joined_is_named_and_holds_up_nobody(shop: Shop) -> None:
    joined = Beside(shop.server, lambda sql: [("b", "", "")] if "system.one" in sql else [])
    line, database = shop.config.pipeline, shop.database
    assert lost(joined, line, database, CLUSTER) == []
    (found,) = differences(joined, line, database, CLUSTER)
    assert found.what == "b has none of the views and stores nothing"


def test_a_view_that_another_server_has_otherwise_is_named_and_changed(shop: Shop) -> None:
    server, line = shop.server, shop.config.pipeline
    view = "events_local_accepted"

    def told(sql: str) -> list[tuple[Any, ...]]:
        if "groupArray" in sql:
            return []
        there = server.query(sql)
        other = [(n, "nrtctl other" if n == view and not any(rest) else what, *rest)
                 for _, n, what, *rest in there]  # fmt: skip
        return [("b", *each) for each in other]

    assert differences(server, line, shop.database, CLUSTER) == []
    stale = Beside(server, told)
    (found,) = differences(stale, line, shop.database, CLUSTER)
    assert f"the views {view} on b belong to another configuration" in found.what
    steps = cluster.apply(stale, line, shop.database, CLUSTER)
    assert [each.name for each in steps if each.action == "changed"] == [view]
    altered = [sql for sql in server.sent if sql.startswith("ALTER")]
    assert altered == [sql for sql in altered if f"{view} ON CLUSTER 'one' MODIFY COMMENT" in sql]
    assert len(altered) == 1


def test_a_server_without_tables_does_not_begin_a_change_of_others(shop: Shop) -> None:
    """It would have the new tables, and the others the old ones, for good."""
    empty = f"{shop.database}_elsewhere"
    for mark in ("nrtctl other", ""):
        there = [("b", "events_local", "", ""), ("b", "events_local_accepted", mark, "")]
        joined = Beside(shop.server, partial(_same, there))
        shop.server.sent.clear()
        with pytest.raises(ConfigError, match="the server that answers has no table events_local"):
            cluster.apply(joined, shop.config.pipeline, empty, CLUSTER)
        assert shop.server.sent == []


def test_tables_of_a_cluster_of_another_name_are_refused(shop: Shop) -> None:
    server = Beside(shop.server, lambda sql: [])
    server.renamed = {f"Distributed('{CLUSTER}'": "Distributed('before'"}
    with pytest.raises(ConfigError, match="is of another cluster than") as refused:
        cluster.apply(server, shop.config.pipeline, shop.database, CLUSTER)
    assert "drop the Distributed tables events, dead_letters, " in str(refused.value.hint)
    assert shop.server.sent == []


def test_a_view_of_the_users_own_is_not_replaced(shop: Shop) -> None:
    shop.server.command(f"CREATE VIEW {shop.database}.mine AS SELECT 42 AS answer")
    shop.server.sent.clear()
    mine = {"mine": {"by": {"k": "kind"}, "values": {"n": "count()"}}}
    with pytest.raises(ConfigError, match="mine exists and was not created by nrtctl"):
        shop.up(rollups={**REFERENCE["rollups"], **mine})
    assert shop.server.sent == []
    assert shop.value("SELECT answer FROM {db}.mine") == 42


def test_the_type_of_stored_values_is_not_changed(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="cannot be changed"):
        shop.up(fields={**REFERENCE["fields"], "id": "Int64"})
    assert shop.server.sent == []


def test_tables_of_a_single_server_are_not_taken_for_those_of_a_cluster(shop: Shop) -> None:
    shop.server.command(
        f"CREATE TABLE {shop.database}.plain (x Int8) ENGINE = MergeTree ORDER BY x"
    )
    with pytest.raises(ConfigError, match="is not a Distributed table"):
        shop.up(table="plain")


NEWEST: Mapping[str, Any] = {
    "latest": {"newest": {"key": "kind", "version": "ms", "deleted": "id = 7"}}
}
"""Of the events in VALUES: 6 of k0, 5 of k2, and k1 is deleted by 7."""


class States(CurrentStates):
    def __init__(self, shop: Shop) -> None:
        self.line = Pipeline(**{**REFERENCE, **NEWEST})
        super().__init__(
            shop.server, self.line, shop.database, sleep=lambda _: None, cluster=CLUSTER
        )
        self.table = f"{shop.database}.{state_of(self.line, 'newest')}"
        behind = on_each_server(self.line, CLUSTER)
        self.behind = f"{shop.database}.{state_of(behind, 'newest')}"

    def report(self) -> StateReport:
        (found,) = self.compare()
        return found


def newest(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.server.query(f"SELECT kind, id, at FROM {shop.database}.newest ORDER BY kind")


def test_a_current_state_is_made_filled_fed_and_dropped_on_every_server(shop: Shop) -> None:
    shop.write(VALUES)
    made = shop.up(**NEWEST)
    assert made["newest"] == "made, filled from 8 rows of events"
    assert [row[:2] for row in newest(shop)] == [("k0", 6), ("k2", 5)]
    states = States(shop)
    assert states.report() == StateReport("newest", 3)
    assert differences(shop.server, states.line, shop.database, CLUSTER) == []
    assert shop.up(**NEWEST)["newest"] == "kept"
    shop.write([b'{"id":1,"kind":"k2","ms":1}', b'{"id":9,"kind":"k1","ms":9000}'], first=10)
    assert [row[:2] for row in newest(shop)] == [("k0", 6), ("k1", 9), ("k2", 5)]
    assert states.report() == StateReport("newest", 3)
    told = [s for s in shop.server.sent if "_latest_newest_" in s and "_trial_" not in s]
    local = states.behind.partition(".")[2]
    path = f"'/clickhouse/tables/{{shard}}/{shop.database}/{local}', '{{replica}}', _order"
    assert any(
        f"ReplicatedReplacingMergeTree({path})" in sql
        and "SETTINGS replicated_deduplication_window = 0" in sql
        for sql in told
    )
    assert all(f" ON CLUSTER '{CLUSTER}'" in sql for sql in told if not sql.startswith("INSERT "))
    shop.server.sent.clear()
    assert shop.up()["newest"] == "dropped, as it is no longer in the pipeline"
    dropped = [sql for sql in shop.server.sent if sql.startswith("DROP ")]
    assert len(dropped) == 4
    assert all(f" ON CLUSTER '{CLUSTER}'" in sql for sql in dropped)
    left = "SELECT name FROM system.tables WHERE database = '{db}' AND position(name, 'newest') > 0"
    assert shop.server.query(left.replace("{db}", shop.database)) == []
    assert shop.value("SELECT count() FROM {db}.events") == 10


def test_a_current_state_that_differs_is_seen_and_mended_on_every_server(shop: Shop) -> None:
    shop.up(**NEWEST)
    shop.write(VALUES)
    states = States(shop)
    before = newest(shop)
    shop.server.command(
        f"INSERT INTO {states.behind} SELECT * REPLACE ('k9' AS kind) FROM {states.behind} LIMIT 1"
    )
    shop.server.command(
        f"ALTER TABLE {states.behind} DELETE WHERE kind = 'k0' SETTINGS mutations_sync = 2"
    )
    shop.server.command(
        f"ALTER TABLE {states.behind} UPDATE id = 77 WHERE kind = 'k2' SETTINGS mutations_sync = 2"
    )
    found = states.report()
    assert (found.wrong, found.missing, found.extra) == (1, 1, 1)
    shop.server.sent.clear()
    assert states.mend("newest") == 3
    assert states.report() == StateReport("newest", 3)
    assert newest(shop) == before
    (deletion,) = [sql for sql in shop.server.sent if " DELETE WHERE " in sql]
    assert deletion.startswith(f"ALTER TABLE {states.behind} ON CLUSTER '{CLUSTER}' DELETE WHERE ")
    synced = [sql for sql in shop.server.sent if sql.startswith("SYSTEM SYNC REPLICA")]
    assert any(states.behind in sql for sql in synced)

    feed = feed_of(states.behind)
    shop.server.command(f"DROP VIEW {feed}")
    shop.write([b'{"id":10,"kind":"k3","ms":1}'], first=10)
    assert "does not receive new rows" in states.report().problem
    assert states.mend("newest") == 0
    assert shop.up(**NEWEST)["newest"] == "kept, filled from 9 rows of events"
    assert ("k3", 10) in [row[:2] for row in newest(shop)]
    assert states.report() == StateReport("newest", 4)


def test_a_server_that_has_lost_what_feeds_a_state_is_named_and_the_state_filled_again(
    shop: Shop,
) -> None:
    shop.up(**NEWEST)
    shop.write(VALUES)
    states = States(shop)

    def other(sql: str) -> list[tuple[Any, ...]]:
        return [("other", ["events_local"])] if "groupArray(name)" in sql else []

    asked = CurrentStates(
        Beside(shop.server, other), states.line, shop.database, sleep=lambda _: None,
        cluster=CLUSTER,
    )  # fmt: skip
    (found,) = asked.compare()
    assert "does not receive the rows of other; `nrtctl up` fills it" in found.problem
    keeping_latest.unmark(Beside(shop.server, other), states.line, shop.database, CLUSTER)
    assert "lacks the rows from before" in states.report().problem
    assert shop.up(**NEWEST)["newest"] == "kept, filled from 8 rows of events"
    assert states.report() == StateReport("newest", 3)
