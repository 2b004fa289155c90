"""The topics that have had the pipeline's name: what is stored of each, and how it is deleted.

Called by `nrtctl incarnations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.schema.cluster_ddl import on_each_server
from nrtctl.stack.addresses import Addresses
from nrtctl.stack.current_topic import incarnations, topic_id
from nrtctl.store.deletion import clear
from nrtctl.store.incarnations import rows_by_incarnation
from nrtctl.store.target import evidence_of, letters_of, rows_of


@dataclass(frozen=True, slots=True)
class StoredTopic:
    """Attributes:
    first_stored: ISO 8601; None: the database has not met it.
    topic_id: Kafka's; None or empty: it is not known.
    """

    incarnation: int
    is_now: bool
    rows: int
    dead_letters: int
    first_stored: str | None
    topic_id: str | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "incarnation": self.incarnation,
            "state": "now" if self.is_now else "earlier",
            "rows": self.rows,
            "dead_letters": self.dead_letters,
            "first_stored": self.first_stored,
            "topic_id": self.topic_id,
        }


def stored_topics(
    config: Config, addresses: Addresses, client: ClickHouseClient
) -> list[StoredTopic]:
    """All of them, the one that exists now as well.

    Raises:
        ConnectError, WaitTimeout, QueryError: Kafka or ClickHouse does not answer, or fails.
    """
    topics = incarnations(config, client)
    now = topics.find(topic_id(config, addresses))
    counts = rows_by_incarnation(client, config.pipeline, config.clickhouse.database)
    known = {each.number: each for each in topics.known()}
    found = []
    for number in sorted({*known, *counts, now.number}):
        rows, letters = counts.get(number, (0, 0))
        each = known.get(number)
        seen = None if each is None else datetime.fromtimestamp(each.seen / 1000, UTC)
        found.append(
            StoredTopic(
                number,
                number == now.number,
                rows,
                letters,
                None if seen is None else seen.isoformat(timespec="seconds"),
                now.topic_id if number == now.number else None if each is None else each.topic_id,
            )
        )
    return found


def delete_stored(
    config: Config,
    client: ClickHouseClient,
    topics: Iterable[StoredTopic],
    *,
    clock: Clock,
    again: Callable[[], str],
) -> None:
    """Delete their rows, dead letters and what was tried with these.

    Args:
        again: the command that goes on, for an error.
    """
    pipeline, cluster = config.pipeline, config.clickhouse.cluster
    kept = on_each_server(pipeline, cluster)
    for each in topics:
        rows = rows_of(pipeline, each.incarnation)
        letters = letters_of(pipeline, each.incarnation)
        for name, where in (
            (kept.table, rows),
            (kept.dead_letters, evidence_of(pipeline, each.incarnation)),
            (kept.letter_log, letters),
        ):
            table = f"{config.clickhouse.database}.{name}"
            clear(
                client,
                table,
                where,
                sleep=clock.sleep,
                again=again(),
                cluster=cluster,
            )
