"""One topic into several tables: what becomes of each message in each pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.routing import Others, Taking
from nrtctl.replay.into import pipeline_into
from nrtctl.schema import INSERT_SETTINGS, ddl
from nrtctl.schema.apply import stale_views
from nrtctl.schema.parsing import parse_query
from nrtctl.store.envelope import COLUMNS, row_encoder
from nrtctl.store.intents import OffsetRange
from nrtctl.store.rows import TopicRows
from nrtctl.store.target import Target
from tests.plugins.pipeline_engine import Engine

FIELDS = {"kind": "String", "n": "UInt8"}
SENT = [
    b'{"kind":"order","n":1}', b'{"kind":"click","n":2}', b'{"kind":"order","n":"x"}',
    b'{"kind":"click","n":"x"}', b"not JSON", b'{"n":3}', b'{"kind":"other","n":4}', None,
]  # fmt: skip


def fates(engine: Engine, since: int = 0) -> dict[int, str]:
    """Offset to what became of the message."""
    line = engine.pipeline
    found = dict.fromkeys(engine.stored(since=since), "row")
    for offset, target, reason, parts in engine.query(
        f"SELECT _offset, _target, reason, (key IS NULL) + (value IS NULL) + empty(headers) "
        f"FROM {{db}}.{line.dead_letters} WHERE _offset >= {since} ORDER BY _offset"
    ):
        assert offset not in found
        if target != line.table:
            assert (target, reason, parts) == (f"{line.table} left out", "left out", 3)
        found[offset] = reason
    return dict(sorted(found.items()))


def routed(engine: Engine, others: Others, **pipeline: Any) -> None:
    engine.pipeline = Pipeline(**pipeline).beside(others)
    engine.steps(engine.pipeline)


def test_what_the_condition_does_not_take_is_left_out(engine: Engine) -> None:
    engine.up(fields=FIELDS, when="kind = 'order'", rejects={"one": "n = 1"})
    engine.send(*SENT, b'{"kind":"order","n":7}')
    out = "left out"
    assert list(fates(engine).values()) == [
        "one", out, "wrong type", out, out, out, out, out, "row",
    ]  # fmt: skip


def test_no_content_is_kept_of_what_is_left_out(engine: Engine) -> None:
    engine.up(fields=FIELDS, when="kind = 'order'")
    engine.send(*[b'{"kind":"click","n":1,"more":"%s"}' % (b"x" * 100_000)] * 3)
    bytes_there = engine.value(
        "SELECT sum(data_uncompressed_bytes) FROM system.parts WHERE active "
        f"AND database = '{engine.database}' AND table = 'dead_letters'"
    )
    assert 0 < bytes_there < 10_000


def test_what_nobody_takes_is_a_dead_letter_of_one(engine: Engine) -> None:
    routed(
        engine,
        Others(every=(Taking("kind = 'click'"),)),
        fields=FIELDS, when="kind = 'order'", unmatched="dead letter",
    )  # fmt: skip
    engine.send(*SENT)
    none = "unmatched"
    assert list(fates(engine).values()) == [
        "row", "left out", "wrong type", "left out", none, none, none, none,
    ]  # fmt: skip
    assert (
        engine.value("SELECT value FROM {db}.dead_letters WHERE _offset = 6")
        == '{"kind":"other","n":4}'
    )


def test_the_first_that_takes_it(make_engine: Callable[[], Engine]) -> None:
    """Three pipelines of one topic: each message is seen to by each, and kept by one."""
    orders, small, rest = make_engine(), make_engine(), make_engine()
    orders.up(fields=FIELDS, when="kind = 'order'", route="first")
    routed(small, Others((Taking("kind = 'order'"),)), fields=FIELDS, when="n < 4", route="first")
    routed(rest, Others((Taking("kind = 'order'"), Taking("n < 4"))), fields=FIELDS, route="first")
    kept: Counter[int] = Counter()
    for each in (orders, small, rest):
        each.send(*SENT)
        found = fates(each)
        assert list(found) == list(range(len(SENT)))
        kept.update(offset for offset, fate in found.items() if fate != "left out")
    assert kept == dict.fromkeys(range(len(SENT)), 1)
    assert fates(small)[1] == "row"
    assert fates(rest)[6] == "row"
    assert fates(rest)[4] == "not JSON"


def test_each_message_counts_once_as_evidence(engine: Engine) -> None:
    engine.up(fields=FIELDS, when="kind = 'order'")
    engine.send(*SENT)
    rows = TopicRows(engine.client, Target.of(engine.pipeline, engine.database, 1))
    span = OffsetRange(0, len(SENT))
    ((found,),) = rows.partitions().values()
    assert (found.stored, found.dead, found.left_out, found.distinct) == (1, 1, 6, 8)
    assert (found.dense, found.doubled) == (True, 0)
    assert rows.counts([(0, span)])[0].of(range(len(SENT)))
    assert rows.highest() == {0: len(SENT) - 1}
    assert list(rows.gaps(0, [found], span)) == []
    assert len(rows.listed(0, span).rejected) == 7

    engine.client.command(
        f"ALTER TABLE {engine.database}.dead_letters DELETE WHERE _offset = 6",
        {"mutations_sync": 2},
    )
    engine.send(SENT[1], token="again", offset=1)
    ((found,),) = rows.partitions().values()
    assert (found.left_out, found.doubled) == (6, 1)
    assert list(rows.gaps(0, [found], span)) == [OffsetRange(6, 7)]
    (double,) = rows.doubles(0, [found])
    assert (double.offset, double.stored, double.dead, double.surplus) == (1, 0, 2, 1)


def test_a_condition_comes_changes_and_goes(engine: Engine) -> None:

    def up(**more: Any) -> set[str]:
        """The views that were changed."""
        steps = engine.up(fields=FIELDS, **more)
        assert {"dead_letters": "kept", "events": "kept"}.items() <= steps.items()
        return {name for name, action in steps.items() if action == "changed"}

    engine.up(fields=FIELDS)
    engine.send(*SENT[:2])
    assert up(when="kind = 'order'") == {"events_rejected", "events_landing_view"}
    engine.send(*SENT[:2])
    assert up(when="kind = 'click'") == {"events_landing_view"}
    engine.send(*SENT[:2])
    assert up() == {"events_rejected", "events_landing_view"}
    engine.send(*SENT[:2])
    assert list(fates(engine).values()) == [
        "row", "row", "row", "left out", "left out", "row", "row", "row",
    ]  # fmt: skip
    rows = TopicRows(engine.client, Target.of(engine.pipeline, engine.database, 1))
    ((found,),) = rows.partitions().values()
    assert (found.dense, found.left_out) == (True, 2)


def test_a_pipeline_that_takes_all_has_the_views_it_had() -> None:
    plain = Pipeline(fields=FIELDS, rejects={"one": "n = 1"})
    alone = Pipeline(
        fields=FIELDS, rejects={"one": "n = 1"}, route="first", unmatched="dead letter"
    )
    assert ddl.feeding_views(plain, "d") == ddl.feeding_views(alone, "d")
    assert "left out" not in parse_query(plain, "s") + ddl.rejected_query(plain, "p")


def test_a_table_beside_is_fed_by_the_same_condition(engine: Engine) -> None:
    routed(engine, Others((Taking("n < 4"),)), fields=FIELDS, route="first")
    assert stale_views(engine.client, engine.pipeline, engine.database) == []
    other = pipeline_into(engine.pipeline, "other")
    assert other.others == engine.pipeline.others
    assert parse_query(other, "s") == parse_query(engine.pipeline, "s")


@pytest.mark.parametrize("header", [b"order", b"click", None])
def test_a_header_decides_without_the_value(engine: Engine, header: bytes | None) -> None:
    of_header = {"type": "Nullable(String)", "from": {"header": "x"}}
    engine.up(fields={"x": of_header}, when="header('x') = 'order'")
    body = row_encoder("user_events", 1, 0)(0, 1, None, b"{}", [("x", header)])
    landing = f"{engine.database}.events_landing"
    engine.client.insert(landing, COLUMNS, body, dict(INSERT_SETTINGS))
    assert fates(engine) == {0: "row" if header == b"order" else "left out"}


def test_what_a_pipeline_makes_json_is_asked_about_as_json(
    make_engine: Callable[[], Engine],
) -> None:
    """By each of the topic alike: else both would take it, or neither."""
    orders, rest = make_engine(), make_engine()
    price = {"type": "Nullable(Float64)", "accept": ["nan"]}
    note = {"type": "Nullable(String)", "accept": ["broken text"]}
    when, mends = "kind = 'order'", frozenset({"nan"})
    orders.up(fields={"kind": "String", "price": price}, when=when)
    routed(
        rest, Others((Taking(when, mends),)), fields={"kind": "String", "note": note}, route="first"
    )
    sent = [
        b'{"kind":"order","price":NaN}', b'{"kind":"click","price":NaN}',
        b'{"kind":"order","note":"\xff"}', b'{"kind":"click","note":"\xff"}', b'{"kind":"order",',
    ]  # fmt: skip
    for engine in (orders, rest):
        engine.send(*sent)
    out = "left out"
    assert list(fates(orders).values()) == ["row", out, out, out, out]
    assert list(fates(rest).values()) == [out, "not JSON", "row", "row", "not JSON"]
    assert orders.value("SELECT isNaN(price) FROM {db}.events") == 1


def test_strings_of_json_and_what_is_no_json_go_together_with_a_condition(engine: Engine) -> None:
    accepts = {"ratio": ("Float64", "nan"), "note": ("String", "broken text")}
    fields = {
        name: {"type": f"Nullable({kind})", "from": ["m", name], "accept": [accept]}
        for name, (kind, accept) in accepts.items()
    }
    engine.up(fields={"id": "UInt8", **fields}, unpack=("m",), when="id > 3")
    engine.send(
        b'{"id":4,"m":"{\\"ratio\\":1.5}","y":NaN}', b'{"id":4,"m":"{\\"ratio\\":NaN}"}',
        b'{"id":4,"m":"{\\"note\\":\\"a\\\\ud800\\"}"}', b'{"id":4,"m":"{\\"note\\":\\"a\xff\\"}"}',
        b'{"id":4,"m":"NaN"}', b'{"id":4,"m":"{\\"id\\":NaN"}', b'{"id":3,"m":NaN}',
    )  # fmt: skip
    wrong = "wrong type"
    assert list(fates(engine).values()) == ["row"] * 4 + [wrong, wrong, "left out"]
    told = engine.query("SELECT toString(ratio), note FROM {db}.events ORDER BY _offset")
    assert told == [("1.5", None), ("nan", None), (None, "a\ufffd"), (None, "a\ufffd")]
