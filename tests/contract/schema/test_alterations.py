"""What the real engine keeps of a column that has gone and come back."""

from __future__ import annotations

import pytest

from nrtctl.schema.alterations import Alterations
from tests.plugins.pipeline_engine import REFERENCE, Engine

PLAIN = {**REFERENCE, "rollups": {}}
"""A rollup of a column does not let it be renamed, or its type be changed."""


@pytest.mark.parametrize(
    ("away", "back", "said"),
    [
        ("DROP COLUMN kind", "ADD COLUMN kind LowCardinality(String)", "without the column kind"),
        ("RENAME COLUMN ms TO other", "RENAME COLUMN other TO ms", "without the column ms"),
        (
            "MODIFY COLUMN ms UInt8", "MODIFY COLUMN ms Int64",
            "storing the column ms as UInt8, which does not keep every ",
        ),
        ("MODIFY COLUMN ms Int128", "MODIFY COLUMN ms Int64", None),
        ("ADD COLUMN other String", "DROP COLUMN other", None),
    ],
)  # fmt: skip
def test_what_was_altered_and_altered_back(
    engine: Engine, away: str, back: str, said: str | None
) -> None:
    engine.up(**{**PLAIN, "order_by": ["id"], "partition_by": None})
    alterations = Alterations(engine.pipeline, engine.database)
    assert alterations.look(engine.client) == []
    for clause in (away, back):
        engine.client.command(f"ALTER TABLE {engine.database}.events {clause}")
    found = alterations.look(engine.client)
    assert [said is not None and said in each for each in found] == [True] * (said is not None)
    assert alterations.look(engine.client) == []


def test_what_up_changes_is_no_loss(engine: Engine) -> None:
    engine.up(**PLAIN)
    alterations = Alterations(engine.pipeline, engine.database)
    alterations.look(engine.client)
    fields = {**PLAIN["fields"], "ms": "Int64", "more": "String"}
    engine.up(**{**PLAIN, "fields": fields})
    engine.up(**PLAIN)
    assert alterations.look(engine.client) == []


def test_a_column_of_the_dead_letters(engine: Engine) -> None:
    engine.up(**PLAIN)
    alterations = Alterations(engine.pipeline, engine.database)
    alterations.look(engine.client)
    for clause in ("DROP COLUMN field", "ADD COLUMN field LowCardinality(String)"):
        engine.client.command(f"ALTER TABLE {engine.database}.dead_letters {clause}")
    (found,) = alterations.look(engine.client)
    assert "dead_letters was for a time without the column field" in found
