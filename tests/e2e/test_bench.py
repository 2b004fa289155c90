"""`nrtctl bench`: what it prints, and that it leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from nrtctl.local.process import Endpoint
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    (tmp_path / "tmp").mkdir()
    made.environ["TMPDIR"] = str(tmp_path / "tmp")
    return made


def left(project: Project) -> list[str]:
    return [path.name for path in (project.directory / "tmp").iterdir()]


def check(figure: Any, runs: int) -> None:
    assert len(figure["runs"]) == runs
    assert 0 < figure["min"] <= figure["median"] <= figure["max"]


@pytest.mark.parametrize(
    ("runs", "more"), [(1, ()), pytest.param(2, ("--plain",), marks=pytest.mark.long)]
)
def test_ingest_is_compared_with_the_engine(
    project: Project, runs: int, more: tuple[str, ...]
) -> None:
    found = project.json("bench", "ingest", "--count", "2000", "--runs", str(runs), *more)
    for name in ("ratio", "rate", "limit_rate"):
        check(found[name], runs)
    for name in ("plain_10_rate", "over_plain_10000"):
        if more:
            check(found[name], runs)
        else:
            assert name not in found
    for name in (
        "consumer_messages_per_cpu_second",
        "consumer_peak_memory_mb",
        "clickhouse_cpu_seconds_per_million",
        "limit_clickhouse_cpu_seconds_per_million",
    ):
        check(found[name], runs)
    if more and shutil.which("kcat"):
        check(found["kcat_consume_rate"], runs)
        check(found["over_kcat_consume"], runs)
    for ratio, rate, limit in zip(
        found["ratio"]["runs"], found["rate"]["runs"], found["limit_rate"]["runs"], strict=True
    ):
        assert ratio == pytest.approx(rate / limit, abs=0.001)
    assert found["bytes"] > 2000 * 200
    assert found["machine"]["cores"] >= 1
    assert found["versions"]["clickhouse"]
    assert found["settings"]["delivery"] == "exactly-once"
    assert left(project) == []


@pytest.mark.long
def test_producing_is_measured_with_and_without_keys(project: Project) -> None:
    found = project.json("bench", "produce", "--count", "2000", "--runs", "1")
    for name in ("unkeyed_rate", "keyed_rate", "generated_rate", "generated_per_cpu_second"):
        check(found[name], 1)
    for name in ("keyed_ratio", "unkeyed_idempotent_ratio"):
        assert (name in found) == found["kcat"]
    assert left(project) == []


@pytest.mark.long
def test_all_of_it(project: Project) -> None:
    times = ("--runs", "1", "--duration", "1", "--warm-up", "0.5")
    arguments = ("--count", "2000", *times, "--set", "batch.max_rows=700")
    found = json.loads(project.run("bench", "all", *arguments, "-o", "json", timeout=280).stdout)
    for name in ("unkeyed_rate", "keyed_rate", "generated_rate", "generated_per_cpu_second"):
        check(found["produce"][name], 1)
    for name in ("keyed_ratio", "unkeyed_idempotent_ratio"):
        assert (name in found["produce"]) == found["produce"]["kcat"]
    check(found["ingest"]["ratio"], 1)
    for name in ("latency_20000", "latency_1000"):
        latency = found[name]
        check(latency["p50_ms"], 1)
        assert (
            latency["p50_ms"]["median"] <= latency["p99_ms"]["median"] <= latency["max_ms"]["max"]
        )
    assert found["settings"]["max_rows"] == 700
    assert left(project) == []


@pytest.mark.long
def test_latency_as_a_table(project: Project) -> None:
    words = ("--rate", "200", "--duration", "1s", "--warm-up", "500ms", "--runs", "1")
    done = project.run("bench", "latency", *words)
    assert "p99_ms" in done.stdout.decode()
    assert "machine: cores" in done.stdout.decode()
    assert b"run 1 of 1" in done.stderr


@pytest.mark.parametrize(
    ("option", "given", "why"),
    [
        ("--duration", "0.5", "--duration must be at least 1s"),
        ("--duration", "500ms", "--duration must be at least 1s"),
        ("--duration", "ten", "--duration: 'ten' is not a duration"),
        ("--warm-up", "-1s", "--warm-up: '-1s' is not a duration"),
    ],
)
def test_times_that_are_none_are_refused_before_anything_is_started(
    project: Project, option: str, given: str, why: str
) -> None:
    for words in (("latency", "--rate", "200"), ("all",)):
        assert why in project.run("bench", *words, option, given, code=2).stderr.decode()


def test_a_configuration_is_refused(project: Project) -> None:
    assert (
        b"it takes no configuration"
        in project.run("bench", "all", "--config", "x.toml", code=2).stderr
    )
    assert b"nonsense" in project.run("bench", "all", "--set", "nonsense=1", code=2).stderr
    assert left(project) == []


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_an_interrupt_leaves_nothing_behind(project: Project, number: signal.Signals) -> None:
    process = project.start("bench", "produce", "--count", "3000000")
    found = eventually(
        lambda: [
            endpoint
            for path in (project.directory / "tmp").glob("nrtctl-bench-*/.nrtctl/clickhouse")
            if (endpoint := Endpoint.read(path))
        ],
        "its stack runs",
    )
    process.send_signal(number)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert out == b""
    assert not Path(f"/proc/{found[0].pid}").exists()
    assert left(project) == []
