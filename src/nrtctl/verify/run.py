"""The comparison for a configuration. Called by `nrtctl verify` and `Client.verify`."""

from __future__ import annotations

import time
from dataclasses import replace

from nrtctl.clickhouse.queries import Storage
from nrtctl.config.model import Config
from nrtctl.kafka.log import KafkaLog
from nrtctl.schema.drift import lost
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
        states = States(client, config.pipeline, database, sleep=time.sleep).compare()
    problems = [each.problem for each in states if each.problem]
    return replace(found, latest=states, problems=[*found.problems, *problems])
