"""What stats asks the real engine: every row of the window counts, and no others are read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from nrtctl.errors import NrtctlError
from nrtctl.stats import table_side
from nrtctl.stats.metrics_file import parse_metrics
from nrtctl.stats.metrics_run import run_metrics
from nrtctl.stats.snapshot import Metric
from nrtctl.stats.table_side import LATENCY, TableSide, column_by, milliseconds
from tests.plugins.pipeline_engine import REFERENCE, Engine, events

OLD = 600_000
RECENT = 20_000


def _side(engine: Engine, by: str | None = None) -> TableSide:
    return TableSide(engine.client, engine.pipeline, engine.database, by=by)


def _fill(engine: Engine, rows: int, *, first: int, age: int, latency: str = "5") -> None:
    """Rows that were inserted `age` seconds ago, in inserts of 4000, sorted otherwise."""
    engine.client.command(
        f"INSERT INTO {engine.database}.{engine.pipeline.table} "
        "(id, kind, ms, at, _topic, _partition, _offset, _timestamp, _inserted_at) "
        "SELECT number, toString(cityHash64(number) % 1000), number, now(), "
        f"'{engine.pipeline.topic}', number % 4, number, "
        f"inserted - toIntervalMillisecond({latency}), inserted FROM (SELECT "
        f"number + {first} AS number, toStartOfMinute(now64(3)) - INTERVAL {age} SECOND + "
        f"toIntervalMillisecond(intDiv(number, 4000)) AS inserted FROM numbers({rows}))"
    )


def test_the_window_is_read_and_nothing_else(engine: Engine) -> None:
    engine.up(**REFERENCE)
    for part in range(3):
        _fill(engine, OLD // 3, first=part * OLD, age=7200 + part)
    _fill(engine, RECENT, first=OLD * 3, age=120)
    engine.client.command(f"OPTIMIZE TABLE {engine.database}.events FINAL")
    side = _side(engine)
    look = side.look(600)
    assert look.stored == OLD + RECENT
    assert look.window_rows == RECENT
    assert look.batches == RECENT // 4000
    assert look.largest_batch == 4000
    assert look.latency.p99 == 0.005
    assert look.parts.active == 1
    assert 0 < look.parts.delayed_from < look.parts.refused_from
    # The rows of the window, by whole granules, once for the latencies and the batches together.
    assert RECENT <= side.read_rows < RECENT + 25_000
    assert side.queries == 3
    assert side.look(600).window_rows == RECENT
    assert side.queries == 2, "the server's limits are asked once"
    assert look.freshness is not None
    assert 60 < look.freshness < 240


def test_percentiles_come_from_every_row(engine: Engine) -> None:
    """One row in 50 took 100 times as long; which ones, is left to chance."""
    engine.up(**REFERENCE)
    slow = "if(cityHash64(number) % 50 = 0, 1000, 10) + cityHash64(number, 1) % 10"
    _fill(engine, 100_000, first=0, age=60, latency=f"({slow})")
    latency = _side(engine).look(600).latency
    exact = engine.query(
        "SELECT arrayMap(p -> arraySort(groupArray(l))[toUInt32(ceil(p * count()))] / 1000, "
        "[0.5, 0.95, 0.99]) FROM (SELECT toUnixTimestamp64Milli(_inserted_at) - "
        "toUnixTimestamp64Milli(_timestamp) AS l FROM {db}.events)"
    )[0][0]
    assert [latency.p50, latency.p95, latency.p99] == pytest.approx(exact, abs=0.001)
    assert latency.p95 is not None
    assert latency.p99 is not None
    assert latency.p95 < 0.1
    assert latency.p99 >= 1.0


def test_latencies_of_an_old_backlog_have_few_values_and_are_near_the_truth(engine: Engine) -> None:
    """Each row of it waited for another time, by hours; and the clock of one was ahead."""
    engine.up(**REFERENCE)
    _fill(engine, OLD, first=0, age=60, latency="(9999 + number * 37)")
    _fill(engine, 1, first=OLD, age=60, latency="-5000")
    rows = f"{engine.database}.events"
    told, fewer = milliseconds(), milliseconds(3)
    assert engine.value(f"SELECT uniqExact({LATENCY}) FROM {rows}") == OLD + 1
    assert 10_000 < engine.value(f"SELECT uniqExact({told}) FROM {rows}") < 25_000
    assert engine.value(f"SELECT uniqExact({fewer}) FROM {rows}") < 3_000
    wrong = f"SELECT max(({LATENCY} - {{}}) / greatest(1, {LATENCY})), min({{}}) FROM {rows}"
    assert engine.query(wrong.format(told, told))[0] == (pytest.approx(0.001, rel=0.1), 0)
    assert engine.query(wrong.format(fewer, fewer))[0] == (pytest.approx(0.01, rel=0.1), 0)
    latency = _side(engine).look(600).latency
    assert latency.p50 == pytest.approx((9999 + OLD // 2 * 37) / 1000, rel=0.001)
    assert _side(engine, by="_partition").look(600).by is not None


def test_by_a_column(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events(range(300)))
    look = _side(engine, by=column_by(engine.pipeline, "kind")).look(60)
    assert look.by is not None
    assert {each.value: each.rows for each in look.by.slices} == {"k0": 100, "k1": 100, "k2": 100}
    assert sum(each.per_second for each in look.by.slices) == pytest.approx(300 / 60)
    look = _side(engine, by=column_by(engine.pipeline, "partition")).look(60)
    assert look.by is not None
    assert [(each.value, each.rows) for each in look.by.slices] == [("0", 300)]
    engine.send(*events(range(1000, 1000)))


def test_more_values_than_are_shown(engine: Engine) -> None:
    engine.up(**REFERENCE)
    _fill(engine, 4000, first=0, age=60)
    by = _side(engine, by="kind").look(600).by
    assert by is not None
    assert len(by.slices) == 50
    assert by.more == engine.value("SELECT uniqExact(kind) FROM {db}.events") - 50


def test_a_breakdown_reads_few_rows_beside_the_window_or_says_why_not(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorted by what follows no time, and merged into one part: every granule has recent rows."""
    monkeypatch.setattr(table_side, "READ_BESIDE", 10_000)
    engine.up(**REFERENCE)
    _fill(engine, OLD // 3, first=0, age=7200)
    engine.client.command(f"OPTIMIZE TABLE {engine.database}.events FINAL")
    engine.client.command(f"SYSTEM STOP MERGES {engine.database}.events")
    _fill(engine, RECENT, first=OLD, age=120)
    side = _side(engine, by="kind")
    by = side.look(600).by
    assert by is not None
    assert by.error is None
    assert len(by.slices) == 50
    assert side.read_rows < 2 * RECENT + 50_000
    engine.client.command(f"SYSTEM START MERGES {engine.database}.events")
    engine.client.command(f"OPTIMIZE TABLE {engine.database}.events FINAL")
    look = side.look(600)
    assert look.window_rows == RECENT
    assert look.by is not None
    assert look.by.slices == []
    assert look.by.error == ("more than 90,000 rows would be read for the 20,000 of the window")
    assert side.read_rows < RECENT + 25_000


def test_dead_letters_by_reason_from_a_projection(engine: Engine) -> None:
    engine.up(**REFERENCE)
    random.seed(3)
    bad: Sequence[bytes] = [random.choice([b"no", b"{}", b'{"id":"x"}']) for _ in range(500)]
    engine.send(*bad)
    side = _side(engine)
    look = side.look(60)
    assert look.by_reason == dict(
        engine.query("SELECT reason, count() FROM {db}.dead_letters GROUP BY reason")
    )
    assert sum(look.by_reason.values()) == 500
    explained = engine.query(
        "EXPLAIN SELECT reason, count() FROM {db}.dead_letters WHERE _target = 'events' AND "
        f"_topic = '{engine.pipeline.topic}' GROUP BY _target, _topic, reason"
    )
    assert any("nrtctl_reasons" in row[0] for row in explained)


def test_dead_letters_from_before_get_the_projection(engine: Engine) -> None:
    engine.up(**REFERENCE)
    table = f"{engine.database}.{engine.pipeline.dead_letters}"
    engine.client.command(f"ALTER TABLE {table} DROP PROJECTION nrtctl_reasons")
    engine.send(b"no")
    engine.up(**REFERENCE)
    assert (
        engine.value(
            "SELECT count() FROM system.projections WHERE database = '{db}' "
            "AND name = 'nrtctl_reasons'"
        )
        == 1
    )
    assert _side(engine).look(60).by_reason == {"not JSON": 1}


def test_a_column_that_is_none(engine: Engine) -> None:
    engine.up(**REFERENCE)
    with pytest.raises(NrtctlError, match="is not a column") as caught:
        column_by(engine.pipeline, "id; DROP TABLE x")
    assert "kind" in str(caught.value.hint)


def _run(engine: Engine, *metrics: dict[str, Any]) -> dict[str, Metric]:
    given = {"version": 1, "metrics": [
        {"help": "h", "unit": "rows", "kind": "gauge", "name": f"m{at}", **each}
        for at, each in enumerate(metrics)
    ]}  # fmt: skip
    found = parse_metrics(given)
    assert not found.wrong
    side = _side(engine)
    run = run_metrics(found.defined, side, engine.pipeline, engine.database, 60)
    return {each.name: each for each in run}


def test_metrics_answer_and_a_wrong_one_does_not_stop_the_others(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events(range(300)))
    found = _run(
        engine,
        {"sql": "SELECT kind, count() FROM {database}.{table} GROUP BY kind ORDER BY kind",
         "dimensions": ["kind"], "thresholds": {"warn": 100, "crit": 1000}},
        {"sql": "SELECT nothing FROM {database}.{table}"},
        {"sql": "INSERT INTO {database}.{table} (id) VALUES (1)"},
        {"sql": "TRUNCATE TABLE {database}.{table}"},
        {"sql": "SELECT number FROM numbers(1001)"},
        {"sql": "SELECT 1 SETTINGS max_result_rows = 5000000"},
        {"sql": "SELECT 1, 2"},
        {"sql": "SELECT 'many'"},
        {"sql": "SELECT sum(sleepEachRow(0.5)) FROM numbers(100) SETTINGS max_block_size = 1"},
        {"sql": "SELECT 1; SELECT 2"},
        {"sql": "SELECT nan"},
        {"sql": "SELECT avg(id) FROM {database}.{table} WHERE id > 1e9 HAVING count() > 0"},
        {"sql": "SELECT now()"},
        {"sql": "SELECT arrayJoin(['a', 'b', 'b']), 1", "dimensions": ["which"]},
        {"sql": "SELECT arrayJoin([1, 2])"},
        {"sql": "SELECT NULL, 1", "dimensions": ["which"]},
    )  # fmt: skip
    first = found.pop("m0")
    assert [(each.dimensions, each.value) for each in first.values] == [
        ({"kind": f"k{n}"}, 100.0) for n in range(3)
    ]
    assert (first.level, first.error) == ("warn", None)
    nothing, empty = found.pop("m10"), found.pop("m11")
    assert ([each.value for each in nothing.values], nothing.error) == ([None], None)
    assert (empty.values, empty.error) == ([], None)
    assert [each.dimensions for each in found.pop("m15").values] == [{"which": "null"}]
    for name, metric in found.items():
        assert metric.error is not None, name
        assert f"'{name}'" in metric.error
        assert not metric.values
    assert "nothing" in str(found["m1"].error)
    assert "readonly" in str(found["m2"].error).lower()
    assert "readonly" in str(found["m5"].error).lower()
    assert "2 columns" in str(found["m6"].error)
    assert "not a number" in str(found["m7"].error)
    assert "its value is a datetime, which is not a number" in str(found["m12"].error)
    assert "its SQL returns 2 rows for b; it must return one for each" in str(found["m13"].error)
    assert "its SQL returns 2 rows and has no dimensions" in str(found["m14"].error)
    assert engine.value("SELECT count() FROM {db}.events") == 300
