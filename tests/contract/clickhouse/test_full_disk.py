"""The front on a disk that fills: nothing acknowledged is lost, and it goes on by itself.

The engine ignores failed writes, so these are made: by a limit on the size of its files (what is
longer is cut), and by filling the disk in the middle of inserts and merges.
"""

from __future__ import annotations

import re
import resource
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.small_disk import fill
from tests.plugins.waiting import eventually

Make = Callable[..., ClickHouseFront]

TABLE = (
    "CREATE TABLE t (a UInt64, b String, PROJECTION p (SELECT b, count() GROUP BY b)) "
    "ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 1000"
)
PACKED = ""
PLAIN = ", min_bytes_for_full_part_storage = 0"
BY_B = "SELECT b, count() FROM t GROUP BY b ORDER BY b"


def cut(*sizes: int) -> pytest.MarkDecorator:
    """What is left of a file: nothing, its beginning or most of it, with files of their own for the
    columns and in one. Here for `sizes`: the beginning in one file, else in files of their own."""
    here = [(size, PACKED if size == 600 else PLAIN) for size in sizes]
    every = [(size, layout) for size in (0, 600, 20_000) for layout in (PACKED, PLAIN)]
    marks = [pytest.mark.long]
    return pytest.mark.parametrize(
        ("size", "layout"),
        [*here, *(pytest.param(*each, marks=marks) for each in every if each not in here)],
    )


