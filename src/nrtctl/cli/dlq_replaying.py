"""Dead letters sent through the pipeline again, for who asks for it: `nrtctl dlq replay`, or the
dashboard's page of one. Used by `dlq_command` and `dashboard_fixes`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from nrtctl.cli.waits import throwing_of

if TYPE_CHECKING:
    from nrtctl.cli.session import Session
    from nrtctl.clickhouse.client import ClickHouseClient
    from nrtctl.dead_letters.replay import Report
    from nrtctl.dead_letters.selection import Selection


def alone(session: Session) -> AbstractContextManager[None]:
    """As `dead_letters.lock.alone`, of the pipeline's dead letters."""
    from nrtctl.dead_letters.lock import alone as locked

    config = session.config
    address = session.addresses.clickhouse_url
    return locked(address, config.clickhouse.database, config.pipeline.dead_letters)


def replayed(
    session: Session,
    selection: Selection,
    fix: str,
    note: str,
    *,
    execute: bool,
    storage: ClickHouseClient,
    waiting: Callable[[str, float], None],
    sleep: Callable[[float], None] = time.sleep,
    progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """What was done with the dead letters of `selection`, or would be without `execute`.

    Args:
        fix: SQL that makes the value that is sent; `note` is what the log says of it.
        waiting: told (reason, seconds) before each wait.
        sleep: waits some seconds while ClickHouse applies a mutation. What the two raise ends the
            replay as a kill would.

    Raises:
        NrtctlError: as `dead_letters.replay.Replay.run`, where Kafka does not answer, and where a
            load of the table is not finished.
    """
    from dataclasses import replace

    from nrtctl.clickhouse.patience import Patient
    from nrtctl.dead_letters.letters import incarnations_of
    from nrtctl.dead_letters.replay import AGAIN, Replay, Report
    from nrtctl.kafka.formats.opening import patient_decoder
    from nrtctl.kafka.log import KafkaLog
    from nrtctl.stack.current_topic import current_topic
    from nrtctl.store.filling import filling
    from nrtctl.store.target import Target

    config = session.config
    database = config.clickhouse.database
    client = Patient(storage, waiting=waiting, sleep=sleep)
    topic = current_topic(config, session.addresses, client)
    if execute:
        _refuse_beside_load(session)
    positions = KafkaLog(config, session.addresses.bootstrap_servers, topic=topic).partitions()
    committed = {each.partition: each.committed or 0 for each in positions}
    decode = patient_decoder(session.addresses.with_registry(config), session.clock, waiting)
    report = Report()
    numbers = incarnations_of(client, config.pipeline, database, selection)
    for number in numbers or [topic.number]:
        work = Replay(
            client,
            config.pipeline,
            replace(selection, incarnation=number),
            filling(
                Target.of(config.pipeline, database, number, config.clickhouse.cluster),
                storage,
                clock=session.clock,
                waiting=waiting,
                throwing=throwing_of(session),
                again=AGAIN,
            ),
            database=database,
            cluster=config.clickhouse.cluster,
            committed=committed if number == topic.number else None,
            fix=fix,
            note=note,
            max_rows=config.batch.max_rows,
            max_bytes=config.batch.max_bytes,
            sleep=sleep,
            clock=lambda: int(time.time() * 1000),
            decode=decode,
        )
        work.run(report, execute=execute, progress=progress)
    return report


def _refuse_beside_load(session: Session) -> None:
    """A load deletes the dead letters of its range and makes them again: beside the rows of a
    replay they would be there twice."""
    from nrtctl.errors import NrtctlError
    from nrtctl.replay.unfinished import RESUME, is_under_way

    config, address = session.config, session.addresses.bootstrap_servers
    if is_under_way(config, address=address, clock=session.clock):
        raise NrtctlError(
            f"nothing was replayed: a load of {config.pipeline.table} is running or was "
            "interrupted, and makes the dead letters of its range again",
            hint=RESUME,
        )
