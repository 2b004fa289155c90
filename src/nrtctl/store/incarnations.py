"""The topics of one name that a database has met, and the numbers that their rows carry.

One small table for each database. A number belongs to the topic that registered it first: the row
is inserted under a deduplication token that names topic and number, so of several members that meet
a new topic at the same moment one has its way, and all read the same table afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from nrtctl.clickhouse.error_codes import Cause, meaning_of
from nrtctl.clickhouse.queries import Queries, Statements
from nrtctl.errors import NrtctlError, QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.schema.ddl import INCARNATIONS
from nrtctl.store import tokens
from nrtctl.store.deletion import settle
from nrtctl.store.intents import FIRST, WITHOUT_ID, Incarnation
from nrtctl.store.target import letters_of, rows_of

MAX_TRIES = 50


@dataclass(frozen=True, slots=True)
class Known:
    """A topic that was met. `seen`: when, ms since the epoch."""

    number: int
    topic_id: str
    seen: int


def rows_by_incarnation(
    storage: Queries, pipeline: Pipeline, database: str
) -> dict[int, tuple[int, int]]:
    """Rows and dead letters of each topic of the pipeline's name, by its number. They are counted
    from projections, whatever the table's size."""
    counted: dict[int, tuple[int, int]] = {}
    for number, stored, dead in storage.query(
        f"SELECT _incarnation, count(), 0 FROM {database}.{pipeline.table} "
        f"WHERE {rows_of(pipeline)} GROUP BY _topic, _incarnation UNION ALL "
        f"SELECT _incarnation, 0, count() FROM {database}.{pipeline.dead_letters} "
        f"WHERE {letters_of(pipeline)} GROUP BY _target, _topic, _incarnation"
    ):
        rows, letters = counted.get(int(number), (0, 0))
        counted[int(number)] = (rows + int(stored), letters + int(dead))
    return dict(sorted(counted.items()))


class Incarnations:
    """The topics named `topic`. Raises QueryError, ClickHouseGone anywhere."""

    def __init__(
        self, storage: Statements, database: str, topic: str, *, cluster: str | None = None
    ) -> None:
        self._storage = storage
        self._table = f"{database}.{INCARNATIONS}"
        self._topic = topic
        self._cluster = cluster

    def known(self) -> list[Known]:
        """Those that were met, in that order.

        Raises:
            NrtctlError: the tables are of an nrtctl that knew one topic of each name.
        """
        settle(self._storage, [self._table], self._cluster)
        return self._known()

    def _known(self) -> list[Known]:
        """As `known`, as far as the replica that answers has heard."""
        try:
            rows = self._storage.query(
                "SELECT _incarnation, topic_id, toUnixTimestamp64Milli(seen_at) "
                f"FROM {self._table} WHERE _topic = {{t:String}} "
                "ORDER BY _incarnation, seen_at, topic_id",
                {"t": self._topic},
            )
        except QueryError as error:
            if meaning_of(error).cause is Cause.MISSING:
                raise NrtctlError(
                    f"{self._table} does not exist: the tables were never created, or by an "
                    "earlier version of nrtctl",
                    hint="`nrtctl up` creates or changes them without losing anything",
                ) from error
            raise
        found: dict[int, Known] = {}
        for number, topic_id, seen in rows:
            found.setdefault(int(number), Known(int(number), str(topic_id), int(seen)))
        return list(found.values())

    def find(self, topic_id: str) -> Incarnation:
        """The incarnation of the topic with this id; one that was not met yet has the number that
        it will get. Changes nothing.

        Args:
            topic_id: empty: the broker gives none; the last that was met is meant then.
        """
        return self.met(topic_id) or _among(self.known(), topic_id)

    def met(self, topic_id: str) -> Incarnation | None:
        """The incarnation of the topic with this id, if the replica that answers has heard of it.
        A number stays its topic's, so no other has to be waited for."""
        for each in self._known():
            if topic_id and each.topic_id == topic_id:
                return Incarnation(each.number, topic_id)
        return None

    def register(self, topic_id: str) -> Incarnation:
        """As `find`; a topic that was not met yet is written down.

        Raises:
            NrtctlError: ClickHouse does not keep it.
        """
        spent = 0
        if found := self.met(topic_id):
            return found
        for _ in range(MAX_TRIES):
            known = self.known()
            found = _among(known, topic_id)
            if not topic_id or any(each.topic_id == topic_id for each in known):
                return found
            number = found.number + spent
            self._write(Incarnation(number, topic_id))
            # A token can be spent without its row (docs/decisions/0005): that number is nobody's.
            spent += all(each.number != number for each in self.known())
        raise NrtctlError(f"{self._table} does not keep what is written into it")

    def register_without_id(self, number: int) -> Incarnation:
        """Write down a topic of a broker that gives no ids (`evidence`)."""
        if all(each.number != number for each in self.known()):
            self._write(Incarnation(number, f"{WITHOUT_ID} {number}"))
        return Incarnation(number)

    def _write(self, new: Incarnation) -> None:
        self._storage.command(
            f"INSERT INTO {self._table} (_topic, _incarnation, topic_id) "
            f"VALUES ({literal(self._topic)}, {new.number}, {literal(new.topic_id)})",
            {
                "insert_deduplicate": 1,
                "async_insert": 0,
                "insert_deduplication_token": tokens.of_incarnation(self._topic, new.number),
            },
        )


def _among(known: list[Known], topic_id: str) -> Incarnation:
    for each in known:
        if each.topic_id == topic_id:
            return Incarnation(each.number, topic_id)
    last = known[-1].number if known else 0
    return Incarnation(last + 1 if topic_id else max(last, FIRST), topic_id)
