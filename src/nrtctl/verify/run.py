"""The comparison for a configuration. Called by `nrtctl verify` and `Client.verify`."""

from __future__ import annotations

import time
from dataclasses import replace

from nrtctl.clickhouse.cluster import local
from nrtctl.clickhouse.queries import Storage
from nrtctl.config.model import Config
from nrtctl.kafka.log import KafkaLog
from nrtctl.schema.drift import lost
from nrtctl.schema.existing import has_ttl
from nrtctl.store.intents import Incarnation
from nrtctl.store.latest import StateReport, States
from nrtctl.verify.compare import verify
from nrtctl.verify.report import Report


def report(
    config: Config,
    client: Storage,
    log: KafkaLog,
    topic: Incarnation,
    *,
    states: list[StateReport] | None = None,
) -> Report:
    """Kafka's offsets against the rows, the rows against the current states, and whether the tables
    have all that the pipeline needs.

    Args:
        states: what comparing the current states has found already, for another topic of the same
            table; None: they are compared.

    Raises:
        ConnectError, WaitTimeout, QueryError: from Kafka and ClickHouse.
        NrtctlError: there is no topic or no table.
    """
    database, cluster = config.clickhouse.database, config.clickhouse.cluster
    found = verify(
        client,
        config.pipeline,
        database=database,
        group=config.consumer.group,
        log=log,
        topic=topic,
        lost=list(map(str, lost(client, config.pipeline, database, cluster))),
    )
    if states is None:
        states = States(
            client, config.pipeline, database, sleep=time.sleep, cluster=cluster
        ).compare()
    problems = [each.problem for each in states if each.problem]
    notes, table = list(found.notes), config.pipeline.table
    if found.missing and has_ttl(client, database, local(table, cluster)):
        notes.append(
            f"{database}.{table} has a TTL: rows that it has deleted count as missing for as long "
            "as Kafka has their messages, and a repair would load them again"
        )
    return replace(found, latest=states, notes=notes, problems=[*found.problems, *problems])
