"""Tables that were made when one topic of each name was known: `up` changes them and loses nothing.

`before_incarnations.sql` is what version 0.1 made of `pipeline_engine.REFERENCE`.
"""

from __future__ import annotations

import re
from pathlib import Path

from nrtctl.schema import building
from nrtctl.schema.drift import differences
from nrtctl.schema.steps import mark_of
from nrtctl.store.incarnations import rows_by_incarnation
from nrtctl.store.rows import TopicRows
from nrtctl.store.target import Target
from tests.plugins.pipeline_engine import REFERENCE, Engine, events

SQL = Path(__file__).with_name("before_incarnations.sql")


def made_before(engine: Engine) -> None:
    engine.client.command(f"CREATE DATABASE {engine.database}")
    for statement in SQL.read_text().split(";\n"):
        sql = statement.strip().replace("{database}", engine.database)
        if view := re.search(r" AS ((?:SELECT|WITH) .*) COMMENT 'MARK'", sql):
            sql = sql.replace("MARK", mark_of(view[1]))
        engine.client.command(sql)
    for first, count in ((0, 100), (100, 50)):
        engine.client.command(
            f"INSERT INTO {engine.database}.events_landing "
            "(_topic, _partition, _offset, _timestamp, _value) "
            f"SELECT 'user_events', 0, number + {first}, 1, "
            """'{"id":' || number || ',"kind":"k","ms":' || number * 1000 || '}' """
            f"FROM numbers({count})",
            {"deduplicate_blocks_in_dependent_materialized_views": 1},
        )
    engine.client.command(
        f"INSERT INTO {engine.database}.events_landing (_topic, _partition, _offset, _timestamp, "
        "_value) SELECT 'user_events', 0, 150 + number, 1, 'not json' FROM numbers(3)"
    )


def test_rows_from_before_are_of_the_first_incarnation(engine: Engine) -> None:
    made_before(engine)
    assert engine.value("SELECT count() FROM {db}.events") == 150
    first = engine.up(**REFERENCE)
    assert first["events"] == "changed: + _incarnation"
    assert first["nrtctl_by_offset"] == first["nrtctl_offsets"] == "changed"
    assert first["by_kind"] == "kept"
    assert set(engine.up(**REFERENCE).values()) == {"kept"}
    assert differences(engine.client, engine.pipeline, engine.database) == []
    counted = rows_by_incarnation(engine.client, engine.pipeline, engine.database)
    assert counted == {1: (150, 3)}

    engine._offset = 153
    engine.send(*events([1, 2]), b"no")
    rows = TopicRows(engine.client, Target.of(engine.pipeline, engine.database, 1))
    slices = rows.partitions()[0]
    assert sum(each.stored for each in slices) == 152
    assert sum(each.dead for each in slices) == 4
    assert rows_by_incarnation(engine.client, engine.pipeline, engine.database) == {1: (152, 4)}
    assert engine.value("SELECT sum(n) FROM {db}.by_kind") == 152


def test_an_old_consumer_may_still_insert_and_the_projections_are_built_again(
    engine: Engine,
) -> None:
    made_before(engine)
    engine.up(**REFERENCE)
    engine.client.command(
        f"INSERT INTO {engine.database}.events_landing (_topic, _partition, _offset, _timestamp, "
        """_value) VALUES ('user_events', 0, 200, 1, '{"id":7,"kind":"k","ms":1}')"""
    )
    counted = rows_by_incarnation(engine.client, engine.pipeline, engine.database)
    assert counted == {1: (151, 3)}
    left = True
    for _ in range(200):
        left = bool(building.build_the_rest(engine.client, engine.database, "events"))
        if not left:
            break
    assert not left
