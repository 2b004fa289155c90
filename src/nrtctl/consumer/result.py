"""What a run of the consumer has stored, as a value. Printed by `consume`, returned by `Client`."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from nrtctl.config.model import Config
from nrtctl.consumer.observer import Summary
from nrtctl.errors import NrtctlError
from nrtctl.stack.addresses import Addresses
from nrtctl.store.target import target_of, within_any


@dataclass(frozen=True, slots=True)
class Insert:
    """One insert that ClickHouse has acknowledged.

    Attributes:
        records: messages in it, as rows or as dead letters.
        total: those of the run so far.
        partitions: whose messages they are.
        seconds: that the insert took.
    """

    records: int
    total: int
    partitions: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """Messages of a run that are dead letters for one reason. Attributes: field: empty for none."""

    reason: str
    field: str
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Consumed:
    """What one run has stored.

    Attributes:
        records: messages that it has seen to: stored as rows or as dead letters, or left out.
        rejected: those that are dead letters, by reason and field, most first; None: ClickHouse
            does not say.
        resolved: messages of batches that others had declared, and had stored before.
        bytes: of the stored messages, as they were sent to ClickHouse.
        partitions: that messages were stored of.
        dead_lettered_by_bisecting: messages that the pipeline's own SQL threw on.
        waits: how often ClickHouse or Kafka was waited for.
        ended: why: the log's end, a number of messages, or stopped.
        failure: why messages that were read are not stored; empty: all are.
        doubted: messages that may be stored without all of their values, as a column was lost
            meanwhile, and what stores them again; empty: none is known.
    """

    topic: str
    group: str
    records: int
    rejected: tuple[Rejected, ...] | None
    resolved: int
    batches: int
    inserts: int
    bytes: int
    partitions: tuple[int, ...]
    dead_lettered_by_bisecting: int
    waits: int
    seconds: float
    ended: str
    failure: str = ""
    doubted: str = ""
    several: tuple[int, int] | None = None
    """Where a message may become several rows: messages that have rows, and their rows."""
    left_out: int | None = None
    """Messages that the pipeline leaves out; None: it takes all, or ClickHouse does not say."""

    @property
    def dead_letters(self) -> int | None:
        """How many of the messages are dead letters; None where `rejected` is."""
        if self.rejected is None:
            return None
        return min(self.records, sum(each.dead_letters for each in self.rejected))

    @property
    def rows(self) -> int | None:
        """Rows that the messages became; None where `dead_letters` is."""
        if self.several is not None:
            return self.several[1]
        if self.dead_letters is None:
            return None
        return max(0, self.records - self.dead_letters - (self.left_out or 0))

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `failure` and `doubted` are an error there."""
        found = asdict(self)
        del found["failure"], found["doubted"], found["several"], found["left_out"]
        first = {
            "topic": found.pop("topic"),
            "group": found.pop("group"),
            "records": found.pop("records"),
            **({} if self.several is None else {"stored": self.several[0]}),
            "rows": self.rows,
            "dead_letters": self.dead_letters,
            **({} if self.left_out is None else {"left_out": self.left_out}),
        }
        rejected = None if self.rejected is None else [asdict(each) for each in self.rejected]
        return {
            **first,
            **found,
            "rejected": rejected,
            "partitions": list(self.partitions),
        }


class NotStored(NrtctlError):
    """Messages that were read are not stored, or perhaps without all of their values.

    `consumed`: what the run did.
    """

    def __init__(self, consumed: Consumed) -> None:
        if consumed.failure:
            super().__init__(
                f"some messages that were read could not be stored: {consumed.failure}",
                hint="their offsets are not committed, so the next `nrtctl consume` stores them",
            )
        else:
            super().__init__(consumed.doubted)
        self.consumed = consumed

    @classmethod
    def of(cls, consumed: Consumed) -> NotStored | None:
        return cls(consumed) if consumed.failure or consumed.doubted else None


def consumed(
    config: Config, addresses: Addresses, summary: Summary, *, seconds: float, waits: int
) -> Consumed:
    """The result of a run; asks ClickHouse which of its messages are dead letters.

    Args:
        waits: how often something was waited for.
    """
    return Consumed(
        topic=config.pipeline.topic,
        group=config.consumer.group,
        records=summary.records,
        rejected=rejected(config, addresses, summary),
        resolved=summary.resolved,
        batches=summary.batches,
        inserts=summary.inserts,
        bytes=summary.bytes,
        partitions=tuple(sorted(summary.partitions)),
        dead_lettered_by_bisecting=summary.letters,
        waits=waits,
        seconds=round(seconds, 3),
        ended=summary.reason or "stopped",
        failure=summary.failure,
        doubted=summary.doubted,
        several=_several(config, addresses, summary),
        left_out=_left_out(config, addresses, summary),
    )


def _several(config: Config, addresses: Addresses, summary: Summary) -> tuple[int, int] | None:
    """As of `Consumed`; None: a message is one row, or ClickHouse does not say."""
    if config.pipeline.rows is None or summary.left or summary.topic is None:
        return None
    if not summary.spans:
        return (0, 0)
    table, mine = target_of(config, summary.topic).tables(within_any(summary.spans))[0]
    asked = f"SELECT countIf(_rows > 0), count() FROM {table} WHERE {mine}"
    found = _asked(config, addresses, asked)
    return None if found is None else (int(found[0][0]), int(found[0][1]))


def _left_out(config: Config, addresses: Addresses, summary: Summary) -> int | None:
    """As of `Consumed`."""
    if not config.pipeline.takes_some or summary.left or summary.topic is None:
        return None
    if not summary.spans:
        return 0
    target = target_of(config, summary.topic)
    table, mine = target.tables(within_any(summary.spans))[1]
    asked = f"SELECT count() FROM {table} WHERE {mine} AND {target.is_left_out}"
    found = _asked(config, addresses, asked)
    return None if found is None else min(summary.records, int(found[0][0]))


def rejected(config: Config, addresses: Addresses, summary: Summary) -> tuple[Rejected, ...] | None:
    """The messages that a run stored as dead letters, by reason and field, most first; None:
    ClickHouse does not say."""
    if summary.left or summary.topic is None:
        return None  # ClickHouse does not take batches either
    if not summary.spans:
        return ()
    table, mine = target_of(config, summary.topic).letters(within_any(summary.spans))
    place = "any(field)"
    if config.pipeline.rows is not None:  # the field in any row
        place = f"replaceRegexpAll({place}, '\\\\[[0-9]+\\\\]|^line [0-9]+[.]?', '')"
    found = _asked(
        config,
        addresses,
        f"SELECT _r, _f, count() AS n FROM (SELECT any(reason) AS _r, {place} AS _f "
        f"FROM {table} WHERE {mine} GROUP BY _partition, _offset) "
        "GROUP BY _r, _f ORDER BY n DESC, _r, _f",
    )
    if found is None:
        return None
    return tuple(Rejected(str(reason), str(field), int(n)) for reason, field, n in found)


def _asked(config: Config, addresses: Addresses, sql: str) -> list[tuple[Any, ...]] | None:
    """None: ClickHouse does not say."""
    try:
        client = addresses.clickhouse_client()
        with closing(client):
            return client.query(sql)
    except NrtctlError:
        return None
