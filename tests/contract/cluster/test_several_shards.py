"""The installed command on a cluster of two shards, each an engine in a process of its own.

What stands before them does over HTTP what Distributed tables and ON CLUSTER do; what that shows is
in docs/clusters.md."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nrtctl.store.faultpoints import LETTER_POINTS
from tests.plugins.local_broker import LocalBroker
from tests.plugins.several_shards import CLUSTER, SeveralShards
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

SHARDS = 2
REPAIR = ("verify", "--repair", "--execute")
SMALL = ("--set", "batch.max_rows=20")


class Place:
    """Both servers, which the tests of this file share."""

    def __init__(self, directory: Path) -> None:
        self.broker = LocalBroker(directory)
        self.cluster = SeveralShards(directory, SHARDS)
        self.broker.start()

    def close(self) -> None:
        self.cluster.close()
        self.broker.kill()


class Shop(Project):
    """A reference project with a topic and a database of its own."""

    def __init__(self, directory: Path, place: Place, name: str) -> None:
        super().__init__(directory)
        self.cluster = place.cluster
        self.database = name
        self.environ |= {
            "NRTCTL_CLICKHOUSE__PASSWORD": place.cluster.server.password.strip(),
            "NRTCTL_CLICKHOUSE__URL": place.cluster.server.url,
            "NRTCTL_CLICKHOUSE__DATABASE": name,
            "NRTCTL_CLICKHOUSE__CLUSTER": CLUSTER,
            "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": place.broker.bootstrap,
            "NRTCTL_PIPELINE__TOPIC": name,
            "NRTCTL_PIPELINE__PARTITIONS": str(SHARDS),
            "NRTCTL_STACK__KIND": "external",
            "NRTCTL_CONSUMER__GROUP": f"{name}-group",
            "NRTCTL_CONSUMER__SESSION_TIMEOUT": "6s",
        }
        self.init()
        self.run("up")

    def filled(self, count: int = 600) -> Shop:
        self.run("produce", "--count", str(count), "--invalid", "5", "--seed", "7")
        self.run("consume", "--until-end")
        return self

    def wound(self) -> None:
        """Lose some rows of each shard, and double others."""
        for at in range(SHARDS):
            for table, some in (("events_local", 3), ("dead_letters_local", 2)):
                self.on_shard(
                    at,
                    f"INSERT INTO {{db}}.{table} SELECT * FROM {{db}}.{table} "
                    f"WHERE _offset % {some} = 0 SETTINGS insert_deduplicate = 0",
                )
            self.on_shard(
                at,
                "ALTER TABLE {db}.events_local DELETE WHERE _offset % 10 = 1 "
                "SETTINGS mutations_sync = 2",
            )

    def deletions(self, table: str) -> int:
        """How many the shards were told of."""
        sql = (
            f"SELECT count() FROM system.mutations WHERE database = '{{db}}' AND table = '{table}'"
        )
        return sum(int(self.on_shard(at, sql)) for at in range(SHARDS))

    def was_told_more(self, table: str, deletions: int) -> bool:
        return self.deletions(table) > deletions

    def kill(self, point: str, *arguments: str, with_a_shard: bool = False) -> None:
        """Run `nrtctl …` until it is killed at this point, with a shard that comes back then."""
        environ = {**self.environ, "NRTCTL_FAULT": f"{point}=1:stop"}
        nothing = subprocess.DEVNULL
        process = self.spawn(*arguments, stdout=nothing, stderr=nothing, environ=environ)
        stat = Path(f"/proc/{process.pid}/stat")
        try:
            eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", point)
            with self.away(1) if with_a_shard else nullcontext():
                process.kill()
                process.wait(30)
        finally:
            process.kill()
            process.wait(30)

    @contextmanager
    def away(self, at: int) -> Iterator[None]:
        """A shard is killed, and started again at the end."""
        self.cluster.shards[at].kill()
        try:
            yield
        finally:
            self.cluster.shards[at].start()

    def asked(self, sql: str) -> list[list[str]]:
        """What the server says."""
        text = self.cluster.server.sql(sql.replace("{db}", self.database))
        return [line.split("\t") for line in text.splitlines()]

    def on_shard(self, at: int, sql: str) -> str:
        return self.cluster.shards[at].sql(sql.replace("{db}", self.database))

    def verified(self, code: int | None = 0) -> tuple[int, int, int, int]:
        """Stored, dead letters, missing, duplicated."""
        found = self.json("verify", code=code)
        each = [
            (e["stored"], e["dead_letters"], e["missing"], e["duplicated"])
            for e in found["partitions"]
        ]
        return tuple(map(sum, zip(*each, strict=True)))  # type: ignore[return-value]

    def content(self) -> Any:
        """Every row, but for when it was inserted."""
        return [
            self.asked(
                f"SELECT count(), uniqExact(_partition, _offset), sum(cityHash64(_topic, "
                f"_partition, _offset, _timestamp, {more})) FROM {{db}}.{table}"
            )
            for table, more in (
                ("events", "event_id, event_type, event_time"),
                ("dead_letters", "_target, key, value, reason, field"),
            )
        ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("shards"))
    yield made
    made.close()


@pytest.fixture
def shop(place: Place, tmp_path: Path, request: pytest.FixtureRequest) -> Shop:
    return Shop(tmp_path, place, re.sub(r"\W+", "_", request.node.name.removeprefix("test_")))


@pytest.mark.long
def test_repair_loads_what_is_missing_and_removes_what_is_doubled(shop: Shop) -> None:
    """Also what a repair that was killed has left."""
    before = shop.filled(300).content()
    for at in range(SHARDS):
        for table in ("events_local", "dead_letters_local"):
            sql = f"SELECT DISTINCT _partition % {SHARDS} FROM {{db}}.{table}"
            assert shop.on_shard(at, sql) == str(at)
    shop.wound()
    found = shop.json("verify", "--repair", code=5)
    missing, doubled = found["missing"], found["duplicated"]
    assert min(missing, doubled) > 0
    assert sum(each["reload"] for each in found["repair"]["plan"]) == missing
    shop.kill("insert-answered", *REPAIR, *SMALL)
    done = shop.json(*REPAIR)["repair"]
    assert 0 < done["reloaded"] < missing
    assert done["removed"] == doubled
    assert shop.content() == before


@pytest.mark.long
def test_a_repair_that_is_killed(shop: Shop) -> None:
    before = shop.filled().content()
    for point in ("probe-answered", "repeat-sending", "insert-answered"):
        shop.wound()
        shop.kill(point, *REPAIR, *SMALL)
        shop.run(*REPAIR)
        assert shop.content() == before
    for table in ("dead_letters_local", "events_local"):
        shop.wound()
        told = shop.deletions(table)
        repair = shop.start(*REPAIR)
        eventually(partial(shop.was_told_more, table, told), "rows are being deleted")
        repair.kill()
        repair.communicate()
        shop.run(*REPAIR)
        assert shop.content() == before


@pytest.mark.long
def test_letters_are_replayed_and_purged(shop: Shop) -> None:
    shop.filled()
    stored, dead, _, _ = shop.verified()
    fix = ("--reason", "null value", "--fix", "'{}'")
    invalid = ("--reason", "invalid UTF-8", "--fix", "substring(value, 3)")
    assert shop.json("dlq", "replay", *fix, "--execute")["stored"] == 0
    done = shop.json("dlq", "replay", *invalid, "--execute")
    assert done["stored"] > 0
    assert shop.verified() == (stored + done["stored"], dead - done["stored"], 0, 0)
    assert shop.json("dlq", "purge", "--execute")["letters"] == dead - done["stored"]
    kept = "SELECT countIf(purged_at IS NULL), count(value), count(key) FROM {db}.dead_letters"
    assert shop.asked(kept) == [["0", "0", "0"]]
    logged = "SELECT outcome, count() FROM {db}.dead_letters_log WHERE error = '' GROUP BY 1"
    assert ["purged", str(dead - done["stored"])] in shop.asked(logged)
    assert shop.verified() == (stored + done["stored"], dead - done["stored"], 0, 0)


@pytest.mark.long
def test_a_replay_of_letters_that_is_killed(shop: Shop) -> None:
    shop.filled(1600)
    stored, dead, _, _ = shop.verified()
    replay = ("dlq", "replay", "--reason", "invalid UTF-8", "--fix", "substring(value, 3)")
    mended = len(shop.json("dlq", "list", "--reason", "invalid UTF-8"))
    assert mended > 4
    for point in ("repeat-sending", "insert-answered", *LETTER_POINTS):
        one = ("--execute", "--set", "batch.max_rows=1")
        shop.kill(point, *replay, *one)
        assert shop.verified(code=None)[2] == 0
    shop.run(*replay, "--execute")
    assert shop.verified() == (stored + mended, dead - mended, 0, 0)


@pytest.mark.long
def test_another_table_is_loaded_and_taken(shop: Shop) -> None:
    """Given up, and killed and gone on with; then it is the table of a new group."""
    before = shop.filled(200).content()
    load = ("replay", "load", "--into", "others", "--set", "batch.max_rows=50")
    twice = ("--set", "pipeline.columns.twice='request_latency_ms * 2'")
    others = "SELECT count() FROM system.tables WHERE database = '{db}' AND name LIKE 'others%'"
    shop.kill("load-begun", *load, *twice, "--execute")
    shop.run(*load, *twice, "--abandon", "--execute")
    assert shop.asked(others) == [["0"]]
    assert [shop.on_shard(at, others) for at in range(SHARDS)] == ["0"] * SHARDS
    assert shop.content() == before

    shop.kill("insert-answered", *load, *twice, "--execute", with_a_shard=True)
    done = shop.json(*load, *twice, "--execute", "--resume")
    assert (done["state"], done["missing"], done["duplicated"]) == ("loaded", 0, 0)
    right = "SELECT count() > 150, min(twice = 2 * request_latency_ms) FROM {db}.others"
    assert shop.asked(right) == [["1", "1"]]

    shop.run("produce", "--count", "100", "--seed", "11")
    taken = ("--set", "pipeline.table=others", "--set", "consumer.group=anew", *twice)
    shop.run("up", *taken)
    shop.run("consume", "--until-end", *taken)
    found = shop.json("verify", *taken)
    assert (found["stored"] + found["dead_letters"], found["missing"]) == (300, 0)
    assert found["duplicated"] == 0
    assert shop.asked("SELECT sum(total_events) > 250 FROM {db}.event_metrics") == [["1"]]


@pytest.mark.long
def test_a_range_is_loaded_again(shop: Shop) -> None:
    before = shop.filled().content()
    started = shop.asked("SELECT max(_inserted_at) FROM {db}.events")[0][0]
    done = shop.json("replay", "load", "--offset", "10:60", "--execute")
    assert done["state"] == "loaded"
    assert shop.content() == before
    newer = f"SELECT count() > 0 FROM {{db}}.events WHERE _inserted_at > '{started}'"
    assert shop.asked(newer) == [["1"]]


def test_an_absent_shard_is_waited_for(shop: Shop, tmp_path: Path) -> None:
    """The batches of the other shard go on, and nothing is lost or doubled; what is lost and
    doubled on both shards then is mended."""
    everything = (
        "SELECT (SELECT count() FROM {db}.events) + (SELECT count() FROM {db}.dead_letters)"
    )
    with shop.consuming(tmp_path / "log") as consumer:
        shop.run("produce", "--count", "100", "--seed", "8")
        eventually(lambda: shop.asked(everything) == [["100"]], "the first are stored")
        with shop.away(1):
            shop.run("produce", "--count", "400", "--seed", "9")
            rows = "SELECT max(_offset) FROM {db}.events_local"
            eventually(lambda: int(shop.on_shard(0, rows)) > 90, "the other shard's are stored")
        eventually(lambda: shop.asked(everything) == [["500"]], "all are stored")
        consumer.send_signal(signal.SIGINT)
        assert consumer.wait(120) == 0
    before = shop.content()
    shop.wound()
    done = shop.json(*REPAIR)
    assert sum(done[each] for each in ("stored", "dead_letters")) == 500
    assert (done["missing"], done["duplicated"]) == (0, 0)
    assert min(done["repair"]["reloaded"], done["repair"]["removed"]) > 0
    assert shop.content() == before


@pytest.mark.long
@pytest.mark.parametrize("met", [False, True])
def test_a_consumer_that_starts_waits_too(shop: Shop, tmp_path: Path, met: bool) -> None:
    """Where the topic was met before, it is only the rows of that shard that are waited for."""
    if met:
        shop.filled(100)
    shop.run("produce", "--count", "200", "--seed", "8")
    log = tmp_path / "log"
    with ExitStack() as stack:
        with shop.away(1):
            consumer = stack.enter_context(shop.consuming(log, "--until-end"))
            eventually(lambda: b"waiting, nothing is lost" in log.read_bytes(), "it says so")
            assert (b"every server of the cluster" in log.read_bytes()) is not met
        assert consumer.wait(120) == 0
    stored, dead, missing, doubled = shop.verified()
    assert (stored + dead, missing, doubled) == (300 if met else 200, 0, 0)


@pytest.mark.long
def test_a_view_that_one_server_has_lost_is_named(shop: Shop) -> None:
    shop.on_shard(1, "DROP VIEW {db}.events_local_rejected")
    found = shop.json("doctor", code=5)
    (named,) = (e for e in found if "events_local_rejected does not exist on" in str(e))
    assert not named["ok"]
    shop.run("up")
    assert all("events_local_rejected" not in str(each) for each in shop.json("doctor", code=None))


@pytest.mark.long
def test_a_pipeline_is_changed_where_all_servers_are_alike(shop: Shop) -> None:
    shop.filled(200)
    twice = ("--set", "pipeline.columns.twice='request_latency_ms * 2'")
    found = {each["name"]: each["action"] for each in shop.json("up", *twice)["steps"]}
    assert found["events_local"] == found["events"] == "changed: + twice"
    shop.run("produce", "--count", "200", "--seed", "10")
    shop.run("consume", "--until-end", *twice)
    right = "SELECT count() > 300, min(twice = 2 * request_latency_ms) FROM {db}.events"
    assert shop.asked(right) == [["1", "1"]]

    other = ("--set", "pipeline.columns.thrice='request_latency_ms * 3'")
    shop.on_shard(1, "ALTER TABLE {db}.events_local ADD COLUMN by_hand UInt8")
    refused = shop.run("up", *twice, *other, code=2)
    port = shop.cluster.shards[1].port
    assert f"events_local on {port}".encode() in refused.stderr
    shop.on_shard(1, "ALTER TABLE {db}.events_local DROP COLUMN by_hand")
    with shop.away(1):
        assert b"a server is away" in shop.run("up", *twice, *other, code=1).stderr
    for at in range(SHARDS):
        assert "thrice" not in shop.on_shard(at, "SHOW CREATE TABLE {db}.events_local")
    shop.run("up", *twice, *other)
    assert shop.verified()[2:] == (0, 0)


STATE = '[pipeline.latest.newest]\nkey = "event_type"\nversion = "event_timestamp"\n'


def test_a_current_state_is_that_of_the_rows_of_all_shards(shop: Shop) -> None:
    """Rows of each key are on both shards."""
    settings = shop.directory / "nrtctl.toml"
    plain = settings.read_text()
    shop.filled(300)
    settings.write_text(f"{plain}\n{STATE}")
    steps = {each["name"]: each["action"] for each in shop.json("up")["steps"]}
    assert re.fullmatch(r"made, filled from \d+ rows of events", steps["newest"])

    def is_right() -> None:
        rows = "SELECT event_type, max(event_timestamp) FROM {db}.events GROUP BY 1 ORDER BY 1"
        shown = "SELECT event_type, event_timestamp FROM {db}.newest ORDER BY 1"
        assert shop.asked(shown) == shop.asked(rows)
        assert shop.verified()[2:] == (0, 0)

    is_right()
    shop.run("produce", "--count", "300", "--seed", "8")
    shop.kill("insert-sending", "consume", "--until-end", *SMALL, with_a_shard=True)
    shop.kill("insert-answered", "consume", "--until-end", *SMALL)
    shop.run("consume", "--until-end", *SMALL)
    is_right()
    (state,) = (
        row[0]
        for row in shop.asked(
            "SELECT name FROM system.tables WHERE database = '{db}' AND "
            "match(name, '^events_local_latest_newest_[0-9a-f]+$')"
        )
    )
    shop.on_shard(0, f"TRUNCATE TABLE {{db}}.{state}")
    shop.on_shard(
        1,
        f"ALTER TABLE {{db}}.{state} UPDATE status = 'gone' WHERE 1 SETTINGS mutations_sync = 2",
    )
    (report,) = shop.json("verify", code=5)["latest"]
    assert report["keys"] == report["wrong"] + report["missing"]
    shop.run(*REPAIR)
    is_right()
    shop.on_shard(1, f"DROP VIEW {{db}}.{state}_feed")
    assert b"does not receive the rows of" in shop.run("verify", code=5).stderr
    shop.run("up")
    is_right()
    settings.write_text(plain)
    shop.run("up")
    for at in range(SHARDS):
        left = shop.on_shard(
            at, "SELECT name FROM system.tables WHERE database = '{db}' AND name LIKE '%latest%'"
        )
        assert left == ""
    assert shop.verified()[2:] == (0, 0)
