"""What an insert makes the engine analyse, counted (docs/performance.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from nrtctl.config.load import load_config
from nrtctl.pipeline import Pipeline
from nrtctl.schema import ddl
from tests.plugins.pipeline_engine import REFERENCE, Engine, events

TEMPLATE = Path("src/nrtctl/config/templates/nrtctl.toml")


def analysed(engine: Engine, pipeline: Pipeline) -> dict[str, tuple[int, int]]:
    """Name of each feeding view to its (queries, functions), as the engine resolves them."""
    found = {}
    for name, (_, sql) in ddl.feeding_views(pipeline, engine.database).items():
        lines = [line for (line,) in engine.query(f"EXPLAIN QUERY TREE {sql}")]
        kinds = [line.split(" id:")[0].strip() for line in lines]
        found[name] = (kinds.count("QUERY"), kinds.count("FUNCTION"))
    return found


def test_the_views_of_the_reference_pipeline(engine: Engine) -> None:
    pipeline = load_config(file=TEMPLATE).config.pipeline
    engine.steps(pipeline)
    assert analysed(engine, pipeline) == {
        "events_rejected": (2, 36),
        "events_accepted": (1, 2),
        "events_landing_view": (2, 112),
    }


@pytest.mark.parametrize("more", [1, 10])
def test_a_field_adds_no_level(engine: Engine, more: int) -> None:
    fields = {f"f{n}": "Int64" for n in range(more)}
    engine.up(fields=fields, columns={"c": "f0 + 1"}, rejects={"r": "c > 5"})
    assert {name: queries for name, (queries, _) in analysed(engine, engine.pipeline).items()} == {
        "events_rejected": 2,
        "events_accepted": 1,
        "events_landing_view": 2,
    }


def test_a_rule_sees_fields_and_columns_as_they_are_stored(engine: Engine) -> None:
    engine.up(
        fields={"x": "UInt8", "y": "Nullable(Int64)"},
        columns={"double": "x * 2", "quad": "double * 2"},
        rejects={
            "no stored type": "toTypeName(x) != 'UInt8'",
            "large": "double > 200",
            "larger": "quad = 400",
            "y": "y = x",
        },
    )
    assert engine.fates(b'{"x":1}', b'{"x":150}', b'{"x":100}', b'{"x":7,"y":7}', b'{"x":"?"}') == [
        (1, None),
        "large:",
        "larger:",
        "y:",
        "wrong type:x",
    ]


def test_small_parts_of_the_local_stack_are_one_file_each(engine: Engine) -> None:
    """Packed: a plain part of this table has some ten files, and as many a projection."""
    engine.up(**REFERENCE)
    for start in range(3):
        engine.send(*events(range(start * 10, start * 10 + 10)))
    parts = engine.query(
        "SELECT path, part_storage_type FROM system.parts "
        f"WHERE active AND database = '{engine.database}' AND table = 'events'"
    )
    assert parts
    for path, storage in parts:
        files = [each for each in Path(path).rglob("*") if each.is_file()]
        assert storage == "Packed"
        assert len(files) <= 1 + len(ddl.projections(engine.pipeline))


def test_the_local_stack_merges_many_parts_at_once(engine: Engine) -> None:
    """A row is written again for each level of merges (docs/decisions/0060)."""
    asked = "SELECT value FROM system.merge_tree_settings WHERE name = 'merge_selector_base'"
    assert engine.query(asked) == [("20",)]
