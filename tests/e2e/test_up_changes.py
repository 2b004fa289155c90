"""`up` with a changed configuration, as a person types it, on a stack that is in use."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest

from tests.plugins.damage import admin
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

ADDED = (
    "--set", "pipeline.columns.slow='request_latency_ms > 100'",
    "--set", "pipeline.rejects.search=\"event_type = 'SEARCH'\"",
)  # fmt: skip


def test_a_changed_pipeline_is_applied_and_a_changed_type_refused(stack: Project) -> None:
    stack.run("produce", "--count", "500", "--seed", "1")
    stack.run("consume", "--until-end")
    steps = stack.json("up", *ADDED)["steps"]
    assert {step["name"] for step in steps if step["action"] != "kept"} == {
        "events", "events_landing_view", "events_accepted",
    }  # fmt: skip
    stack.run("produce", "--count", "500", "--seed", "2")
    stack.run("consume", "--until-end", *ADDED)
    reasons = stack.rows("SELECT reason, count() AS n FROM dead_letters GROUP BY reason")
    assert [row["reason"] for row in reasons] == ["search"]
    assert stack.value("SELECT count() FROM events") == 1000 - reasons[0]["n"]
    assert stack.value("SELECT countIf(slow != (request_latency_ms > 100)) FROM events") == 0
    refused = stack.run("up", "--set", "pipeline.fields.request_latency_ms='Float64'", code=2)
    assert b"the type of stored values cannot be changed" in refused.stderr
    assert b"replay load --into events_2 --swap" in refused.stderr
    assert stack.value("SELECT count() FROM events") == 1000 - reasons[0]["n"]


def test_nothing_is_created_for_a_pipeline_that_is_refused(stack: Project) -> None:
    new = ("--set", "pipeline.topic=new", "--set", "clickhouse.database=new")
    for wrong in (
        "pipeline.columns.x='no_such(1)'",
        "pipeline.partition_by='rand()'",
        "pipeline.topic_config={'no.such.setting'='1'}",
    ):
        refused = stack.run("up", *new, "--set", wrong, code=2)
        assert b"error: " in refused.stderr
        assert "new" not in admin(stack).list_topics(timeout=30).topics
        assert stack.rows("SELECT name FROM system.databases WHERE name = 'new'") == []
    more = ("--set", "pipeline.fields.mine='String'")
    assert b"nrtctl produce --input FILE" in stack.run("up", *new, *more).stderr
    assert "new" in admin(stack).list_topics(timeout=30).topics


def test_rows_go_into_a_table_of_the_users_own(stack: Project) -> None:
    own = (
        *("--set", "pipeline.table=own"),
        *("--set", "pipeline.rollups={}"),
        *("--set", "pipeline.order_by=[]"),
    )
    stack.run(
        "query",
        "--write",
        "CREATE TABLE own (event_id UUID, mine String DEFAULT 'x') ENGINE = MergeTree "
        "ORDER BY event_id",
    )
    stack.run("query", "--write", "INSERT INTO own (mine) VALUES ('before')")
    assert b"nrtctl produce --count" in stack.run("up", *own).stderr
    stack.run("produce", "--count", "300", "--invalid", "10")
    stack.run("consume", "--until-end", *own)
    report = stack.json("verify", *own)
    assert report["stored"] + report["dead_letters"] == 300
    assert (report["missing"], report["duplicated"]) == (0, 0)
    stack.run(
        "query",
        "--write",
        "ALTER TABLE own DELETE WHERE _offset = 1 AND _topic != '' SETTINGS mutations_sync = 2",
    )
    assert stack.json("verify", *own, code=5)["missing"] >= 1
    stack.run("verify", "--repair", "--execute", *own)
    assert (
        stack.value("SELECT count() FROM own WHERE mine = 'x' AND _topic != ''")
        == (report["stored"])
    )
    assert stack.value("SELECT count() FROM own WHERE mine = 'before'") == 1


def test_up_while_a_producer_and_a_consumer_run(stack: Project) -> None:
    consumer = stack.start("consume")
    producer = stack.start("produce", "--count", "12000", "--rate", "3000", "-o", "json")
    try:
        stack.run("up", *ADDED)
        stack.run("up", "--set", "pipeline.rejects.none='false'")
        assert producer.wait(120) == 0
        # The running consumer stores by the pipeline that `up` applied last.
        stack.run("up", "--set", "pipeline.rejects.all='true'")
        stack.run("produce", "--count", "1000", "--seed", "9")
        both = "SELECT 1 FROM events UNION ALL SELECT 1 FROM dead_letters"
        stored = f"SELECT count() FROM ({both})"
        eventually(lambda: stack.value(stored) == 13_000, "all are stored", within=120)
        consumer.send_signal(signal.SIGINT)
        _, errors = consumer.communicate(timeout=60)
        assert consumer.returncode == 0, errors.decode()
    finally:
        for process in (consumer, producer):
            process.kill()
            process.communicate()
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)
    assert report["stored"] + report["dead_letters"] == 13_000
    assert stack.value("SELECT count() FROM dead_letters WHERE reason = 'all'") >= 1000


@pytest.mark.long
def test_up_killed_in_the_middle_then_again(stack: Project) -> None:
    """After each of its statements: contract/schema/test_changes."""
    stack.run("produce", "--count", "500", "--seed", "1")
    stack.run("consume", "--until-end")
    for wait in (0.2, 0.4, 0.6, 0.8, 1.0, 1.2):
        killed = stack.start("up", *ADDED)
        try:
            killed.wait(wait)
        except subprocess.TimeoutExpired:
            killed.kill()
        killed.communicate()
    stack.run("up", *ADDED)
    assert {step["action"] for step in stack.json("up", *ADDED)["steps"]} == {"kept"}
    stack.run("produce", "--count", "500", "--seed", "2")
    stack.run("consume", "--until-end", *ADDED)
    report = stack.json("verify")
    assert report["stored"] + report["dead_letters"] == 1000
    assert (report["missing"], report["duplicated"]) == (0, 0)
    assert stack.value("SELECT countIf(slow != (request_latency_ms > 100)) FROM events") == 0


def test_two_ups_at_once(project: Project) -> None:
    both = [project.start("up", "-o", "json") for _ in range(2)]
    try:
        for process in both:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors.decode()
    finally:
        for process in both:
            process.kill()
    assert {step["action"] for step in project.json("up")["steps"]} == {"kept"}
    assert all(row["ok"] for row in project.json("doctor"))
    project.run("produce", "--count", "100")
    project.run("consume", "--until-end")
    assert project.json("verify")["stored"] == 100


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(ADDED, id="both"),
        pytest.param(ADDED[:2], id="column", marks=pytest.mark.long),
        pytest.param(ADDED[2:], id="rule", marks=pytest.mark.long),
    ],
)
def test_a_batch_repeated_by_a_changed_pipeline(stack: Project, change: tuple[str, ...]) -> None:
    """The insert has landed, its offsets are not committed, and the pipeline is changed then."""
    small = ("--set", "batch.max_rows=200", "--set", "consumer.session_timeout=6s")
    stack.run("produce", "--count", "2000", "--seed", "1")
    stack.environ["NRTCTL_FAULT"] = "insert-answered=3"
    assert stack.run("consume", "--until-end", *small, code=None).returncode == -signal.SIGKILL
    del stack.environ["NRTCTL_FAULT"]
    stack.run("up", *change)
    stack.run("consume", "--until-end", *small, *change)
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)
    assert report["stored"] + report["dead_letters"] == 2000


def test_a_rollup_for_a_table_in_use_survives_a_killed_engine(stack: Project) -> None:
    """Held back, the build is not done when the engine is killed; it goes on after the restart."""
    stack.run("produce", "--count", "4000", "--seed", "1")
    stack.run("consume", "--until-end", "--set", "batch.max_rows=400")
    stack.run("query", "--write", "SYSTEM STOP MERGES events")
    rollup = (
        "--set", "pipeline.rollups.by_product.by.product='product_id'",
        "--set", "pipeline.rollups.by_product.by.type='event_type'",
        "--set", "pipeline.rollups.by_product.values.n='count()'",
        "--set", "pipeline.rollups.by_product.values.slowest='max(request_latency_ms)'",
    )  # fmt: skip
    (building,) = stack.json("up", *rollup)["building"]
    assert building["projection"] == "by_product"
    assert building["left"] == building["parts"] > 0
    assert building["failure"] is None
    by_hand = (
        "SELECT product_id AS product, event_type AS type, count() AS n, "
        "max(request_latency_ms) AS slowest FROM events GROUP BY product, type "
        "ORDER BY product, type SETTINGS optimize_use_projections = 0"
    )
    view = "SELECT * FROM by_product ORDER BY product, type"
    assert stack.rows(view) == stack.rows(by_hand)
    (process,) = (row["pid"] for row in stack.json("status") if row["part"] == "clickhouse")
    os.kill(process, signal.SIGKILL)
    done = stack.run("up", "--wait", *rollup, "-o", "json")
    assert json.loads(done.stdout)["building"] == []
    stack.run("produce", "--count", "1000", "--seed", "2")
    stack.run("consume", "--until-end", *rollup)
    assert stack.json("up", "--wait", *rollup)["building"] == []
    assert stack.rows(view) == stack.rows(by_hand)
    assert stack.value("SELECT sum(n) FROM by_product") == 5000
    plan = "\n".join(str(row) for row in stack.rows("EXPLAIN SELECT * FROM by_product"))
    assert re.findall(r"ReadFrom\w+ \([^)]*\)", plan) == ["ReadFromMergeTree (by_product)"], plan
