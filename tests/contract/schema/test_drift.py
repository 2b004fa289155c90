"""What has become of tables and views since `up` made them, and what the engine makes of types."""

from __future__ import annotations

from itertools import product

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.errors import NrtctlError
from nrtctl.pipeline.keeping import keeps
from nrtctl.schema.drift import differences, lost
from tests.plugins.pipeline_engine import REFERENCE, Engine, events

PLAIN = {**REFERENCE, "rollups": {}}
"""A rollup of a column does not let its type be changed."""


def test_what_is_lost_is_named(engine: Engine) -> None:
    engine.up(**REFERENCE)
    database, pipeline, client = engine.database, engine.pipeline, engine.client
    client.command(f"ALTER TABLE {database}.events DROP COLUMN ms")
    assert [each.what for each in lost(client, pipeline, database)] == [
        f"{database}.events has lost the column ms: its values would not be stored"
    ]
    client.command(f"DROP VIEW {database}.events_rejected SYNC")
    assert f"{database}.events_rejected does not exist" in lost(client, pipeline, database)[0].what
    assert engine.up(**REFERENCE)["events"] == "changed: + ms"
    client.command(f"ALTER TABLE {database}.events_accepted MODIFY COMMENT ''")
    assert "were changed by hand" in differences(client, pipeline, database)[0].what
    other = pipeline.model_copy(update={"rejects": {}})
    engine.up(**REFERENCE)
    assert "another configuration" in differences(client, other, database)[0].what


def test_a_type_that_was_changed_is_named_with_the_way_back(engine: Engine) -> None:
    engine.up(**PLAIN)
    database, pipeline, client = engine.database, engine.pipeline, engine.client
    client.command(f"ALTER TABLE {database}.events MODIFY COLUMN id UInt8")
    (found,) = lost(client, pipeline, database)
    assert found.what == (
        f"{database}.events stores the column id as UInt8, but its view returns UInt32: values "
        "would be changed or refused"
    )
    assert "or change the type of pipeline.fields.id" in found.fix
    engine.send(*events([300]))
    assert engine.stored("id") == {0: (300 - 256,)}  # that is what it is about
    client.command(found.fix.split("`")[1])
    assert lost(client, pipeline, database) == []
    client.command(f"ALTER TABLE {database}.events MODIFY COLUMN ms Int16")
    fields = {**REFERENCE["fields"], "ms": "Int16"}
    engine.up(**{**PLAIN, "fields": fields})


def test_what_keeps_every_value_is_no_loss(engine: Engine) -> None:
    engine.up(**PLAIN)
    database, pipeline, client = engine.database, engine.pipeline, engine.client
    for name, kind in (("id", "UInt64"), ("id", "Nullable(Int64)"), ("ms", "Int128")):
        client.command(f"ALTER TABLE {database}.events MODIFY COLUMN {name} {kind}")
        assert lost(client, pipeline, database) == []
    engine.send(*events([300]))
    assert engine.stored("id", "ms") == {0: (300, 300_000)}


def test_the_tables_between_are_looked_at_too(engine: Engine) -> None:
    engine.up(**PLAIN)
    database, pipeline, client = engine.database, engine.pipeline, engine.client
    for table, column, kind in (
        ("events_parsed", "id", "UInt16"), ("events_landing", "_offset", "Int128"),
        ("events_landing", "_timestamp", "DateTime"),
    ):  # fmt: skip
        client.command(f"ALTER TABLE {database}.{table} MODIFY COLUMN {column} {kind}")
        assert [column in each.what and table in each.what
                for each in lost(client, pipeline, database)] == [True]  # fmt: skip
        engine.up(**PLAIN)


def test_a_view_that_was_made_for_other_types_is_asked_what_it_gives(engine: Engine) -> None:
    """As after `replay load --swap` with a smaller type: its query is the same, its types not."""
    engine.up(**PLAIN)
    database, pipeline, client = engine.database, engine.pipeline, engine.client
    for table in ("events_parsed", "events"):
        client.command(f"ALTER TABLE {database}.{table} MODIFY COLUMN id UInt16")
    view = f"database = '{database}' AND table = 'events_accepted' AND name = 'id'"
    assert engine.value(f"SELECT type FROM system.columns WHERE {view}") == "UInt32"
    (found,) = lost(client, pipeline, database)
    assert f"{database}.events_parsed stores the column id as UInt16" in found.what


