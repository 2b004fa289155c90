"""The checks of `nrtctl doctor`: each one tries a thing and says what fixes it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clickhouse.cluster import by_server, local, shards
from nrtctl.config.counted import counted
from nrtctl.config.model import Config
from nrtctl.errors import NrtctlError
from nrtctl.kafka import acls as rights
from nrtctl.kafka import clients, topics
from nrtctl.kafka.admin import AdminClient
from nrtctl.kafka.matching import matching
from nrtctl.kafka.native_fetch import fetching
from nrtctl.local.process import joined
from nrtctl.schema.cluster_ddl import needed
from nrtctl.schema.drift import differences
from nrtctl.stack import damage
from nrtctl.stack.addresses import Addresses
from nrtctl.stack.spawn import PARTS, check_installed
from nrtctl.stack.state_dir import live, set_aside

OLDEST_CLICKHOUSE = (24, 8)
MIN_FREE = 2**30
MAX_SKEW = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    found: str
    fix: str | None = None


def examine(config: Config, state_dir: Path, only: str | None = None) -> list[Check]:
    """Run every check that can still tell something. Raises nothing that a service causes.

    Args:
        only: "kafka" or "clickhouse", to leave out the other and what is local.
    """
    addresses = Addresses(config, state_dir)
    asks = {"kafka": _kafka, "clickhouse": _clickhouse}
    if only is not None:
        return asks[only](config, addresses)
    checks = [_compiled(config)]
    if config.stack_kind == "local":
        checks += _local(config, state_dir)
    if config.stack_kind == "local":
        checks += _damage(state_dir)
    for ask in asks.values():
        checks += ask(config, addresses)
    return checks + list(_schemas(config, addresses))


def _compiled(config: Config) -> Check:
    """Nothing fails without it."""
    name = "compiled code"
    if fetching() is None:
        return Check(
            name, True, "not there: the consumer takes half as much CPU again without it",
            "install a C compiler, and then nrtctl again",
        )  # fmt: skip
    used = "in use" if config.consumer.compiled else "not used, as consumer.compiled is false"
    return Check(name, True, used)


def _local(config: Config, state_dir: Path) -> list[Check]:
    checks = []
    try:
        check_installed()
    except NrtctlError as error:
        checks.append(Check("local stack", False, error.message, error.hint))
    place = state_dir
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    writable = os.access(place, os.W_OK)
    fix = "correct its permissions, or set local.state_dir"
    if free < MIN_FREE:
        fix = "free some space, or set local.state_dir"
    fine = writable and free >= MIN_FREE
    found = f"{free / 2**30:.1f} GiB free" if writable else "not writable"
    checks.append(Check("disk", fine, f"{place}: {found}", None if fine else fix))
    unknown = set_aside(state_dir)
    if unknown:
        checks.append(
            Check(
                "set aside",
                False,
                f"{counted(len(unknown), 'directory', 'directories')} without a known topic in "
                f"{unknown[0].parent}",
                "they contain messages of a topic whose entry in topics.json was lost, or of "
                "another stack; move them elsewhere, or delete them",
            )
        )
    for part in PARTS:
        there = live(state_dir, part.name)
        host, port = part.address(config)
        moved = there is not None and port not in (0, there.port)
        if there is not None and moved and not part.movable(config):
            checks.append(
                Check(
                    f"{part.title} address",
                    False,
                    f"it runs at {there.address}, but {part.address_setting} says "
                    f"{joined(host, port)}",
                    f"run `nrtctl down`, then `nrtctl up`, or correct {part.address_setting}",
                )
            )
    return checks


def _damage(state_dir: Path) -> list[Check]:
    known = damage.known(state_dir)
    name = "broker's log"
    checks = [
        Check(f"{name} of {each.topic}/{each.partition}", False, damage.found(each), damage.MEND)
        for each in known.damaged
    ]
    if not known.damaged:
        checks.append(Check(name, True, "no damage is known"))
    return (
        checks
        + [
            Check(f"{name} of {each.topic}/{each.partition}", True, damage.found(each))
            for each in known.set_aside
        ]
        + [Check("schema registry's journal", True, text) for text in damage.torn(state_dir)]
    )


def _schemas(config: Config, addresses: Addresses) -> Iterator[Check]:
    """Whether messages in another format than JSON can be decoded."""
    if not config.pipeline.has_schema:
        return
    from nrtctl.kafka.formats.opening import text_reader
    from nrtctl.kafka.formats.registry import Registry
    from nrtctl.kafka.formats.subjects import subject_of

    name = "schema registry" if config.pipeline.needs_registry else "schema file"
    pipeline = config.pipeline
    names = matching(pipeline, ()) if pipeline.unsplit else [pipeline.topic]
    found = f"{config.pipeline.schema_file}"
    try:
        config = addresses.with_registry(config)
        text_reader(config)
        if config.pipeline.needs_registry:
            registry = Registry(config.schema_registry)
            found = registry.url
            by_topic = config.schema_registry.subject_name_strategy == "topic"
            for subject in (subject_of("topic", each, "") for each in names if by_topic):
                latest = registry.latest(subject)
                newest = "no subject" if latest is None else f"schema {latest[0]} is the newest of"
                found += f", {newest} {subject}"
    except NrtctlError as error:
        yield Check(name, False, error.message, error.hint)
    else:
        yield Check(name, True, found)


def _kafka(config: Config, addresses: Addresses) -> list[Check]:
    try:
        address = addresses.bootstrap_servers
        admin = clients.make_admin(config.kafka, address=address)
        cluster = topics.cluster_metadata(
            admin, address=address, timeout=config.kafka.connect_timeout
        )
    except NrtctlError as error:
        return [Check("Kafka answers", False, error.message, error.hint)]
    answers = Check("Kafka answers", True, f"{address}, {counted(len(cluster.brokers), 'broker')}")
    parts = [config]
    if config.pipeline.unsplit:
        names = matching(config.pipeline, sorted(cluster.topics))
        parts = [config.of_topic(name) for name in names]
    if not parts:
        text = f"none matches '{config.pipeline.topics}'"
        return [answers, Check("topics", False, text, "create one, or change pipeline.topics")]
    if config.stack_kind == "local":
        return [answers, *(check for each in parts for check in _topic(each, cluster))]
    try:
        by_part = [_topic_by_rights(each, cluster, admin, address) for each in parts]
    except NrtctlError as error:
        return [answers, Check("rights", False, error.message, error.hint)]
    return [answers, *dict.fromkeys(check for each in by_part for check in each)]


def _topic(config: Config, cluster: topics.Cluster) -> list[Check]:
    pipeline = config.pipeline
    name = f"topic {pipeline.topic}"
    there = cluster.topics.get(pipeline.topic)
    if there is None:
        return [Check(name, False, "does not exist", "`nrtctl up` creates it")]
    if there != pipeline.partitions and not pipeline.has_pattern:
        found = f"{counted(there, 'partition')}, but pipeline.partitions says {pipeline.partitions}"
        fix = f"set pipeline.partitions = {there}"
        if there < pipeline.partitions:
            fix = f"`nrtctl up` adds them if pipeline.partitions is set; otherwise {fix}"
        return [Check(name, False, found, fix)]
    return [Check(name, True, counted(there, "partition"))]


def _topic_by_rights(
    config: Config, cluster: topics.Cluster, admin: AdminClient, address: str
) -> list[Check]:
    """A topic that may not be seen looks like one that is not there."""
    lacks = rights.lacks(admin, config, address=address)
    name = f"topic {config.pipeline.topic}"
    seen = config.pipeline.topic in cluster.topics
    hidden = [lack for lack in lacks if lack.what == name and not seen]
    checks = [] if hidden else _topic(config, cluster)
    if not seen and not hidden:
        bar = rights.may_create(admin, config, address=address)
        if bar is not None:
            found = f"does not exist, and {rights.principal(config.kafka)} may not create it"
            checks = [Check(name, False, found, bar.command)]
    who = rights.principal(config.kafka)
    checks += [
        Check(f"rights on {each.what}", False, f"{who}: {each}", each.command) for each in lacks
    ]
    return checks if lacks else [*checks, Check("rights", True, f"{who}: topic and group")]


def _clickhouse(config: Config, addresses: Addresses) -> list[Check]:
    try:
        client = addresses.clickhouse_client()
    except NrtctlError as error:
        return [Check("ClickHouse answers", False, error.message, error.hint)]
    url = addresses.clickhouse_url
    unchecked = url.startswith("https") and not config.clickhouse.verify
    found = f"{url}, its certificate is not checked (clickhouse.verify)" if unchecked else url
    answers = Check("ClickHouse answers", True, found)
    try:
        return [answers, *_server(config, client)]
    except NrtctlError as error:
        return [answers, Check("ClickHouse queries", False, error.message, error.hint)]


def _server(config: Config, client: ClickHouseClient) -> list[Check]:
    version = client.server_version
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    new = numbers >= OLDEST_CLICKHOUSE
    oldest = ".".join(map(str, OLDEST_CLICKHOUSE))
    database, pipeline = config.clickhouse.database, config.pipeline
    before = time.time()
    theirs = int(client.query("SELECT toUnixTimestamp64Milli(now64(3))")[0][0]) / 1000
    skew = theirs - (before + time.time()) / 2
    cluster = config.clickhouse.cluster
    tables = set(needed(pipeline, database, cluster))
    different = differences(client, pipeline, database, cluster)
    parts = int(
        client.query(
            f"SELECT max(n) FROM (SELECT count() AS n FROM {shards('system.parts', cluster)} "
            "WHERE active AND database = {d:String} AND table = {t:String} "
            f"GROUP BY partition{by_server(cluster)})",
            {"d": database, "t": local(pipeline.table, cluster)},
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
            abs(skew) <= MAX_SKEW,
            f"ClickHouse's clock differs by {skew:+.3f} s",
            None
            if abs(skew) <= MAX_SKEW
            else "synchronize the clocks with NTP, since latencies would be wrong",
        ),
        Check(
            "tables",
            not different,
            "; ".join(each.what for each in different)
            or f"{len(tables)} tables and views in {database}",
            "; ".join(dict.fromkeys(each.fix for each in different)) or None,
        ),
        Check(
            "active parts",
            parts < limit,
            f"{parts} of {limit} in a partition",
            None if parts < limit else "insert larger batches: raise batch.max_wait",
        ),
    ]
