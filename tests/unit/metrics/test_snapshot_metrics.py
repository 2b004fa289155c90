"""What `stats --serve` tells: of a single pipeline as ever, of several each with its name."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families as families

from nrtctl.clock import ManualClock
from nrtctl.metrics.names import COMMANDS, PIPELINE
from nrtctl.metrics.snapshot import SnapshotMetrics
from nrtctl.stats.snapshot import Problem, Shots
from tests.unit.stats.example import SNAPSHOT

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def told(shots: Shots, *schemas: str) -> tuple[SnapshotMetrics, Samples]:
    """Name and labels to value; no series is told twice."""
    registry = CollectorRegistry()
    metrics = SnapshotMetrics(registry, clock=ManualClock(), stale=30, schemas=schemas)
    metrics.show(shots)
    text = generate_latest(registry).decode()
    samples = [each for family in families(text) for each in family.samples]
    found = {(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}
    assert len(found) == len(samples)
    return metrics, found


def test_a_single_pipeline_has_no_further_label_whatever_its_name() -> None:
    _, alone = told({"": SNAPSHOT})
    assert told({"orders": SNAPSHOT})[1] == alone
    labels = {name: tuple(label for label, _ in each) for name, each in alone}
    assert labels == {each.name: tuple(sorted(each.labels)) for each in COMMANDS["stats"]}


def test_several_tell_the_same_each_with_its_name() -> None:
    """Also where all else is the same: two pipelines of one topic, and dead letters by reason."""
    _, alone = told({"": SNAPSHOT})
    other = replace(SNAPSHOT, stored=7)
    _, both = told({"orders": SNAPSHOT, "clicks": other})
    for name, expected in (("orders", alone), ("clicks", told({"": other})[1])):
        assert expected == {
            (metric, tuple(each for each in labels if each[0] != PIPELINE)): value
            for (metric, labels), value in both.items()
            if (PIPELINE, name) in labels
        }
    assert len(both) == 2 * len(alone)


def test_readiness_names_the_pipeline_that_is_bad() -> None:
    problem = Problem("kafka", "topic 'clicks' does not exist", None, False)
    bad = replace(SNAPSHOT, errors=[problem])
    metrics, both = told({"orders": SNAPSHOT, "clicks": bad})
    assert metrics.health.ready() == ["clicks: kafka: topic 'clicks' does not exist"]
    assert metrics.health.alive() == []
    assert both["nrtctl_up", ((PIPELINE, "clicks"), ("service", "kafka"))] == 1, "it answered"
    assert both["nrtctl_up", ((PIPELINE, "orders"), ("service", "kafka"))] == 1
    assert told({"": bad})[0].health.ready() == ["kafka: topic 'clicks' does not exist"]
    assert told({})[0].health.ready() == ["there is no snapshot yet"]


def test_a_service_that_cannot_be_reached_is_not_up() -> None:
    gone = replace(SNAPSHOT, errors=[Problem("clickhouse", "it does not answer", None, True)])
    found = told({"": gone})[1]
    assert found["nrtctl_up", (("service", "clickhouse"),)] == 0
    assert found["nrtctl_up", (("service", "kafka"),)] == 1


def test_a_registry_is_up_or_not_wherever_a_pipeline_needs_one() -> None:
    of_registry = ("nrtctl_up", (("service", "registry"),))
    assert of_registry not in told({"": SNAPSHOT})[1]
    assert told({"": SNAPSHOT}, "")[1][of_registry] == 1
    away = Problem("registry", "the schema registry does not answer", None, True)
    found = told({"": replace(SNAPSHOT, errors=[away])}, "")[1]
    assert found[of_registry] == 0
    assert found["nrtctl_up", (("service", "kafka"),)] == 1
    both = told({"orders": SNAPSHOT, "clicks": SNAPSHOT}, "clicks")[1]
    assert both["nrtctl_up", ((PIPELINE, "clicks"), ("service", "registry"))] == 1
    assert ("nrtctl_up", ((PIPELINE, "orders"), ("service", "registry"))) not in both