def cut_files(front: ClickHouseFront, size: int | None) -> None:
    """Let no file of the front grow beyond `size` bytes; None: any may."""
    assert front.process is not None
    most = resource.RLIM_INFINITY if size is None else size
    resource.prlimit(front.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def store(front: ClickHouseFront) -> Path:
    """Where the parts of `t` are. The engine names them from its working directory."""
    path = front.sql("SELECT data_paths[1] FROM system.tables WHERE name = 't'")
    return Path(path.replace("/proc/self/cwd", str(front.data_dir)))


def test_an_insert_on_a_full_disk_is_refused_until_there_is_room(small_disk: Path) -> None:
    front = ClickHouseFront(small_disk / "front")
    front.start()
    try:
        front.sql("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
        front.sql("INSERT INTO t SELECT number, 'kept' FROM numbers(1000)")
        ballast = small_disk / "ballast"
        fill(ballast, leave=4 * 2**20)
        sql = "INSERT INTO t SELECT number, randomString(100) FROM numbers(200000)"
        answer = front.request(sql)
        assert answer.status == 500
        assert answer.code == 243
        assert re.search(r"the disk is full: [3-5] MiB are free, of which 16 MiB are", answer.text)
        assert front.sql("SELECT count() FROM t WHERE b = 'kept'") == "1000"
        ballast.unlink()
        front.sql(sql)
        assert front.sql("SELECT count() FROM t") == "201000"
        front.kill()
        front.start()
        assert front.sql("SELECT count() FROM t") == "201000"
    finally:
        front.stop()


class InDoubt(ClickHouseFront):
    """It never trusts that the disk has not been full."""

    command = (
        "-c",
        "import sys, nrtctl.local.front.space as space\n"
        "space.LONGEST_LOOK_AWAY = -1\n"
        "from nrtctl.local.front.__main__ import main\n"
        "sys.exit(main())",
    )


@cut(0, 20_000)
def test_an_insert_whose_files_were_cut_is_not_acknowledged(
    tmp_path: Path, size: int, layout: str
) -> None:
    front = InDoubt(tmp_path / "front")
    front.start()
    try:
        front.sql(TABLE + layout)
        front.sql("INSERT INTO t SELECT number, 'kept' FROM numbers(1000)")
        cut_files(front, size)
        sql = "INSERT INTO t SELECT number, randomString(100) FROM numbers(3000)"
        answer = front.request(sql)
        cut_files(front, None)
        assert (answer.code, "a write has failed" in answer.text) == (243, True)
        eventually(lambda: front.request("SELECT 1").status == 200, "an answer")
        assert front.sql("SELECT count(), sum(length(b)) FROM t") == "1000\t4000"
        front.sql(sql)
        assert front.sql("SELECT count(), sum(length(b)) FROM t") == "4000\t304000"
        front.kill()
        front.start()
        assert front.sql("SELECT count(), sum(length(b)) FROM t") == "4000\t304000"
    finally:
        front.kill()


def test_no_definition_is_changed_on_a_full_disk(small_disk: Path) -> None:
    front = ClickHouseFront(small_disk / "front")
    front.start()
    try:
        front.sql(TABLE)
        front.sql("CREATE TABLE old (a UInt64) ENGINE = MergeTree ORDER BY a")
        front.sql("INSERT INTO t SELECT number, 'kept' FROM numbers(1000)")
        ballast = small_disk / "ballast"
        fill(ballast)
        for sql in (
            "ALTER TABLE t ADD COLUMN c String",
            "CREATE DATABASE d",
            "CREATE VIEW v AS SELECT 1",
        ):
            answer = front.request(sql)
            assert (answer.code, "of which 4 MiB are kept" in answer.text) == (243, True)
        assert front.sql("SELECT count() FROM t") == "1000"
        front.sql("DROP TABLE old")
        ballast.unlink()
        front.sql("ALTER TABLE t ADD COLUMN c String")
        front.kill()
        front.start()
        assert front.sql("SELECT count(), any(c) FROM t") == "1000\t"
    finally:
        front.stop()


def test_definitions_that_were_cut_are_written_again(tmp_path: Path) -> None:
    """The engine puts an empty file in the place of the definition of a table with rows."""
    front = InDoubt(tmp_path / "front")
    front.start()
    try:
        front.sql(TABLE)
        front.sql("CREATE TABLE `o t'her` (a Tuple(x UInt8, y String)) ENGINE = Null")
        front.sql("CREATE MATERIALIZED VIEW v TO t AS SELECT a.x AS a, a.y AS b FROM `o t'her`")
        front.sql("INSERT INTO t SELECT number, 'kept' FROM numbers(1000)")
        files = front.sql("SELECT metadata_path FROM system.tables WHERE database = 'default'")
        paths = [front.data_dir / "data" / each for each in files.split()]
        cut_files(front, 0)
        assert front.request("ALTER TABLE t ADD COLUMN c String DEFAULT 'new'").code == 243
        front.request("ALTER TABLE v MODIFY QUERY SELECT a.x AS a, 'changed' AS b FROM `o t'her`")
        assert not all(path.stat().st_size for path in paths)
        eventually(lambda: front.request("SELECT count() FROM t").body == b"1000\n", "an answer")
        cut_files(front, None)
        eventually(lambda: all(path.stat().st_size for path in paths), "definitions")
        front.kill()
        front.start()
        front.sql("INSERT INTO `o t'her` VALUES ((7, 'from the view'))")
        assert front.sql("SELECT count(), min(b), max(b) FROM t") == "1001\tfrom the view\tkept"
        front.sql("ALTER TABLE t ADD COLUMN c String DEFAULT 'new'")
        assert front.sql("SELECT any(c) FROM t") == "new"
    finally:
        front.kill()


def test_databases_whose_definitions_are_empty_are_there_again(
    make_clickhouse_front: Make,
) -> None:
    """With that of `default` empty, the engine never started again."""
    front = make_clickhouse_front()
    front.sql("CREATE DATABASE d")
    for table in ("t", "d.t"):
        front.sql(f"CREATE TABLE {table} (a UInt64) ENGINE = MergeTree ORDER BY a")
        front.sql(f"INSERT INTO {table} VALUES (7)")
    front.kill()
    for name in ("default", "d"):
        (front.data_dir / "data" / "metadata" / f"{name}.sql").write_bytes(b"")
    front.start()
    assert front.sql("SELECT sum(a) FROM (SELECT a FROM t UNION ALL SELECT a FROM d.t)") == "14"


@cut(600)
def test_a_merge_whose_files_were_cut_is_undone(
    make_clickhouse_front: Make, size: int, layout: str
) -> None:
    front = make_clickhouse_front()
    front.sql(TABLE + layout)
    for start in range(3):
        front.sql(f"INSERT INTO t SELECT number + {start}, randomString(10) FROM numbers(3000)")
    rows = front.sql("SELECT sum(a), count() FROM t")
    cut_files(front, size)
    front.request("OPTIMIZE TABLE t FINAL")
    detached = "SELECT count() FROM system.detached_parts"
    eventually(lambda: front.request(detached).body == b"1\n", "a part that is detached")
    assert front.sql("SELECT count() FROM system.parts WHERE active AND level > 0") == "0"
    cut_files(front, None)
    assert front.sql("SELECT sum(a), count() FROM t") == rows
    front.sql("OPTIMIZE TABLE t FINAL")
    assert front.sql("SELECT count() FROM system.parts WHERE table = 't' AND active") == "1"
    front.kill()
    front.start()
    assert front.sql("SELECT sum(a), count() FROM t") == rows


def test_a_mutation_whose_file_was_cut_keeps_nothing_from_loading(
    make_clickhouse_front: Make,
) -> None:
    front = make_clickhouse_front()
    front.sql(TABLE)
    front.sql("INSERT INTO t SELECT number, 'kept' FROM numbers(1000)")
    front.sql("ALTER TABLE t DELETE WHERE a < 10 SETTINGS mutations_sync = 1")
    (done,) = store(front).glob("mutation_*.txt")
    front.kill()
    (done.with_name("mutation_7.txt")).write_bytes(done.read_bytes()[:-1])
    (done.with_name("mutation_8.txt")).write_bytes(b"")
    front.start()
    assert front.sql("SELECT count() FROM t") == "990"
    assert list(done.parent.glob("mutation_*.txt")) == [done]


@pytest.mark.parametrize(
    ("layout", "name"),
    [(PACKED, "data.packed"), pytest.param(PLAIN, "data.bin", marks=pytest.mark.long)],
)
def test_a_projection_whose_file_was_cut_is_made_again(
    make_clickhouse_front: Make, layout: str, name: str
) -> None:
    front = make_clickhouse_front()
    front.sql(TABLE + layout)
    front.sql("INSERT INTO t SELECT number, toString(number % 3) FROM numbers(1000)")
    front.sql("INSERT INTO t SELECT number, toString(number % 3) FROM numbers(1000)")
    expected = front.sql(BY_B)
    path = store(front) / "all_1_1_0" / "p.proj" / name
    front.kill()
    path.write_bytes(path.read_bytes()[:-1])
    front.start()
    assert front.sql(BY_B) == expected
    broken = "SELECT count() FROM system.projection_parts WHERE active AND is_broken"
    eventually(lambda: front.sql(broken) == "0", "no broken part")
    assert front.sql(BY_B, force_optimize_projection=1) == expected
    front.sql("OPTIMIZE TABLE t FINAL")
    assert front.sql("SELECT count() FROM system.parts WHERE table = 't' AND active") == "1"


@pytest.mark.parametrize("rounds", [1, pytest.param(4, marks=pytest.mark.long)])
def test_what_is_acknowledged_while_the_disk_fills_stays(small_disk: Path, rounds: int) -> None:
    front = ClickHouseFront(small_disk / "front")
    front.start()
    stored: list[tuple[int, int]] = []
    refused: list[int] = []
    stop = threading.Event()

    def insert(first: int) -> None:
        at = first
        while not stop.is_set():
            sql = f"INSERT INTO t SELECT number + {at}, toString(number % 7) FROM numbers(100)"
            answer = front.request(sql)
            assert answer.code in {0, 243, 236, 394}, answer.text
            if answer.status == 200:
                stored.append((at, at + 100))
            else:
                refused.append(at)
                time.sleep(0.05)
            at += 100

    def longer(found: list[Any], than: int) -> bool:
        return len(found) > than

    threads = [threading.Thread(target=insert, args=(n << 40,)) for n in range(1, 4)]
    try:
        front.sql(TABLE)
        for thread in threads:
            thread.start()
        for _ in range(rounds):
            eventually(partial(longer, stored, len(stored) + 40), "inserts")
            fill(small_disk / "ballast")
            eventually(partial(longer, refused, len(refused) + 20), "inserts that are refused")
            fill(small_disk / "ballast")
            (small_disk / "ballast").unlink()
        eventually(partial(longer, stored, len(stored) + 3), "inserts when there is room again")
        stop.set()
        for thread in threads:
            thread.join()
        every = {row for start, end in stored for row in range(start, end)}
        for again in (True, False):
            rows = [int(row) for row in front.sql("SELECT a FROM t").split()]
            assert every <= set(rows)
            assert len(rows) == len(set(rows))
            by_row = front.sql(BY_B, optimize_use_projections=0)
            assert front.sql(BY_B) == by_row
            if again:
                front.sql("OPTIMIZE TABLE t FINAL")
                front.kill()
                front.start()
    finally:
        stop.set()
        front.kill()
