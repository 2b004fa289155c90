"""`nrtctl load`: from a file of one's own to rows with one command, and each step of it said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.stack import Project

ORDERS = """\
order id,customer,amount,placed at
1,Ada,12.50,2026-01-05 10:00:00
2,Grace,7.00,2026-01-05 10:01:00
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """An empty directory; what is started there is stopped."""
    project = Project(tmp_path)
    try:
        yield project
    finally:
        if (tmp_path / "nrtctl.toml").exists():
            project.down()


def test_a_file_becomes_rows_and_another_one_joins_them(project: Project) -> None:
    (project.directory / "orders.csv").write_text(ORDERS)
    done = project.run("load", "orders.csv")
    said = done.stderr.decode().splitlines()
    assert [line for line in said if re.match(r"\d\. ", line)] == [
        "1. nrtctl init --from orders.csv",
        "2. nrtctl up",
        "3. nrtctl produce orders.csv",
        "4. nrtctl consume --until-end",
        "5. nrtctl query \"SELECT * EXCEPT('^_') FROM orders LIMIT 5\"",
    ]
    rows = [line.split() for line in done.stdout.decode().splitlines()]
    assert rows[0] == ["order_id", "customer", "amount", "placed_at"]
    assert sorted(row[:2] for row in rows[2:]) == [["1", "Ada"], ["2", "Grace"]]

    (project.directory / "more.csv").write_text(f"{ORDERS.splitlines()[0]}\n3,Bob,x,soon\n")
    before = (project.directory / "nrtctl.toml").read_text()
    more = project.run("load", "more.csv", "--delimiter", ",", "-o", "json")
    found = json.loads(more.stdout)
    assert (found["wrote"], found["sent"], found["stored"], found["dead_letters"]) == ([], 1, 1, 1)
    assert found["table"] == "nrt.orders"
    assert "the pipeline is that of nrtctl.toml\n" in more.stderr.decode()
    assert "2. nrtctl produce more.csv --delimiter ,\n" in more.stderr.decode()
    assert "dlq list" in more.stderr.decode()
    assert (project.directory / "nrtctl.toml").read_text() == before

    made = project.run("produce", "--count", "30")
    assert "random values for the pipeline's fields" in made.stderr.decode()
    stored = project.json("consume", "--until-end")
    assert (stored["records"], stored["dead_letters"]) == (30, 0)
    assert (project.directory / ".nrtctl" / ".gitignore").exists()
    assert not (project.directory / ".nrtctl" / "registry").exists()  # JSON pays nothing
    assert project.json("verify")["ok"]


def test_a_file_that_the_pipeline_does_not_fit_is_not_sent(project: Project) -> None:
    (project.directory / "orders.csv").write_text(ORDERS)
    project.run("load", "orders.csv")
    lines = [f'{{"visit": {n}, "page": "/{n}"}}' for n in range(2000)]
    (project.directory / "visits.jsonl").write_text("\n".join(lines))
    said = project.run("load", "visits.jsonl", code=5).stderr.decode()
    assert "would store none of the first 1,000 messages, so nothing was sent: " in said
    assert "order_id" in said
    assert "`nrtctl try visits.jsonl` shows what does not fit" in said
    assert project.json("stats", "--once")["lag_records"] == 0
    assert project.value("SELECT count() FROM orders") == 2

    row = '{"order id": 3, "customer": "Bob", "amount": 1.5, "placed at": "2026-01-05 10:00:00"}'
    (project.directory / "visits.jsonl").write_text("\n".join([*lines[:999], row]))
    found = project.json("load", "visits.jsonl")
    assert (found["stored"], found["dead_letters"]) == (1000, 999)


@pytest.mark.parametrize(
    ("file", "why"),
    [("-", "standard input"), ("none.csv", "there is no file none.csv"), ("empty.csv", "")],
)
def test_what_cannot_be_loaded_starts_nothing(project: Project, file: str, why: str) -> None:
    (project.directory / "empty.csv").touch()
    done = project.run("load", file, code=2)
    assert why in done.stderr.decode()
    assert sorted(path.name for path in project.directory.iterdir()) == ["empty.csv"]