INTEGERS = {
    **{f"Int{n}": (f"'{-(2 ** (n - 1))}'", f"'{2 ** (n - 1) - 1}'") for n in (8, 16, 32, 64, 128)},
    **{f"UInt{n}": ("'0'", f"'{2**n - 1}'") for n in (8, 16, 32, 64, 256)},
    "Nullable(UInt8)": ("NULL", "255"),
    "Array(UInt8)": ("[0, 255]", "[]"),
    "Array(UInt16)": ("[65535]",),
    "Array(Nullable(UInt8))": ("[NULL]",),
    "Map(String, UInt8)": ("map('a', 255)",),
    "Map(String, UInt16)": ("map('a', 65535)",),
}
SAMPLES = {
    **INTEGERS,
    "Bool": ("true", "false"),
    "Float32": ("'0.1'", "'16777217'", "'-1e30'"),
    "Float64": ("'0.1'", "'9007199254740993'", "'1e300'"),
    "String": ("'a'", "''"),
    "FixedString(2)": ("'a'", "'ab'"),
    "BFloat16": ("'1.5'", "'-3e38'"),
    "Time": ("'-999:59:59'", "'07:08:09'"),
    "Time64(3)": ("'07:08:09.125'",),
    "Time64(6)": ("'-100:00:00.000001'",),
    "UUID": ("'61f0c404-5cb3-11e7-907b-a6006ad3dba0'",),
    "IPv4": ("'1.2.3.4'",),
    "Date": ("'1970-01-01'", "'2149-06-06'"),
    "Date32": ("'1900-01-01'", "'2299-12-31'"),
    "DateTime('UTC')": ("'1970-01-01 00:00:00'", "'2106-02-07 06:28:15'"),
    "DateTime64(0, 'UTC')": ("'1900-01-01 00:00:00'", "'2299-12-31 23:59:59'"),
    "DateTime64(3, 'UTC')": ("'1900-01-01 00:00:00.001'", "'2299-12-31 23:59:59.999'"),
    "DateTime64(8, 'UTC')": ("'1900-01-01 00:00:00.00000001'", "'2299-12-31 23:59:59.99999999'"),
    "DateTime64(9, 'UTC')": ("'2020-01-01 00:00:00.000000001'",),
    "Decimal(4, 2)": ("'99.99'", "'-99.99'"),
    "Decimal(6, 2)": ("'9999.99'",),
    "Decimal(6, 4)": ("'99.9999'",),
    "Enum8('a' = 1)": ("'a'",),
    "Enum8('a' = 1, 'b' = 2)": ("'b'",),
    "Enum16('a' = 1, 'b' = 2)": ("'b'",),
    "Nullable(String)": ("NULL", "'a'"),
    "LowCardinality(String)": ("'a'",),
}  # fmt: skip


def kept(client: ClickHouseClient, stored: str, given: str) -> bool:
    """Whether the engine gives back each sample as it was, and shows integers as they were."""
    back = "" if {stored, given} <= INTEGERS.keys() else f" AS {given})"
    asked = ", ".join(
        f"toString({'CAST(' * bool(back)}CAST(CAST({value} AS {given}) AS {stored}){back}) "
        f"<=> toString(CAST({value} AS {given}))"
        for value in SAMPLES[given]
    )
    try:
        return all(map(bool, client.query(f"SELECT {asked}")[0]))
    except NrtctlError:
        return False


@pytest.mark.parametrize("given", SAMPLES)
def test_what_keeps_values_does_so_in_the_engine(client: ClickHouseClient, given: str) -> None:
    claimed = [stored for stored in SAMPLES if keeps(stored, given)]
    assert given in claimed
    assert [stored for stored in claimed if not kept(client, stored, given)] == []


def test_all_integers_that_the_engine_keeps_are_known(client: ClickHouseClient) -> None:
    unknown = [
        (stored, given)
        for stored, given in product(INTEGERS, INTEGERS)
        if kept(client, stored, given) and not keeps(stored, given)
    ]
    assert unknown == []
