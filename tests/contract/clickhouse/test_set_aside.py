"""A table or a part that cannot be loaded does not keep the front from starting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.waiting import eventually

Make = Callable[..., ClickHouseFront]


def definition(front: ClickHouseFront, name: str) -> Path:
    (found,) = front.data_dir.glob(f"data/store/*/*/{name}.sql")
    return found


def told(front: ClickHouseFront) -> Any:
    return json.loads((front.data_dir / "set-aside.json").read_text())


WEB = "disk = disk(type = web, endpoint = 'http://127.0.0.1:1/w/'), "


@pytest.fixture
def filled(make_clickhouse_front: Make) -> ClickHouseFront:
    front = make_clickhouse_front()
    front.sql("CREATE DATABASE shop")
    for name in ("good", "bad", "worse"):
        front.sql(f"CREATE TABLE shop.{name} (a Int8) ENGINE = MergeTree ORDER BY a")
        front.sql(f"INSERT INTO shop.{name} VALUES (1), (2)")
    front.sql("CREATE VIEW shop.seen AS SELECT * FROM shop.bad")
    return front


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("", "nonsense", "Syntax error"),
        ("SETTINGS ", f"SETTINGS {WEB}", "disk"),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in (
                ("MergeTree", "NoSuchEngine", "NoSuchEngine"),
                ("`a` Int8", "`a` NoSuchType", "NoSuchType"),
                ("ORDER BY a", "ORDER BY b", "b"),
            )
        ),
    ],
)
def test_a_table_that_does_not_load(
    filled: ClickHouseFront, before: str, after: str, why: str
) -> None:
    front = filled
    front.stop()
    files = {name: definition(front, name) for name in ("bad", "worse")}
    texts = {path: path.read_text() for path in files.values()}
    for path, text in texts.items():
        path.write_text(text.replace(before, after) if before else after)
    front.start()
    assert front.sql("SELECT sum(a) FROM shop.good") == "3"
    assert front.sql("SHOW TABLES FROM shop") == "good\nseen"
    assert {each["name"] for each in told(front)["tables"]} == {
        "the table shop.bad", "the table shop.worse",
    }  # fmt: skip
    for each in told(front)["tables"]:
        assert why in each["why"]
        kept = front.data_dir / each["kept"]
        kept.write_text(texts[files[kept.stem]])
    front.restart()
    assert front.sql("SELECT (SELECT sum(a) FROM shop.bad), (SELECT sum(a) FROM shop.worse)") == (
        "3\t3"
    )
    assert told(front) == {"tables": [], "parts": []}


def test_a_table_that_was_made_again_meanwhile_is_kept(filled: ClickHouseFront) -> None:
    front = filled
    front.stop()
    definition(front, "bad").write_text("nonsense")
    front.start()
    front.sql("CREATE TABLE shop.bad (a Int8) ENGINE = MergeTree ORDER BY a")
    front.restart()
    assert front.sql("SELECT count() FROM shop.bad") == "0"
    (kept,) = told(front)["tables"]
    assert kept["why"] == "another one with this name was created since then"
    assert (front.data_dir / kept["kept"]).read_text() == "nonsense"


def test_a_database_that_does_not_load(filled: ClickHouseFront) -> None:
    front = filled
    front.sql("CREATE TABLE default.other (a Int8) ENGINE = MergeTree ORDER BY a")
    front.stop()
    path = front.data_dir / "data" / "metadata" / "shop.sql"
    text = path.read_text()
    path.write_text(text.replace("Atomic", "NoSuchEngine"))
    front.start()
    assert front.sql("EXISTS DATABASE shop") == "0"
    assert front.sql("SELECT count() FROM default.other") == "0"
    (kept,) = told(front)["tables"]
    assert kept["name"] == "the database shop"
    (front.data_dir / kept["kept"]).write_text(text)
    front.restart()
    assert front.sql("SELECT sum(a) FROM shop.bad") == "3"


@pytest.mark.parametrize(
    "name",
    [
        *("data.bin", "columns.txt"),
        *(pytest.param(name, marks=pytest.mark.long) for name in ("checksums.txt", "count.txt")),
    ],
)
def test_a_damaged_part(make_clickhouse_front: Make, name: str) -> None:
    """A byte is flipped in one part of three: the others are served, and it is told."""
    front = make_clickhouse_front()
    front.sql(
        "CREATE TABLE default.t (a UInt32, b String) ENGINE = MergeTree ORDER BY a "
        "SETTINGS min_bytes_for_full_part_storage = 0"
    )
    front.sql("SYSTEM STOP MERGES default.t")
    for part in range(3):
        front.sql(f"INSERT INTO t SELECT number, toString(number) FROM numbers({part * 10}, 10)")
    front.stop()
    path = min(front.data_dir.glob(f"data/store/*/*/all_3_3_0/{name}"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    front.start()
    assert front.sql("SELECT 1") == "1"
    answer = front.request("SELECT sum(a), sum(length(b)) FROM t")
    if answer.status == 200:  # set aside as it starts, or of no harm to the rows
        total = answer.text.split()[0]
        assert total == ("190" if told(front)["parts"] else "435")
    assert all("detached/broken" in part for part in told(front)["parts"])
    assert front.sql("SELECT count() FROM t WHERE a < 10") == "10"


@pytest.mark.parametrize("rounds", [1, pytest.param(2, marks=pytest.mark.long)])
def test_many_old_parts_cost_no_threads(make_clickhouse_front: Make, rounds: int) -> None:
    """They were deleted by as many threads as there are, which stay, with three descriptors each.

    More than 200 parts at once: of a dropped partition each, and deleted before the test ends.
    """
    front = make_clickhouse_front()
    front.sql(
        "CREATE TABLE default.t (a UInt16) ENGINE = MergeTree ORDER BY a PARTITION BY a SETTINGS "
        "old_parts_lifetime = 0, cleanup_delay_period = 1, cleanup_delay_period_random_add = 0, "
        "max_cleanup_delay_period = 1, cleanup_thread_preferred_points_per_iteration = 0"
    )
    assert front.process is not None
    tasks = Path(f"/proc/{front.process.pid}/task")
    for _ in range(rounds):
        front.sql(
            "INSERT INTO t SELECT number FROM numbers(250)", max_partitions_per_insert_block=1000
        )
        before = len(list(tasks.iterdir()))
        front.sql("TRUNCATE TABLE t")
        counts = [before]

        def deleted(counts: list[int] = counts) -> bool:
            counts.append(len(list(tasks.iterdir())))
            return not list(front.data_dir.glob("data/store/*/*/*_0"))

        eventually(deleted, "the deletion of the parts")
        assert max(counts) < before + 20
