"""Store the batch that a group has declared, before its intent is given up.

Its owner may have been killed while the insert ran in the server, and that insert may land later.
So the batch goes once more under its own token, as a consumer would do (docs/decisions/0005): then
no copy of it can land any more, whatever offset the group is moved to. Called by `replay`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from threading import Event

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.consumer.run import LEASE_SHARE
from nrtctl.errors import NrtctlError
from nrtctl.kafka.formats.opening import patient_decoder
from nrtctl.kafka.group_offsets import GroupOffsets
from nrtctl.kafka.partitions import Log, LogPartition
from nrtctl.store import intents
from nrtctl.store.batch import Batch
from nrtctl.store.envelope import row_encoder
from nrtctl.store.faultpoints import reach
from nrtctl.store.intents import (
    Incarnation,
    Intent,
    OffsetRange,
    Position,
    UnknownMetadataError,
    encode_metadata,
)
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.pressure import Pressure
from nrtctl.store.target import target_of
from nrtctl.store.throwing import Throwing
from nrtctl.store.writer import Writer


def at_rest(table: str, topic: Incarnation) -> str:
    """Commit metadata of an offset that a group is moved to: nothing is under way, and the epoch is
    one that was never used."""
    return encode_metadata(table, Intent(None, secrets.token_hex(4), topic=topic.tag))


def declared(entry: LogPartition, table: str, topic: Incarnation) -> tuple[Position | None, str]:
    """The batch to resolve before the partition is moved, and what to say of its metadata.

    Raises:
        NrtctlError: a batch for another table is under way, which only that table's pipeline can
            store.
    """
    if entry.committed is None or not entry.metadata:
        return None, ""
    try:
        intent = intents.decode_intent(table, entry.committed, entry.metadata)
    except intents.SwapUnderWayError as error:
        raise NrtctlError(
            f"the group is not moved: {error}",
            hint=f"`nrtctl replay load --into {error.table} --resume --execute` finishes the "
            "exchange",
        ) from error
    except UnknownMetadataError as error:
        other = entry.metadata.split(":")
        if other[0] == f"nrtctl{intents.VERSION}" and len(other) == 4 and other[2] != "-":
            raise NrtctlError(
                f"partition {entry.partition}: {error}, and it is in progress",
                hint=f"move the group with --set pipeline.table={other[1]}, or let its consumer "
                "finish",
            ) from error
        return None, f"its metadata is discarded: {error}"
    if intent is None or intent.batch is None:
        return None, ""
    if intent.batch.end > entry.log_end:
        return None, f"the batch {intent.batch} is declared beyond the log's end"
    position = intents.resume(
        table,
        committed=entry.committed,
        metadata=entry.metadata,
        log_start=entry.log_start,
        log_end=entry.log_end,
        fresh=intent.epoch,
        topic=topic,
    )
    if position.pending is None:
        return None, f"retention has deleted the declared batch {intent.batch}"
    note = f"the declared batch {position.pending} is stored first"
    return position, note if position.lost is None else f"{note}; {position.lost} is gone"


def resolve(
    config: Config,
    client: ClickHouseClient,
    topic: Incarnation,
    log: Log,
    group: GroupOffsets,
    partition: int,
    position: Position,
    *,
    clock: Clock,
    waiting: Callable[[str, float], None],
) -> None:
    """Store the pending batch of `position` exactly once.

    Raises:
        NrtctlError: it cannot be stored, or the group has got a member.
    """
    pipeline, span = config.pipeline, position.pending
    if span is None:
        raise ValueError("nothing is pending")

    def declare(number: int, batch: OffsetRange, look: bool) -> float:
        now = clock.monotonic()
        metadata = encode_metadata(
            pipeline.table, Intent(batch, position.epoch, look, position.shared, topic.tag)
        )
        group.commit_offsets({number: (batch.start, metadata)})
        return now

    writer = Writer(
        target_of(config, topic),
        client,
        declare=declare,
        lease=config.consumer.session_timeout * LEASE_SHARE,
        clock=clock,
        pressure=Pressure(
            config.clickhouse.database,
            (pipeline.table, pipeline.dead_letters),
            clock,
            cluster=config.clickhouse.cluster,
        ),
        waiting=waiting,
        throwing=Throwing(
            pipeline, config.clickhouse.database, cluster=config.clickhouse.cluster, clock=clock
        ),
    )
    encode = row_encoder(
        pipeline.topic, topic.number, partition, patient_decoder(config, clock, waiting)
    )
    messages = list(log.messages(partition, [span]))
    batch = Batch.of_rows(
        partition,
        position.epoch,
        span,
        [each.offset() for each in messages],
        [encode(e.offset(), e.timestamp()[1], e.key(), e.value(), e.headers()) for e in messages],
        position.shared,
    )
    writer.write(batch, Mode.LOOK if position.look else Mode.RESUME, None, Event())
    reach("replay-resolved")
