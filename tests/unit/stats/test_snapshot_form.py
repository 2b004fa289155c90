"""The form of a snapshot: the shipped schema, the documentation and the code say the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

from nrtctl.stats import snapshot
from nrtctl.stats.schemas import TEMPLATES, shipped, snapshot_schema
from nrtctl.view.plain import tables
from tests.unit.stats.example import SNAPSHOT

DOCS = Path(__file__).parents[3] / "docs/stats.md"


def test_the_shipped_schemas_are_those_of_the_code() -> None:
    for name, text in shipped().items():
        assert (TEMPLATES / name).read_text(encoding="utf-8") == text, (
            "run `python -m nrtctl.stats.schemas`"
        )


def test_a_snapshot_has_the_form_of_the_schema() -> None:
    data = json.loads(json.dumps(SNAPSHOT.as_dict()))
    jsonschema.validate(data, snapshot_schema())
    for broken in ({**data, "lag_records": "many"}, {k: data[k] for k in data if k != "lag"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, snapshot_schema())


def test_every_field_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    classes = [each for each in vars(snapshot).values() if dataclasses.is_dataclass(each)]
    assert snapshot.Snapshot in classes
    absent = {
        field.name
        for each in classes
        for field in dataclasses.fields(each)
        if f"`{field.name}`" not in text
    }
    assert not absent
    assert f"version {snapshot.SCHEMA_VERSION}" in text


def test_the_plain_tables_hold_every_part() -> None:
    text = repr(tables(SNAPSHOT))
    pieces = [
        "12 records, 2.5 s", "p99 1.5 s", "field missing", "60 rows each, inserted in 20 ms",
        "5 of 1,000 and 3,000", "group nrtctl is stable", "'DE'", "PAYMENT", "warn",
    ]  # fmt: skip
    assert [each for each in pieces if each not in text] == []
