"""The text of current states: their names, their order, and whether an insert is in them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from nrtctl.clock import SystemClock
from nrtctl.pipeline import Pipeline
from nrtctl.schema import ddl, latest
from nrtctl.schema.cluster_ddl import needed
from nrtctl.store.chain import Chain

FIELDS = {"id": "UInt32", "n": "Int64"}


def pipeline(**latest: Any) -> Pipeline:
    return Pipeline(fields=FIELDS, latest={"now": {"key": "id", **latest}})


def state(of: Pipeline) -> str:
    return latest.state_of(of, "now")


def test_the_name_of_a_state_stands_for_what_it_holds() -> None:
    plain = pipeline()
    others = [
        pipeline(key=["id", "n"]),
        pipeline(version="n"),
        pipeline(deleted="n = 0"),
        plain.model_copy(update={"fields": Pipeline(fields={**FIELDS, "m": "Int8"}).fields}),
        plain.model_copy(update={"fields": Pipeline(fields={**FIELDS, "n": "Int32"}).fields}),
        plain.model_copy(update={"columns": {"twice": "n * 2"}}),
        plain.model_copy(update={"columns": {"twice": "n + n"}}),
    ]
    assert len({state(plain), *map(state, others)}) == len(others) + 1
    same = [
        plain.model_copy(update={"rejects": {"no": "n = 1"}, "topic": "t"}),
        plain.model_copy(update={"latest": {**plain.latest, "more": plain.latest["now"]}}),
    ]
    assert {state(each) for each in same} == {state(plain)}
    other = plain.model_copy(update={"table": "events_2"})
    assert state(other) == state(plain).replace("events", "events_2")


def test_only_states_of_the_table_and_their_feeds_are_known() -> None:
    known = re.compile(latest.known_names("events"))
    name = state(pipeline())
    assert known.match(name)
    assert known.match(latest.feed_of(name))
    for other in ("now", "events", "events_latest_now", f"{name}0", f"my_{name}", f"{name}_feeds"):
        assert not known.match(other)
    assert not known.match(state(pipeline().model_copy(update={"table": "events_2"})))


def test_an_order_has_256_bits_and_a_place_for_each_part() -> None:
    query = latest.feeding_query(pipeline(version="n"), "now", "SELECT 1")
    shifts = [int(each) for each in re.findall(r", (\d+)\)(?: \+| AS _order)", query)]
    assert shifts == [160, 136, 120, 88, 24]
    of_several = pipeline().model_copy(update={"rows": Pipeline(rows=["a"], fields=FIELDS).rows})
    assert "toUInt256(_row) AS _order" in latest.feeding_query(of_several, "now", "SELECT 1")


def test_a_pipeline_without_a_state_has_what_it_had() -> None:
    plain = Pipeline(fields=FIELDS)
    names = {"events_rejected", "events_accepted", "events_landing_view"}
    assert set(ddl.feeding_views(plain, "d")) == names
    with_one = pipeline()
    fed = ddl.feeding_views(with_one, "d")
    assert {name: fed[name] for name in names} == ddl.feeding_views(plain, "d")
    assert set(fed) - names == {f"{state(with_one)}_feed"}
    assert needed(with_one, "d", None) == needed(plain, "d", None)


class Nothing:
    """A server that has none of the tables."""

    asked = 0

    def query(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        self.asked += 1
        return []


@pytest.mark.parametrize(
    ("written", "whole", "asks"),
    [(40, True, False), (39, False, True), (30, False, True), (29, False, False)],
)
def test_an_insert_is_whole_where_each_row_is_in_the_state_too(
    written: int, whole: bool, asks: bool
) -> None:
    """10 messages: 40 rows where all of them are accepted, 30 where none is. Between that the
    tables are asked after, and here all of them are gone."""
    server, chain = Nothing(), Chain(pipeline(), "d", SystemClock())
    assert chain.landed(server, written, 10) is whole
    assert bool(server.asked) is asks


@pytest.mark.parametrize(
    ("latest", "words"),
    [
        ({"now": {"key": []}}, "at least 1"),
        ({"now": {"key": "nope"}}, "neither a field nor a column"),
        ({"events": {"key": "id"}}, "used for two tables or views"),
        ({"events_rejected": {"key": "id"}}, "used for two tables or views"),
        ({"now": {"key": ["id", "id"]}}, "named twice"),
        ({"a b": {"key": "id"}}, "not an SQL identifier"),
        ({"now": {"key": "id", "version": ""}}, "at least 1"),
    ],
)
def test_a_wrong_one_is_refused_when_it_is_read(latest: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Pipeline.model_validate({"fields": FIELDS, "latest": latest})


def test_on_a_cluster_the_view_chooses_among_the_states_of_all_shards() -> None:
    one = pipeline()
    single = latest.reading_query(one, "d", "now")
    assert single.endswith(f" FROM d.{state(one)} FINAL WHERE _deleted = 0")
    query = latest.reading_query(one, "d", "now", "c")
    assert f", _order) AS _newest FROM d.{state(one)} GROUP BY `id`) " in query
    assert "FINAL" not in query
    assert ddl.latest_views(one, "d", "c") == {"now": query}


def test_tombstones_and_rows_are_not_for_one_pipeline() -> None:
    with pytest.raises(ValidationError, match="tombstones: a pipeline with `rows`"):
        Pipeline(rows=["a"], fields=FIELDS, tombstones="leave out")
