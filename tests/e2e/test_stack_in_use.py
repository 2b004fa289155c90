"""`up`, `status`, `doctor` as a person types them, on a stack that goes on running."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_stack import delivered, said
from tests.plugins.stack import Project


@pytest.mark.long
def test_two_stacks_run_side_by_side(stack: Project, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other")
    other.run("init")
    other.use_free_ports()
    try:
        first, second = stack.json("status"), other.json("up")
        assert second["kafka"] != first[0]["address"]
        other.run("produce", "--count", "5")
        assert stack.json("stats", "--once")["lag_records"] == 0
        assert other.json("stats", "--once")["lag_records"] == 5
        other.run("down")
        assert [row["state"] for row in stack.json("status")] == ["running", "running"]
    finally:
        other.down()


def test_another_address_than_the_running_one_is_refused(stack: Project) -> None:
    for setting in ("kafka.bootstrap_servers=127.0.0.1:2", "clickhouse.url=http://127.0.0.1:2"):
        text = said(stack, "up", "--set", setting, code=2)
        assert "runs at 127.0.0.1:" in text
        assert "nrtctl down" in text
        checks = {row["check"]: row for row in stack.json("doctor", "--set", setting, code=5)}
        assert any("address" in name and not row["ok"] for name, row in checks.items())


def test_what_is_not_set_is_not_done(stack: Project) -> None:
    """Set: test_stack."""
    assert not delivered(stack, "never-made")
    asked = stack.run("query", "SELECT count() FROM system.query_log", code=1)
    assert "local.system_logs" in asked.stderr.decode()


def test_doctor_names_what_mends_each_check(stack: Project) -> None:
    stack.run("produce", "--count", "5")
    for arguments, check, fix in (
        (("--set", "pipeline.partitions=7"), "topic user_events", "pipeline.partitions = 4"),
        (("--set", "pipeline.topic=nowhere"), "topic nowhere", "nrtctl up"),
        (("--set", "clickhouse.database=nowhere"), "tables", "nrtctl up"),
        (("--set", "clickhouse.password=wrong"), "ClickHouse answers", "clickhouse.password"),
    ):
        rows = stack.json("doctor", *arguments, code=5)
        failed = {row["check"]: row["fix"] for row in rows if not row["ok"]}
        assert fix in failed.pop(check)
        assert failed == {}
    text = stack.run("doctor", "--set", "pipeline.partitions=7", code=5).stdout.decode()
    assert "FAIL  topic user_events" in text
    assert "set pipeline.partitions = 4" in text


def test_no_secret_is_ever_shown(stack: Project) -> None:
    """Planted ones, and the front's own password, in everything that is said and logged."""
    own = (stack.directory / ".nrtctl" / "clickhouse" / "password").read_text()
    planted = "s3cret-planted"
    secrets = ("--set", f"clickhouse.password={planted}", "--set", f"kafka.sasl_password={planted}",
               "--set", f"kafka.properties.ssl.key.password={planted}")  # fmt: skip
    commands: list[tuple[str, ...]] = [
        ("config", "show"), ("config", "show", "--origin"), ("config", "show", "-o", "json"),
        ("config", "validate"), ("status", "-v"), ("doctor",), ("up", "-v"),
        ("query", "SELECT 1"), ("produce", "--count", "1"), ("stats", "--once"), ("verify",),
        ("consume", "--until-end"),
    ]  # fmt: skip
    for command in commands:
        for extra in ((), (*secrets, "--debug")):
            done = stack.run(*command, *extra, code=None)
            for secret in (own, planted):
                assert secret.encode() not in done.stdout + done.stderr, command
    logs = [path.read_bytes() for path in (stack.directory / ".nrtctl" / "logs").iterdir()]
    assert len(logs) >= 2
    assert not any(secret.encode() in log for log in logs for secret in (own, planted))
