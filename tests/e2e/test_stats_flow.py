"""While records flow, each snapshot lies between what others read just before and just after it.

The others: a Kafka client of its own, and SQL that counts the rows themselves. What is read only
grows, so a snapshot beside them is wrong; snapshots that are a batch off must be found out. At the
end everything is equal, and `verify` says the same.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, TopicPartition

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.load import load_config
from nrtctl.config.model import Config
from nrtctl.stack.addresses import Addresses
from nrtctl.stats.snapshot import Snapshot
from nrtctl.stats.watcher import Watcher
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

WAIT = 2
"""Seconds between the batches of the four partitions, which come together."""

Counters = Mapping[str, int]


class Others:
    """Counters that only grow, read without nrtctl's own SQL and Kafka calls."""

    def __init__(self, config: Config, addresses: Addresses) -> None:
        self._topic = config.pipeline.topic
        self._kafka = Consumer(
            {"bootstrap.servers": addresses.bootstrap_servers, "group.id": config.consumer.group}
        )
        self._client = ClickHouseClient(
            config.clickhouse, url=addresses.clickhouse_url, password=addresses.clickhouse_password
        )
        self._database = config.clickhouse.database

    def close(self) -> None:
        self._kafka.close()
        self._client.close()

    def read(self) -> Counters:
        found = {}
        places = [TopicPartition(self._topic, number) for number in range(4)]
        for place in self._kafka.committed(places, timeout=30):
            _, end = self._kafka.get_watermark_offsets(place, timeout=30)
            found[f"log end {place.partition}"] = end
            found[f"committed {place.partition}"] = max(0, place.offset)
        rows = self._client.query(
            f"SELECT 'rows', count() FROM {self._database}.events UNION ALL "
            f"SELECT 'window rows', count() FROM {self._database}.events UNION ALL "
            f"SELECT reason, count() FROM {self._database}.dead_letters GROUP BY reason",
            settings={"optimize_use_projections": 0, "optimize_trivial_count_query": 0},
        )
        return found | {str(name): int(count) for name, count in rows}


def counters(shot: Snapshot) -> Counters:
    """The same ones, as a snapshot has them."""
    assert not shot.errors, shot.errors
    assert shot.stored is not None
    assert shot.lag_records == sum(each.lag_records for each in shot.lag)
    assert shot.window_rows is not None
    assert shot.dead_letters == sum(shot.dead_letters_by_reason.values())
    for each in shot.lag:
        assert each.lag_records == each.log_end - (each.committed or 0)
        assert (each.lag_seconds or 0) >= 0
    return {
        **{f"log end {each.partition}": each.log_end for each in shot.lag},
        **{f"committed {each.partition}": each.committed or 0 for each in shot.lag},
        **shot.dead_letters_by_reason,
        "rows": shot.stored,
        "window rows": shot.window_rows,
    }


def beside(before: Counters, seen: Counters, after: Counters) -> set[str]:
    return {
        name
        for name in before.keys() | seen.keys() | after.keys()
        if not before.get(name, 0) <= seen.get(name, 0) <= after.get(name, 0)
    }


@contextmanager
def flowing(project: Project, count: int, rate: int) -> Iterator[None]:
    """All of `count` are produced within; at the end all are stored and the consumer is gone."""
    consumer = project.start("consume", "-q", "--set", f"batch.max_wait={WAIT}s")
    producer = project.start("produce", "-q", "--count", str(count), "--rate", str(rate),
                             "--invalid", "10")  # fmt: skip
    try:
        yield
        assert producer.wait(120) == 0

        def caught_up() -> bool:
            assert consumer.poll() is None
            return not project.json("verify", code=None)["lag"]

        eventually(caught_up, "no lag", within=120)
        consumer.send_signal(signal.SIGINT)
        assert consumer.wait(60) == 0
    finally:
        for each in (producer, consumer):
            each.kill()
            each.communicate()


@pytest.mark.parametrize(
    ("rate", "seconds", "pause"),
    [(300, 14, 0.5), pytest.param(600, 20, 0.2, marks=pytest.mark.long)],
)
def test_snapshots_of_a_flow_lie_between_what_others_read(
    stack: Project, rate: int, seconds: int, pause: float
) -> None:
    """What is read in a round lies close together; between two rounds there is a pause."""
    count, batch = rate * seconds, rate * WAIT // 4
    loaded = load_config(file=stack.directory / "nrtctl.toml", environ=stack.environ)
    addresses = Addresses(loaded.config, loaded.state_dir)
    others, watcher = (
        Others(loaded.config, addresses),
        Watcher(loaded.config, loaded.state_dir, window=3600),
    )
    rounds = []
    try:
        with flowing(stack, count, rate):
            while sum(n for name, n in others.read().items() if name.startswith("log end")) < count:
                before, shot, after = others.read(), watcher.look(), others.read()
                rounds.append((before, counters(shot), after))
                assert beside(*rounds[-1]) == set()
                time.sleep(pause)
        final, shot = others.read(), watcher.look()
    finally:
        others.close()
        watcher.close()
    # Records flowed meanwhile, and the readings were close enough together to find out a batch.
    first, last = rounds[0][0], rounds[-1][0]
    for name in ("log end 0", "committed 0", "rows", "window rows"):
        assert last[name] - first[name] > 4 * batch
        for off in (-batch, batch):
            assert any(
                name in beside(before, {**seen, name: seen[name] + off}, after)
                for before, seen, after in rounds
            ), (name, off)
    assert counters(shot) == final
    assert (shot.lag_records, shot.lag_seconds) == (0, 0)
    assert sum(seen for name, seen in final.items() if name.startswith("committed")) == count
    report = stack.json("verify")
    assert (shot.stored, shot.dead_letters) == (report["stored"], report["dead_letters"])
    assert report["stored"] + report["dead_letters"] == count
    for told, each in zip(report["partitions"], shot.lag, strict=True):
        for name in ("partition", "log_start", "log_end", "committed"):
            assert told[name] == getattr(each, name)
        assert told["lag"] == each.lag_records
