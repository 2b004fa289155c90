"""Where the views that feed a pipeline's tables store, and what is said if that is elsewhere."""

from __future__ import annotations

import pytest

from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import existing
from nrtctl.schema.cluster_ddl import feeding_views
from nrtctl.schema.existing import stores_into

PIPELINE = Pipeline(fields={"id": "UInt32"})


@pytest.mark.parametrize(
    ("text", "into"),
    [
        ("CREATE MATERIALIZED VIEW db.v TO db.t (`x` Int8) AS SELECT 1 AS x", "db.t"),
        ("CREATE MATERIALIZED VIEW db.v TO `d-b`.`t` (`x` Int8) AS SELECT 1", "d-b.t"),
        ("CREATE MATERIALIZED VIEW db.v UUID '1-2' TO db.t AS SELECT ' TO db.u'", "db.t"),
        ("CREATE MATERIALIZED VIEW db.v (`x` Int8) ENGINE = Log AS SELECT ' TO db.u'", ""),
        ("CREATE VIEW db.v AS SELECT 1", ""),
        ("", ""),
    ],
)
def test_the_table_of_a_view_is_read_from_its_statement(text: str, into: str) -> None:
    assert stores_into(text) == into


@pytest.mark.parametrize("cluster", [None, "shop"])
def test_dead_letters_in_another_table_are_named_as_they_are_configured(
    cluster: str | None,
) -> None:
    feeding = feeding_views(PIPELINE, "db", cluster)
    there = {view: target for view, (target, _) in feeding.items()}
    existing.targets(PIPELINE, feeding, there)
    existing.targets(PIPELINE, feeding, {})
    before = Pipeline(fields={"id": "UInt32"}, dead_letters="letters")
    there = {view: target for view, (target, _) in feeding_views(before, "db", cluster).items()}
    with pytest.raises(ConfigError) as refused:
        existing.targets(PIPELINE, feeding, there)
    assert 'set pipeline.dead_letters = "letters"' in str(refused.value.hint)


def test_another_view_is_to_be_dropped() -> None:
    feeding = feeding_views(PIPELINE, "db", None)
    with pytest.raises(ConfigError, match=r"events_accepted stores into db\.mine") as refused:
        existing.targets(PIPELINE, feeding, {"events_accepted": "db.mine"})
    assert "drop the view" in str(refused.value.hint)
