"""The checks of `nrtctl doctor`: each one tries a thing and says what mends it."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from nrtctl import kafka
from nrtctl.clickhouse import ClickHouseClient
from nrtctl.config.model import Config
from nrtctl.errors import NrtctlError
from nrtctl.stack.addresses import resolve

OLDEST_CLICKHOUSE = (24, 8)
LEAST_FREE = 2**30
MOST_SKEW = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    found: str
    mend: str | None = None


def examine(config: Config, state_dir: Path) -> list[Check]:
    """Run every check that can still tell something. Raises nothing that a service causes."""
    checks = [_disk(config, state_dir)]
    try:
        addresses = resolve(config, state_dir)
    except NrtctlError as error:
        return [*checks, Check("addresses", False, error.message, error.hint)]
    checks += _kafka(config, addresses.bootstrap_servers)
    try:
        client = ClickHouseClient(
            config.clickhouse,
            url=addresses.clickhouse_url,
            password=addresses.clickhouse_password,
        )
        checks.append(Check("ClickHouse answers", True, addresses.clickhouse_url))
        checks += _clickhouse(config, client)
    except NrtctlError as error:
        checks.append(Check("ClickHouse answers", False, error.message, error.hint))
    return checks


def _disk(config: Config, state_dir: Path) -> Check:
    place = state_dir
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    return Check(
        "free disk",
        config.stack_kind != "local" or free >= LEAST_FREE,
        f"{free / 2**30:.1f} GiB at {place}",
        None if free >= LEAST_FREE else "free some space, or set local.state_dir",
    )


def _kafka(config: Config, address: str) -> list[Check]:
    topic = config.pipeline.topic
    try:
        admin = kafka.make_admin(config.kafka, address=address)
        cluster = kafka.cluster_metadata(
            admin, address=address, timeout=config.kafka.connect_timeout
        )
    except NrtctlError as error:
        return [Check("Kafka answers", False, error.message, error.hint)]
    there = cluster.topics.get(topic)
    return [
        Check("Kafka answers", True, f"{address}, {len(cluster.brokers)} broker(s)"),
        Check(
            f"topic {topic}",
            there is not None,
            f"{there} partitions" if there else "does not exist",
            None if there else "`nrtctl up` creates it",
        ),
    ]


def _clickhouse(config: Config, client: ClickHouseClient) -> list[Check]:
    version = client.server_version
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    new = numbers >= OLDEST_CLICKHOUSE
    oldest = ".".join(map(str, OLDEST_CLICKHOUSE))
    database, pipeline = config.clickhouse.database, config.pipeline
    before = time.time()
    theirs = int(client.query("SELECT toUnixTimestamp64Milli(now64(3))")[0][0]) / 1000
    skew = theirs - (before + time.time()) / 2
    names = {
        str(row[0])
        for row in client.query(
            "SELECT name FROM system.tables WHERE database = {d:String}", {"d": database}
        )
    }
    needed = {pipeline.landing, pipeline.parsed, pipeline.table, pipeline.dead_letters}
    absent = sorted(needed - names)
    parts = int(
        client.query(
            "SELECT max(n) FROM (SELECT count() AS n FROM system.parts WHERE active "
            "AND database = {d:String} AND table = {t:String} GROUP BY partition)",
            {"d": database, "t": pipeline.table},
        )[0][0]
        or 0
    )
    setting = "SELECT value FROM system.merge_tree_settings WHERE name = 'parts_to_delay_insert'"
    limit = int(client.query(setting)[0][0])
    return [
        Check(
            "ClickHouse version",
            new,
            version,
            None if new else f"upgrade ClickHouse to {oldest} or newer",
        ),
        Check(
            "clock",
            abs(skew) <= MOST_SKEW,
            f"ClickHouse is {skew:+.3f} s from here",
            None if abs(skew) <= MOST_SKEW else "set the clocks by NTP; latencies would be wrong",
        ),
        Check(
            "tables",
            not absent,
            f"{len(needed)} in {database}" if not absent else f"{database} lacks {absent[0]}",
            None if not absent else "`nrtctl up` creates them",
        ),
        Check(
            "active parts",
            parts < limit,
            f"{parts} of {limit} in a partition",
            None if parts < limit else "insert larger batches: raise batch.max_wait",
        ),
    ]
