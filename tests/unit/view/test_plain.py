"""The overview of several pipelines as plain tables."""

from __future__ import annotations

from dataclasses import replace

from nrtctl.stats.snapshot import Problem, Verdict
from nrtctl.view.plain import overview, tables
from tests.unit.stats.example import SNAPSHOT


def test_each_has_a_row_and_each_that_is_not_well_a_reason() -> None:
    gone = "Kafka does not answer"
    fine = replace(SNAPSHOT, errors=[])
    bad = replace(
        SNAPSHOT,
        verdict=Verdict("Kafka gone", gone),
        errors=[
            Problem("kafka", gone, None, True),
            Problem("metrics", "metric x: no", None, False),
        ],
        lag_records=None,
        produced_per_second=None,
    )
    (columns, rows), (_, why) = overview({"orders": fine, "clicks": bad})
    first, second = (dict(zip(columns, row, strict=True)) for row in rows)
    assert (first["pipeline"], first["state"], first["in"]) == ("orders", "ok", "100/s")
    assert (first["lag"], first["oldest"], first["p99"]) == (12, "2.5 s", "1.5 s")
    assert (second["state"], second["in"], second["lag"]) == ("Kafka gone", "-", None)
    assert why == [("clicks", gone), ("clicks", "metric x: no")], "what is said twice, once"
    assert len(overview({"orders": fine, "clicks": fine})) == 1


def test_a_small_rate_is_not_said_to_be_none() -> None:
    ((_, rows), *_) = tables(replace(SNAPSHOT, produced_per_second=0.4))
    assert ("produced", "0.4/s") in rows
