"""`nrtctl.Client` on a stack: it does what the commands do, and leaves the process as it was."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import nrtctl
from tests.plugins.kafka_log import said
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


def loaded(stack: Project, *settings: str) -> nrtctl.Loaded:
    return nrtctl.load_config(
        file=stack.directory / "nrtctl.toml", overrides=settings, environ=stack.environ
    )


@pytest.fixture
def client(stack: Project) -> nrtctl.Client:
    return nrtctl.Client(loaded(stack))


def test_the_whole_way_and_the_process_is_as_before(
    client: nrtctl.Client,
    stack: Project,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "nrtctl")
    frozen = gc.get_freeze_count()
    before = [gc.get_threshold(), *map(signal.getsignal, signal.Signals)]

    ready = client.up()
    assert ready.kafka == client.bootstrap_servers
    assert ready.clickhouse == client.clickhouse_url
    assert {each.state for each in ready.started} == {"running already"}
    assert {each.action for each in ready.steps} == {"kept"}
    produced = client.produce(count=3000, seed=1)
    assert (produced.acknowledged, produced.failed, produced.ended) == (3000, 0, "count")
    bad = client.produce([b"no JSON", {"event_id": "x"}])
    assert bad.acknowledged == 2
    inserts: list[nrtctl.Insert] = []
    consumed = client.consume(until_end=True, observe=inserts.append)
    assert (consumed.records, consumed.dead_letters, consumed.rows) == (3002, 2, 3000)
    assert consumed.ended == "the log's end"
    assert sum(each.records for each in inserts) == inserts[-1].total == 3002
    assert {n for each in inserts for n in each.partitions} == {*consumed.partitions}
    report = client.verify()
    assert report.ok
    assert (report.stored, report.dead_letters, report.lag) == (3000, 2, 0)
    shot = client.snapshot(window=3600, interval=0.1)
    assert (shot.stored, shot.dead_letters, shot.lag_records) == (3000, 2, 0)
    assert client.query("SELECT count() AS rows FROM events") == [{"rows": 3000}]
    assert client.query("SELECT {n:UInt8} + 1 AS two", {"n": 1}) == [{"two": 2}]
    with pytest.raises(nrtctl.QueryError, match="readonly") as refused:
        client.query("CREATE TABLE made (a Int8) ENGINE = Memory")
    assert refused.value.hint == "write=True allows a statement to change data"
    assert client.query("CREATE TABLE made (a Int8) ENGINE = Memory", write=True) == []
    assert client.query("DROP TABLE made", write=True) == []
    assert "\t1" in client.query("CHECK TABLE events")[0]["result"]

    after = [gc.get_threshold(), *map(signal.getsignal, signal.Signals)]
    assert after == before
    assert gc.get_freeze_count() <= frozen
    out, err = capfd.readouterr()
    assert (out, said(err, client.bootstrap_servers)) == ("", [])
    assert all(each.name.startswith("nrtctl") for each in caplog.records)
    assert stack.json("verify") == report.as_dict()


def kafka_threads() -> int:
    """How many threads librdkafka has in this process."""
    names = []
    for each in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            names.append((each / "comm").read_text())
    return sum(name.startswith("rdk:") for name in names)


def test_a_call_ends_its_kafka_clients_also_where_nobody_looks_for_cycles(
    client: nrtctl.Client,
) -> None:
    gc.collect()
    gc.disable()
    try:
        before = kafka_threads()
        client.produce(count=10, seed=1)
        eventually(lambda: kafka_threads() <= before, "that the producer's threads have ended")
        client.consume(until_end=True)
        eventually(lambda: kafka_threads() <= before, "that the consumer's threads have ended")
    finally:
        gc.enable()


def test_messages_of_a_program_arrive_as_they_were_given(client: nrtctl.Client) -> None:
    given = nrtctl.Message(b"v", b"k", (("h", b"1"),), 1_700_000_000_000, 2)
    client.produce([given, {"user_id": "ann", "n": 1}, {"user_id": "ann", "n": 2}])
    client.consume(count=3)
    letters = client.query(
        "SELECT _partition, key AS _key, value AS _value, toUnixTimestamp64Milli(_timestamp) AS at "
        "FROM dead_letters ORDER BY _offset, _partition"
    )
    (first,) = [each for each in letters if each["_value"] == "v"]
    assert (first["_partition"], first["_key"], first["at"]) == (2, "k", 1_700_000_000_000)
    same = [each for each in letters if each["_key"] == "ann"]
    assert [each["_value"] for each in same] == [
        '{"user_id":"ann","n":1}',
        '{"user_id":"ann","n":2}',
    ]
    assert len({each["_partition"] for each in same}) == 1


def test_a_file_is_produced_as_the_command_does(client: nrtctl.Client, tmp_path: Path) -> None:
    lines, table = tmp_path / "two.jsonl", tmp_path / "one.csv"
    lines.write_text('{"a": 1}\n\n{"a": 2}\n')
    table.write_text("user_id,event_type\nann,SEARCH\n")
    produced = client.produce(lines)
    assert (produced.acknowledged, produced.skipped, produced.ended) == (2, 1, "end of input")
    assert client.produce(table).acknowledged == 1
    with pytest.raises(nrtctl.ConfigError, match="there is no file"):
        client.produce(tmp_path / "none.jsonl")


def test_a_file_is_read_as_the_program_says(client: nrtctl.Client, tmp_path: Path) -> None:
    table = tmp_path / "export"
    table.write_bytes("# exported\nuser_id|event_type\nM\u00fcller|SEARCH\n".encode("cp1252"))
    how = nrtctl.Reading(kind="csv", encoding="cp1252", delimiter="pipe", skip_lines=1)
    assert client.produce(table, reading=how).acknowledged == 1
    with pytest.raises(nrtctl.ConfigError, match="'cp1252x' is not an encoding"):
        client.produce(table, reading=nrtctl.Reading(encoding="cp1252x"))
    with pytest.raises(nrtctl.ConfigError, match="messages must be a Path"):
        client.produce([b"{}"], reading=how)


def test_what_an_iterable_raises_comes_once_the_messages_before_it_are_there(
    client: nrtctl.Client,
) -> None:
    def broken() -> Iterator[bytes]:
        yield from (b"1", b"2")
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        client.produce(broken())
    assert client.consume(until_end=True).records == 2


def test_what_is_not_delivered_is_an_error_with_the_counts(client: nrtctl.Client) -> None:
    with pytest.raises(nrtctl.NotDelivered, match="1 message was not delivered") as raised:
        client.produce([b"small", b"x" * (11 * 2**20)])
    assert (raised.value.produced.acknowledged, raised.value.produced.failed) == (1, 1)
    assert "message.max.bytes in [kafka.properties]" in str(raised.value.hint)


def test_a_run_ends_when_its_event_is_set_and_the_event_stays_the_callers(
    client: nrtctl.Client,
) -> None:
    client.produce(count=500, seed=1)
    stop, done = threading.Event(), []
    runner = threading.Thread(target=lambda: done.append(client.consume(stop=stop)))
    runner.start()
    try:
        eventually(
            lambda: client.query("SELECT count() AS rows FROM events") == [{"rows": 500}],
            "500 rows",
        )
    finally:
        stop.set()
        runner.join(60)
    assert [(each.records, each.ended) for each in done] == [(500, "stopped")]
    never = threading.Event()
    assert client.consume(until_end=True, stop=never).records == 0
    assert not never.is_set()


def test_calls_without_an_end_are_refused(client: nrtctl.Client) -> None:
    with pytest.raises(nrtctl.ConfigError, match="count, duration or stop"):
        client.produce()
    with pytest.raises(nrtctl.ConfigError, match="count, until_end or stop"):
        client.consume()


def test_a_group_is_moved_and_moved_back(client: nrtctl.Client, tmp_path: Path) -> None:
    client.produce(count=400, seed=1)
    client.consume(until_end=True)
    dry = client.replay("start")
    assert (dry.executed, dry.read_again, dry.skipped) == (False, 400, 0)
    assert client.verify().lag == 0
    undo = tmp_path / "undo.json"
    moved = client.replay("start", partitions=[0, 1], execute=True, undo_file=undo)
    assert moved.executed
    assert moved.undo_file == undo
    assert {each.after for each in moved.moves} == {0}
    assert client.verify().lag == moved.read_again
    assert "nrtctl-undo" in undo.read_text()
    back = client.replay(moved.before, execute=True)
    assert back.skipped == moved.read_again
    assert client.verify().lag == 0
    assert client.replay(shift_by=-1, partitions=[2]).read_again == 1
    assert list(tmp_path.glob("nrtctl-undo-*")) == []


@pytest.mark.parametrize(
    ("to", "shift", "why"),
    [(None, None, "either"), ("start", 1, "either"), ("yesterday", None, "write start, end")],
)
def test_a_move_that_makes_no_sense_is_refused(
    client: nrtctl.Client, to: str | None, shift: int | None, why: str
) -> None:
    with pytest.raises(nrtctl.ConfigError, match=why):
        client.replay(to, shift_by=shift)


def test_a_group_with_members_is_not_moved(client: nrtctl.Client) -> None:
    client.produce(count=10, seed=1)
    stop = threading.Event()
    runner = threading.Thread(target=lambda: client.consume(stop=stop))
    runner.start()
    try:
        eventually(lambda: client.verify().stored == 10, "10 rows")
        with pytest.raises(nrtctl.NrtctlError, match="has 1 member"):
            client.replay("start", execute=True)
        with pytest.raises(nrtctl.WaitTimeout):
            client.replay("start", execute=True, wait=0.1)
    finally:
        stop.set()
        runner.join(60)
    assert client.replay("start", execute=True, wait=60).read_again == 10


def test_a_configuration_of_ones_own(stack: Project) -> None:
    config = loaded(stack).config
    state_dir = (stack.directory / ".nrtctl").resolve()
    own = nrtctl.Config(
        kafka=config.kafka.model_copy(update={"properties": {}}),
        clickhouse=config.clickhouse,
        pipeline=config.pipeline,
        local=config.local.model_copy(update={"state_dir": state_dir}),
    )
    assert nrtctl.Client(own).produce([b"1"]).acknowledged == 1
    with pytest.raises(nrtctl.ConfigError, match="does not say where the stack keeps its state"):
        nrtctl.Client(nrtctl.Config(pipeline=config.pipeline))


def test_a_stack_that_does_not_run_is_a_connect_error(project: Project) -> None:
    client = nrtctl.Client(loaded(project))
    for call in (client.verify, lambda: client.produce([b"1"]), client.snapshot):
        with pytest.raises(nrtctl.ConnectError, match="is not running"):
            call()
