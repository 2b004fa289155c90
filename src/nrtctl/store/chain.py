"""Whether an insert into the landing table can reach the tables behind it. Used by `writer`.

ClickHouse says with each insert how many rows it wrote in all: each message is written into the
landing table, into the parsed one, and into the table or the dead letters. So an insert that was
written in full has landed, and that costs nothing to know. Where it was not, and every few seconds,
the system tables are asked what has become of the chain (`schema.drift`); after each insert, where
a message may become several rows, since nobody knows then how many there should be. An accepted row
is in each current state (`pipeline.latest`), too.

A column that has gone shows in no number of rows. So what was stored is proved only by a whole look
that began later and found all as it should be, on every server and since the whole look before
(`schema.alterations`): what was stored before a look that did not is told.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock

from nrtctl.clickhouse.client import AccessRefused, ClickHouseGone, QueryError
from nrtctl.clock import Clock
from nrtctl.errors import NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.schema.alterations import Alterations
from nrtctl.schema.drift import Loss, Queries, lost
from nrtctl.store.batch import Batch
from nrtctl.store.intents import OffsetRange

EVERY = 5.0
"""Seconds between two whole looks."""

TABLES = 3
"""That a message is written into on its way: landing, parsed, and where it stays."""

UNCOUNTED = 3
"""Inserts in a row that were whole although the server said less: it does not count what views
write, and the system tables are asked after each insert instead. A server that sends the rows on to
a shard counts only what it sends."""

NAMED = 3
"""Partitions that are named."""


class Chain:
    """What several writers of one pipeline share.

    Args:
        tell: told of messages that may have been stored without all of their values.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        database: str,
        clock: Clock,
        *,
        cluster: str | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._pipeline = pipeline
        self._database = database
        self._cluster = cluster
        self._clock = clock
        self._lock = Lock()
        self._alterations: Alterations | None = Alterations(pipeline, database, cluster)
        self._looked = -math.inf
        self._uncounted = 0 if cluster is None else UNCOUNTED
        self._broken = ""
        self._tell = tell
        self._unproven = deque[tuple[float, int, OffsetRange]]()
        self._doubted = ""

    @property
    def doubted(self) -> str:
        """What may have been stored without all of its values; empty: nothing, as far as is
        known."""
        return self._doubted

    @property
    def unproven(self) -> bool:
        """Whether something was stored after the last whole look."""
        return bool(self._unproven)

    def stored(self, batches: Sequence[Batch]) -> None:
        """They are in the tables, as far as the number of rows tells."""
        now = self._clock.monotonic()
        self._unproven.extend((now, batch.partition, batch.span) for batch in batches)

    def prove(self, queries: Queries) -> None:
        """Look, if something was stored after the last whole look. Raises nothing: whoever inserts
        next is told what is wrong."""
        if self._unproven:
            with suppress(NrtctlError):
                self._look(queries, whole=True)

    def _judge(self, why: str, began: float) -> None:
        """What a look that began then means for what was stored before it.

        Args:
            why: values may have been lost; empty: none were.
        """
        spans: dict[int, OffsetRange] = {}
        while self._unproven and self._unproven[0][0] <= began:
            _, partition, span = self._unproven.popleft()
            if not why:
                continue
            first = spans.get(partition, span)
            start, end = min(first.start, span.start), max(first.end, span.end)
            spans[partition] = OffsetRange(start, end)
        if spans:
            doubt = _doubt(why, spans)
            self._doubted = "\n".join(filter(None, (self._doubted, doubt)))
            self._tell(doubt)

    @property
    def reason(self) -> str:
        """What is lost, as far as the last look told; asks nobody."""
        return self._broken

    def broken(self, queries: Queries, *, now: bool = False) -> str:
        """What is lost, and what mends it; empty: nothing, as far as is known.

        Args:
            now: look now, however long ago the last look was.
        """
        due = self._due
        return self._look(queries, whole=due) if now or due or self._broken else ""

    @property
    def _due(self) -> bool:
        return self._clock.monotonic() - self._looked >= EVERY

    def _look(self, queries: Queries, *, whole: bool) -> str:
        """As `broken`.

        Args:
            whole: ask all servers of a cluster, and what was altered. What is missing is always
                looked for so: only who told of it can tell that it is back.
        """
        with self._lock:
            whole = whole or bool(self._broken)
            began = self._clock.monotonic()
            altered: list[str] = []
            try:
                found = self._lost(queries, everywhere=whole)
                if whole:
                    altered = self._altered(queries)
            except (QueryError, ClickHouseGone):
                return self._broken  # the insert will tell
            if whole:
                self._looked = self._clock.monotonic()
            self._broken = str(found[0]) if found else ""
            why = next((each.what for each in found if not each.counted), "; ".join(altered))
            if whole or why:
                self._judge(why, began)
            return self._broken

    def _altered(self, queries: Queries) -> list[str]:
        """Nothing is found by a user who may not read `system.mutations`, who is not asked for it
        again."""
        if self._alterations is None:
            return []
        try:
            return self._alterations.look(queries)
        except AccessRefused:
            self._alterations = None
            return []

    def _lost(self, queries: Queries, *, everywhere: bool) -> list[Loss]:
        return lost(queries, self._pipeline, self._database, self._cluster, everywhere=everywhere)

    def landed(self, queries: Queries, written: int | None, messages: int) -> bool:
        """Whether an insert that was acknowledged is certain to be stored, each message once.

        Args:
            written: rows that ClickHouse says it has written; None: it does not say.
        """
        if written is None:
            return True
        if self._pipeline.rows is not None:
            return written >= TABLES * messages and not self.broken(queries, now=True)
        states = len(self._pipeline.latest)
        if written == (TABLES + states) * messages:
            self._uncounted = 0
            return True
        if written > TABLES * messages or (states and written == TABLES * messages):
            return not self.broken(queries, now=True)  # some are no rows, or states came or went
        if self._uncounted >= UNCOUNTED:
            return not self.broken(queries, now=True)
        return False

    def whole_nevertheless(self) -> None:
        """An insert of which ClickHouse said less was found to be stored whole."""
        self._uncounted += 1


def _doubt(why: str, spans: dict[int, OffsetRange]) -> str:
    named = [f"{number}: {spans[number]}" for number in sorted(spans)]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    number = min(spans)
    command = (
        f"nrtctl replay load --partition {number} "
        f"--offset {spans[number].start}:{spans[number].end} --execute"
    )
    return (
        f"{why}; this may be so for what was stored shortly before, too (partition "
        f"{'; '.join(named[:NAMED])}{more}): once it is fixed, `{command}` stores those of "
        f"partition {number} again"
    )
