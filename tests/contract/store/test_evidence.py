"""A topic that was made again on a broker that gives topics no id: told by offsets and times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.kafka.partitions import LogPartition
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.store.envelope import COLUMNS, row_encoder
from nrtctl.store.evidence import is_another_log
from nrtctl.store.incarnations import Incarnations
from nrtctl.store.intents import Incarnation, OffsetRange
from tests.plugins.pipeline_engine import REFERENCE, Engine, events


@dataclass
class Message:
    at: int
    time: int

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return (1, self.time)


class Log:
    """One partition: the time of each message, from `start` on; None: a gap."""

    def __init__(self, times: list[int | None], start: int = 0) -> None:
        self.times = times
        self.start = start

    def partitions(self) -> list[LogPartition]:
        return [LogPartition(0, self.start, self.start + len(self.times), None)]

    def messages(self, partition: int, spans: Iterable[OffsetRange]) -> Iterator[Any]:
        for span in spans:
            for offset in range(span.start, span.end):
                time = self.times[offset - self.start]
                if time is not None:
                    yield Message(offset, time)


def stored(engine: Engine, times: list[int], bad: bool = False) -> None:
    encode = row_encoder(engine.pipeline.topic, 1, 0)
    values = [b"no json"] * len(times) if bad else events(range(len(times)))
    rows = [encode(at, time, None, values[at]) for at, time in enumerate(times)]
    table = f"{engine.database}.{engine.pipeline.landing}"
    engine.client.insert(table, COLUMNS, b"".join(rows), INSERT_SETTINGS)


OLD = [1000 + at for at in range(50)]


LOGS = [
    (Log([*OLD, 7, 8]), False),  # it has grown
    (Log([*OLD[:40]]), False),  # its end was lost, and what is there is the same
    (Log([]), True),
    (Log([5000 + at for at in range(10)]), True),  # shorter than the table
    (Log([5000 + at for at in range(90)]), True),  # longer
    (Log([5, 6], start=60), False),  # nothing is left to compare
    (Log([*OLD[:-1], None, 9]), False),  # compacted
]
"""And whether it is another one than that of the rows."""


@pytest.mark.parametrize("bad", [False, True])
def test_the_log_is_compared_with_the_rows(engine: Engine, bad: bool) -> None:
    engine.up(**REFERENCE)
    stored(engine, OLD, bad)
    for log, another in LOGS:
        found = is_another_log(engine.client, log, engine.pipeline, engine.database, 1)
        assert found is another, (log.start, log.times)


def test_without_rows_it_is_the_same(engine: Engine) -> None:
    engine.up(**REFERENCE)
    log = Log([])
    assert not is_another_log(engine.client, log, engine.pipeline, engine.database, 1)


def test_rows_that_are_stored_meanwhile_are_no_other_logs(engine: Engine) -> None:
    """The first messages of a topic come, and another consumer stores them, while it is asked."""
    engine.up(**REFERENCE)

    class Growing(Log):
        def partitions(self) -> list[LogPartition]:
            found = super().partitions()
            stored(engine, OLD)
            return found

    assert not is_another_log(engine.client, Growing([]), engine.pipeline, engine.database, 1)


def test_the_number_is_kept(engine: Engine, client: ClickHouseClient) -> None:
    engine.up(**REFERENCE)
    topics = Incarnations(client, engine.database, "t")
    assert topics.register_without_id(2) == topics.register_without_id(2) == Incarnation(2)
    assert topics.find("") == Incarnation(2)
    assert len({Incarnation(number).tag for number in range(1, 5)}) == 4
    assert Incarnation(1).tag == ""
