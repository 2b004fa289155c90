"""Several pipelines in one file: each command with the one that is meant, or with all."""

from __future__ import annotations

from pathlib import Path

import pytest

from nrtctl.config.load import load_pipelines
from tests.plugins.stack import Project

TWO = """
[pipeline]
partitions = 2

[pipelines.orders.fields]
id = "UInt64"
amount = "Decimal(9, 2)"

[pipelines.clicks]
batch = { max_rows = 1 }

[pipelines.clicks.fields]
url = "String"
"""


@pytest.fixture
def two(stack: Project) -> Project:
    stack.use_pipelines(TWO)
    return stack


def made(project: Project) -> set[str]:
    return {row["name"] for row in project.rows("SELECT name FROM system.tables")}


def test_two_pipelines_from_up_to_verify(two: Project) -> None:
    up = two.json("up")
    assert list(up["pipelines"]) == ["orders", "clicks"]
    assert {"kind": "topic", "name": "clicks", "action": "made"} in up["pipelines"]["clicks"][
        "steps"
    ]
    two.run("produce", "--pipeline", "orders", "--input", "-", stdin=b'{"id":1,"amount":"1.50"}\n')
    two.run("produce", "--pipeline", "cl*", "--input", "-", stdin=b'{"url":"/a"}\n{"url":3}\n')
    two.run("--pipeline", "orders", "consume", "--until-end")
    workers = two.json("consume", "--pipeline", "clicks", "--until-end", "--workers", "2")
    assert workers["records"] == 2
    report = two.json("verify")["pipelines"]
    assert {name: (each["stored"], each["dead_letters"]) for name, each in report.items()} == {
        "orders": (1, 0), "clicks": (1, 1),
    }  # fmt: skip
    assert report["clicks"]["group"] == "nrtctl-clicks"
    assert two.json("dlq", "list", "--pipeline", "clicks")[0]["field"] == "url"

    checks = two.json("doctor")
    assert {each["pipeline"] for each in checks} == {"orders", "clicks"}
    shown = two.run("verify").stdout.decode()
    assert shown.index("orders:") < shown.index("clicks:")


def test_one_that_fails_does_not_hide_the_other(two: Project) -> None:
    two.run("up")
    two.run("produce", "--pipeline", "orders", "--input", "-", stdin=b'{"id":1,"amount":1}\n')
    two.run("consume", "--pipeline", "orders", "--until-end")
    two.run("produce", "--pipeline", "clicks", "--input", "-", stdin=b'{"url":"/a"}\n')
    two.run("consume", "--pipeline", "clicks", "--until-end")
    path = two.directory / "nrtctl.toml"
    path.write_text(path.read_text().replace("[pipelines.clicks]", '[pipelines.clicks]\ntable="x"'))
    done = two.run("verify", code=None)
    assert done.returncode != 0
    assert b"orders:" in done.stdout
    assert b"1 stored, 0 dead letters, 0 missing" in done.stdout
    assert b"clicks:" in done.stdout


def test_a_command_for_one_says_which_there_are(two: Project) -> None:
    done = two.run("produce", "--input", "-", code=2)
    assert b"works on one pipeline, and there are 2: orders, clicks" in done.stderr
    assert b"--pipeline orders" in done.stderr
    done = two.run("consume", "--pipeline", "order", code=2)
    assert b"there is no such pipeline; there are orders, clicks" in done.stderr
    assert [each["part"] for each in two.json("status")][2:] == [
        "pipelines.orders", "pipelines.clicks",
    ]  # fmt: skip
    assert two.json("config", "validate")["valid"]
    assert b"1" in two.run("query", "SELECT 1").stdout
    assert two.json("config", "show", "--pipeline", "orders")["pipeline"]["topic"] == "orders"


def test_nothing_is_created_before_all_have_been_checked(two: Project) -> None:
    path = two.directory / "nrtctl.toml"
    path.write_text(f'{path.read_text()}\n[pipelines.clicks.columns]\nhost = "nothing(url)"\n')
    before = made(two)
    done = two.run("up", code=2)
    assert b"pipelines.clicks: " in done.stderr
    assert b"nothing" in done.stderr
    assert made(two) == before


def test_init_adds_a_pipeline_and_leaves_the_rest(tmp_path: Path) -> None:
    project = Project(tmp_path)
    path = tmp_path / "nrtctl.toml"
    before = "# mine\n[batch]\nmax_rows = 9   # nine\n"
    path.write_text(before)
    (tmp_path / "orders.csv").write_text("id,amount\n1,2.50\n2,3.75\n")
    project.run("init", "orders", "--from", "orders.csv")
    project.run("init", "--pipeline", "eu-clicks", "--from", "-", stdin=b'{"url":"/a"}\n')
    assert path.read_text().startswith(before)
    orders, clicks = load_pipelines(cwd=tmp_path, environ={"HOME": str(tmp_path)})
    assert list(orders.config.pipeline.fields) == ["id", "amount"]
    assert (clicks.pipeline, clicks.config.pipeline.topic) == ("eu-clicks", "eu-clicks")
    assert clicks.config.batch.max_rows == 9
    tried = project.run("try", "orders.csv", "--pipeline", "orders", "--set",
                        "pipelines.orders.fields.amount=UInt8", code=5)  # fmt: skip
    assert b"with these lines in [pipelines.orders.fields]" in tried.stdout
    again = project.run("init", "orders", "--from", "orders.csv", code=2)
    assert b"has a pipeline 'orders' already" in again.stderr
    path.unlink()
    begun = project.run("init", "--pipeline", "orders", "--from", "orders.csv")
    assert begun.stdout == b"wrote nrtctl.toml\n"
    (alone,) = load_pipelines(cwd=tmp_path, environ={"HOME": str(tmp_path)})
    assert (alone.pipeline, alone.config.pipeline.table) == ("orders", "orders")
    path.write_text("[pipeline.fields]\nid = 'UInt8'\n")
    done = project.run("init", "--pipeline", "orders", "--from", "orders.csv", code=2)
    assert b"one pipeline without a name" in done.stderr
    project.run("init", "orders", "--from", "orders.csv")
    assert (tmp_path / "orders" / "nrtctl.toml").exists()
    assert path.read_text() == "[pipeline.fields]\nid = 'UInt8'\n"
