"""What goes wrong ends with what, why, and the way out, and the right exit code."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.plugins.stack import Project


def _said(project: Project, *arguments: str, code: int) -> str:
    done = project.run(*arguments, code=code)
    assert done.stdout == b""
    text = done.stderr.decode()
    assert "Traceback" not in text
    return text


def test_a_port_in_use(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = _said(project, "up", "--set", f"kafka.bootstrap_servers={address}", code=3)
        assert "cannot listen" in text
        assert "kafka.bootstrap_servers" in text
        text = _said(project, "up", "--set", f"clickhouse.url=http://{address}", code=3)
        assert "clickhouse.url" in text


def test_a_state_directory_that_cannot_be_made(project: Project) -> None:
    (project.directory / "file").write_text("")
    text = _said(project, "up", "--set", "local.state_dir=file/state", code=1)
    assert "cannot be written" in text
    assert "local.state_dir" in text


def test_a_wrong_password(stack: Project) -> None:
    text = _said(stack, "query", "SELECT 1", "--set", "clickhouse.password=wrong", code=3)
    assert "refuses the user" in text
    assert "clickhouse.password" in text


def test_an_unknown_topic(stack: Project) -> None:
    for command in (("consume", "--until-end"), ("produce", "--count", "1"), ("verify",)):
        text = _said(stack, *command, "--set", "pipeline.topic=nowhere", code=1)
        assert "nowhere" in text
        assert "nrtctl up" in text


def test_a_table_with_other_columns(stack: Project) -> None:
    stack.run("query", "--write", "CREATE TABLE nrt.other (x Int8) ENGINE = MergeTree ORDER BY x")
    text = _said(stack, "up", "--set", "pipeline.table=other", code=2)
    assert "nrt.other, which nrtctl has not created, is sorted by (x)" in text
    columns = "SELECT count() FROM system.columns WHERE database = 'nrt' AND table = 'other'"
    assert stack.value(columns) == 1


def test_a_table_that_cannot_be_loaded_is_not_replaced(stack: Project) -> None:
    """`up` created an empty one in its place, so that the definition, once it was fixed as `up`
    says, was not taken back."""
    number = "SELECT toString(uuid) FROM system.tables WHERE database = 'nrt' AND name = 'events'"
    before = stack.value(number)
    stack.run("down")
    (path,) = stack.directory.glob(".nrtctl/clickhouse/data/store/*/*/events.sql")
    definition = path.read_bytes()
    path.write_bytes(b"")
    text = _said(stack, "up", code=1)
    assert "could not load the table nrt.events" in text
    assert "nothing is created in its place" in text
    (kept,) = stack.directory.glob(".nrtctl/clickhouse/not-loaded/store/*/*/events.sql")
    assert str(kept) in text
    kept.write_bytes(definition)
    stack.run("down")
    stack.run("up")
    assert stack.value(number) == before


def test_nothing_runs(project: Project) -> None:
    for command in (("produce", "--count", "1"), ("consume",), ("stats", "--once"), ("verify",)):
        assert "nrtctl up" in _said(project, *command, code=3)


def test_broken_sql_in_the_pipeline(stack: Project) -> None:
    """More of it: contract/schema/test_sql."""
    sql = "1) FROM x; DROP TABLE y; (SELECT 1"
    text = _said(stack, "up", "--set", f"pipeline.rejects.bad={json.dumps(sql)}", code=2)
    assert "pipeline.rejects" in text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[batch]\nmax_rowz = 1\n", ["nrtctl.toml:2", "batch.max_rowz", "max_rows"]),
        ("[batch]\nmax_wait = 5\n", ["nrtctl.toml:2", "batch.max_wait", "5s"]),
        ("[clickhouse]\ndatabase = 'a b'\n", ["nrtctl.toml:2", "clickhouse.database", "SQL"]),
        ("[batch\n", ["nrtctl.toml", "TOML"]),
        ("[pipeline.fields]\na = 'Strin'\n", ["pipeline", "String"]),
    ],
)
def test_a_wrong_configuration_is_one_clear_line(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    project = Project(tmp_path)
    (tmp_path / "nrtctl.toml").write_text(text)
    said = _said(project, "config", "validate", code=2)
    assert all(part in said for part in parts), said
    assert said.count("error: ") == 1


def test_a_password_is_never_shown(project: Project) -> None:
    project.environ["NRTCTL_CLICKHOUSE__PASSWORD"] = "s3cret-value"
    for command in (
        ("config", "show"),
        ("config", "show", "--origin"),
        ("config", "show", "-o", "json"),
    ):
        assert b"s3cret-value" not in project.run(*command).stdout
    done = project.run("doctor", code=5)
    assert b"s3cret-value" not in done.stdout + done.stderr


@pytest.mark.long
def test_a_password_is_not_shown_by_up(project: Project) -> None:
    project.environ["NRTCTL_CLICKHOUSE__PASSWORD"] = "s3cret-value"
    assert b"s3cret-value" not in project.run("up").stdout


def test_precedence_and_origin(project: Project) -> None:
    project.environ["NRTCTL_BATCH__MAX_ROWS"] = "77"
    project.environ["NRTCTL_BATCH__MAX_WAIT"] = "3s"
    rows = project.json("config", "show", "--origin", "--set", "batch.max_wait=4s")
    found = {row["key"]: (row["value"], row["origin"]) for row in rows}
    assert found["batch.max_wait"] == ("4s", "--set")
    assert found["batch.max_rows"] == (77, "environment NRTCTL_BATCH__MAX_ROWS")
    assert found["pipeline.topic"][1].endswith("nrtctl.toml:20")
    assert found["consumer.start"] == ("earliest", "default")
    assert project.json("config", "show")["batch"]["max_rows"] == 77
