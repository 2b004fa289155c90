"""A table that holds more and more rows beneath `consume`, `verify` and `stats`.

Called by `__main__`. The rows are made by the engine itself, as those of an earlier topic of the
same name: that is what a table keeps when a topic was deleted and made again, and it needs no
messages in Kafka. What verify costs for rows that it compares is in `benchmarks.verify_scale`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from benchmarks.growth.measure import TOLD, consumed
from benchmarks.growth.shown import Growth
from nrtctl.bench.scratch import Pipeline, Scratch, scratch_stack
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.errors import WaitTimeout
from nrtctl.stack.spawn import FRONT

TOPIC = "growth_table"
EARLIER = 4_000_000_000
"""The incarnation of the rows beneath: no topic of a scratch stack gets that far."""
STEP = 2_000_000
MERGE_SECONDS = 600.0
VERIFY, STATS = "verify, s", "stats, s"
ENGINE = {VERIFY: "verify in ClickHouse, CPU s", STATS: "stats in ClickHouse, CPU s"}
_FILL = """
INSERT INTO {table} (event_id, user_id, session_id, event_type, event_timestamp,
  request_latency_ms, status, error_code, product_id, event_time, _topic, _incarnation, _partition,
  _offset, _timestamp)
SELECT reinterpretAsUUID(number), reinterpretAsUUID(number % 10000), reinterpretAsUUID(number % 7),
  ['SEARCH', 'VIEW_PRODUCT', 'ADD_TO_CART', 'CHECKOUT', 'PAYMENT'][1 + number % 5],
  1790000000000 + number, number % 500, 'SUCCESS', NULL, number % 10000,
  fromUnixTimestamp64Milli(toInt64(1790000000000 + number)),
  '{topic}', {incarnation}, number % 4, intDiv(number, 4),
  fromUnixTimestamp64Milli(toInt64(1790000000000 + number))
FROM numbers({start}, {count})
"""
Say = Callable[[str], None]


def table(amounts: Sequence[int], count: int, say: Say) -> Growth:
    """Rows in the table before `count` messages come."""
    points, rows = [], 0
    with scratch_stack(("clickhouse.request_timeout=20m",)) as stack:
        with stack.pipeline(topic=TOPIC, database="growth_source") as source:
            source.run("produce", "--count", str(count), "--seed", "1")
        for amount in amounts:
            say(f"table: {amount:,} rows are made")
            with stack.pipeline(topic=TOPIC, database=f"growth_table_{amount}") as pipeline:
                rows = _filled(pipeline, amount)
                say(f"table: consume, verify and stats over {rows:,} rows")
                found = consumed(pipeline, count, "--member")
                for name, command in ((VERIFY, ("verify",)), (STATS, ("stats", "--once"))):
                    found |= _asked(stack, pipeline, name, *command)
                points.append((amount, found))
    told = {**TOLD, VERIFY: "the time of verify", STATS: "the time of stats"}
    return Growth("rows in the table", points, told)


def _filled(pipeline: Pipeline, amount: int) -> int:
    """Raises WaitTimeout: ClickHouse merges for longer than `MERGE_SECONDS`."""
    client = pipeline.scratch.client()
    try:
        for start in range(0, amount, STEP):
            client.command(_FILL.format(
                table=pipeline.table, topic=TOPIC, incarnation=EARLIER, start=start,
                count=min(STEP, amount - start),
            ))  # fmt: skip
        _merged(client)
        return int(client.query(f"SELECT count() FROM {pipeline.table}")[0][0])
    finally:
        client.close()


def _merged(client: ClickHouseClient) -> None:
    """So that what follows is not charged with the merges of what was made."""
    until = time.monotonic() + MERGE_SECONDS
    while int(client.query("SELECT count() FROM system.merges")[0][0]):
        if time.monotonic() > until:
            raise WaitTimeout(f"ClickHouse still merges after {MERGE_SECONDS:g} s")
        time.sleep(0.5)


def _asked(stack: Scratch, pipeline: Pipeline, name: str, *command: str) -> dict[str, float]:
    before = stack.cpu_seconds()
    group = ("--set", f"consumer.group={pipeline.database}")
    used = pipeline.run(*command, *group)
    after = stack.cpu_seconds()
    return {name: used.seconds, ENGINE[name]: after[FRONT.name] - before[FRONT.name]}
