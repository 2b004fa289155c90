"""Exactly once through the command: SQL that throws, offsets moved back, two tables, two groups."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Sequence

import pytest

from tests.plugins import damage
from tests.plugins.stack import Project

THROWS = ("--set", "pipeline.columns.checked=\"throwIf(request_latency_ms = 7, 'seven')\"")
SMALL = ("--set", "batch.max_rows=500")


def _event(latency: int, **fields: object) -> bytes:
    event = {
        "event_id": str(uuid.uuid4()),
        "user_id": str(uuid.uuid4()),
        "session_id": str(uuid.uuid4()),
        "event_type": "SEARCH",
        "event_timestamp": 1_700_000_000_000,
        "request_latency_ms": latency,
        "status": "SUCCESS",
    }
    return json.dumps(event | fields).encode()


def test_messages_that_the_sql_throws_on_become_dead_letters(stack: Project) -> None:
    stack.run("up", *THROWS)
    lines = [_event(7 if n % 400 == 3 else 50) for n in range(2000)]
    lines[10] = b"not json"
    stack.run("produce", "--input", "-", stdin=b"\n".join(lines))
    result = stack.json("consume", "--until-end", *THROWS, *SMALL)
    assert (result["records"], result["dead_letters"], result["resolved"]) == (2000, 6, 0)
    assert result["dead_lettered_by_bisecting"] == 5
    assert result["rows"] == 1994
    assert result["rejected"] == [
        {"reason": "insert failed", "field": "checked", "dead_letters": 5},
        {"reason": "not JSON", "field": "", "dead_letters": 1},
    ]
    report = stack.json("verify")
    assert (report["stored"], report["dead_letters"]) == (1994, 6)
    assert (report["missing"], report["duplicated"]) == (0, 0)
    letters = stack.rows(
        "SELECT error, field, "
        "JSONExtractInt(assumeNotNull(value), 'request_latency_ms') AS latency "
        "FROM dead_letters WHERE reason = 'insert failed'"
    )
    assert {row["latency"] for row in letters} == {7}
    assert {row["field"] for row in letters} == {"checked"}
    assert all(row["error"].startswith("pipeline.columns.checked: seven") for row in letters)


def test_a_run_that_is_mostly_rejected_says_why_and_what_to_run(stack: Project) -> None:
    """Once, for all workers of a group."""
    stack.run("up", *THROWS)
    stack.run("produce", "--input", "-", stdin=b"\n".join([*[_event(7)] * 60, *[_event(8)] * 20]))
    done = stack.run("consume", "--workers", "2", "--until-end", *THROWS)
    assert "stored 20 rows and 60 dead letters" in done.stdout.decode()
    assert "  60 dead letters: insert failed, column checked" in done.stdout.decode()
    warned = done.stderr.decode()
    assert warned.count("60 of 80 messages became dead letters") == 1
    assert "nrtctl dlq replay --reason 'insert failed' --execute" in warned


@pytest.mark.parametrize(
    "points",
    [
        ("bisect-answered=1",),
        pytest.param(
            ("bisect-answered=1", "dead-letter-answered=1", "insert-answered=1"),
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_crash_while_bisecting_is_taken_up_again(stack: Project, points: Sequence[str]) -> None:
    stack.run("up", *THROWS)
    lines = [_event(7 if n in {100, 101, 1500} else 50) for n in range(2000)]
    stack.run("produce", "--input", "-", stdin=b"\n".join(lines))
    for point in points:
        stack.environ["NRTCTL_FAULT"] = point
        done = stack.run("consume", "--until-end", *THROWS, *SMALL,
                         "--set", "consumer.session_timeout=6s", code=None)  # fmt: skip
        assert done.returncode == -9, (point, done.stderr)
    del stack.environ["NRTCTL_FAULT"]
    stack.run("consume", "--until-end", *THROWS, *SMALL)
    report = stack.json("verify")
    assert (report["stored"], report["dead_letters"]) == (1997, 3)
    assert (report["missing"], report["duplicated"]) == (0, 0)


def test_a_pending_batch_larger_than_the_buffer_is_taken_up_again(stack: Project) -> None:
    """As a member finds it that takes over from others, or was given less memory."""
    stack.run("produce", "--count", "30000")
    stack.environ["NRTCTL_FAULT"] = "insert-answered=1"
    short = ("--set", "consumer.session_timeout=6s")
    assert stack.run("consume", "--until-end", *short, code=None).returncode == -9
    del stack.environ["NRTCTL_FAULT"]
    pending = [each["pending"] for each in stack.json("verify")["partitions"]]
    assert all(pending)
    done = stack.json("consume", "--until-end", "--set", "consumer.max_buffer=1MiB")
    assert done["records"] + done["resolved"] == 30000
    assert done["resolved"] > 0
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"]) == (0, 0)


def test_an_emptied_table_is_filled_again_though_the_tokens_are_known(stack: Project) -> None:
    stack.run("produce", "--count", "3000")
    stack.run("consume", "--until-end", *SMALL)
    stack.write("TRUNCATE TABLE nrt.events")
    damage.delete(stack, "dead_letters", "1")
    _delete_offsets(stack)
    stack.run("consume", "--until-end", *SMALL)
    report = stack.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (3000, 0, 0)


def test_a_group_that_starts_over_heals_what_was_taken_and_doubled(stack: Project) -> None:
    stack.run("produce", "--count", "1500")
    stack.run("consume", "--until-end", *SMALL)
    damage.double(stack, "events", "_partition = 0 AND _offset % 50 = 1")
    damage.delete(stack, "events", "_partition = 1 AND _offset % 70 = 3")
    _delete_offsets(stack)
    stack.run("consume", "--until-end", "--set", "batch.max_rows=333")
    report = stack.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (1500, 0, 0)
    assert stack.value("SELECT sum(total_events) FROM event_metrics") == 1500


def test_two_tables_on_one_topic_by_two_groups(stack: Project) -> None:
    other = ("--set", "pipeline.table=copy", "--set", "consumer.group=second",
             "--set", "pipeline.rollups={}")  # fmt: skip
    stack.run("up", *other)
    stack.run("produce", "--count", "2000", "--invalid", "5")
    consumers = [
        stack.start("consume", "--until-end", *SMALL),
        stack.start("consume", "--until-end", *SMALL, *other),
    ]
    for consumer in consumers:
        _, errors = consumer.communicate(timeout=120)
        assert consumer.returncode == 0, errors
    for report in (stack.json("verify"), stack.json("verify", *other)):
        assert report["stored"] + report["dead_letters"] == 2000
        assert (report["missing"], report["duplicated"]) == (0, 0)


def test_two_tables_in_one_group_are_refused(stack: Project) -> None:
    other = ("--set", "pipeline.table=copy", "--set", "pipeline.rollups={}",
             "--set", "consumer.group=nrtctl-events")  # fmt: skip
    stack.run("up", *other)
    stack.run("produce", "--count", "100")
    stack.run("consume", "--until-end")
    done = stack.run("consume", "--until-end", *other, code=1)
    assert b"table 'events'" in done.stderr
    assert b"consumer.group" in done.stderr


def _delete_offsets(project: Project) -> None:
    """As a person would with another tool: through Kafka's own admin client."""
    code = (
        "from confluent_kafka.admin import AdminClient;"
        "import json, sys;"
        "address = json.load(open('.nrtctl/kafka/endpoint.json'));"
        "admin = AdminClient({'bootstrap.servers': '127.0.0.1:%d' % address['port']});"
        "[f.result() for f in admin.delete_consumer_groups(['nrtctl-events']).values()]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project.directory, check=True, timeout=60)
