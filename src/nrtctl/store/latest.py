"""Whether current states are what the table of rows says, and how they come to be so again.

Used by `verify.run`, `replay.load` and the command line. The newest row of each key is computed
from the table, in the same words as the state's, and compared with what the state has, with its
values. Keys are told apart by a hash of 128 bits, a share of them at a time, so memory is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nrtctl.clickhouse.queries import Statements
from nrtctl.errors import NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.schema import keeping_latest, latest
from nrtctl.schema.cluster_ddl import on_each_server
from nrtctl.schema.existing import columns_of, has_ttl
from nrtctl.store.deletion import delete, server_time, settle, sleeping
from nrtctl.store.rows import LARGE
from nrtctl.store.target import inserted_until

KEYS_AT_ONCE = 5_000_000
"""Keys that one statement compares, about; each takes some 200 bytes of the server's memory."""

ROWS_AT_ONCE = 20_000_000
"""Rows of the table whose values one statement compares, about, so that it ends in time."""

BOUNDED = {"max_bytes_before_external_group_by": 2**30}
"""For a state that has lost most of its keys, so that nobody knows how many there are."""

MOST = 100_000
"""Keys that differ which one statement lists, and another names."""

SHOWN = 5

SETTLE_SECONDS = 0.5
"""Between two looks. An insert may have come into the table and not yet into the state; what is so
in both looks, with the same rows, is a difference."""

ROUNDS = 1_000


@dataclass(frozen=True, slots=True)
class StateReport:
    """One current state. Counts are of keys.

    Attributes:
        keys: that the table of rows has.
        wrong: whose row is not the newest, or has other values; missing: that the state lacks;
            extra: that the table does not have.
        older: whose row the table no longer has, where it has a TTL: these are no difference.
        examples: some of the keys that differ.
    """

    name: str
    keys: int
    wrong: int = 0
    missing: int = 0
    extra: int = 0
    older: int = 0
    examples: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def differing(self) -> int:
        return self.wrong + self.missing + self.extra


class _Key(NamedTuple):
    """A key that differs: its hash, the order (`latest.ORDER`) and hash of its row by the table,
    and in the state. An order of 0: there is none."""

    key: str
    newest: int
    has: int
    newest_values: int
    has_values: int


class _Look(NamedTuple):
    keys: int
    wrong: int
    missing: int
    extra: int
    older: int
    listed: tuple[_Key, ...]

    @property
    def differing(self) -> int:
        return self.wrong + self.missing + self.extra


class States:
    """The current states of one pipeline. Args: sleep: waits some seconds."""

    def __init__(
        self,
        client: Statements,
        pipeline: Pipeline,
        database: str,
        *,
        sleep: Callable[[float], None],
        cluster: str | None = None,
    ) -> None:
        self._client = client
        self._pipeline = pipeline
        self._database = database
        self._sleep = sleep
        self._cluster = cluster
        self._behind = on_each_server(pipeline, cluster)
        self._kinds: dict[str, dict[str, str]] = {}

    def compare(self) -> list[StateReport]:
        """Each state with the table. Rows may come meanwhile."""
        return [self._compared(name) for name in self._pipeline.latest]

    def mend(self, name: str) -> int:
        """Make the state what the table says; rows may come meanwhile. How many keys were mended.

        Raises:
            NrtctlError: it stays different.
        """
        if self._unfilled(name):
            return 0
        mended, last, stuck = 0, 0, 0
        for _ in range(ROUNDS):
            until = server_time(self._client)
            behind = (latest.state_of(self._behind, name), self._behind.table)
            settle(self._client, [f"{self._database}.{each}" for each in behind], self._cluster)
            found = self._differences(name)
            if not found.differing:
                return mended
            mended += max(0, found.differing - last)
            stuck = stuck + 1 if last and found.differing >= last else 0
            if stuck > 2:
                break
            last = found.differing
            self._mend_listed(name, found, until)
        raise NrtctlError(
            f"latest.{name}: {last:,} keys still differ from the rows of {self._pipeline.table}",
            hint=f"drop {self._database}.{latest.state_of(self._pipeline, name)}, and `nrtctl "
            "up` creates it again from the rows",
        )

    def _mend_listed(self, name: str, found: _Look, until: int) -> None:
        """Of each key that is listed: what the state should not have is deleted, and the rows that
        the table has are copied."""
        table = f"{self._database}.{latest.state_of(self._behind, name)}"
        gone = [each.key for each in found.listed if each.has and each.has >= each.newest]
        if gone:
            where = f"{self._among(name, gone)} AND {inserted_until(until)}"
            pause = sleeping(self._sleep, table)
            delete(self._client, table, where, pause, cluster=self._cluster, settings=LARGE)
        of_state = (self._client, self._pipeline, self._database, name)
        if found.wrong + found.missing > len(found.listed):
            keeping_latest.copy_all(*of_state, self._cluster)
            return
        there = [each.key for each in found.listed if each.newest]
        if there:
            keeping_latest.copy(*of_state, self._among(name, there), self._cluster)

    def _unfilled(self, name: str) -> str:
        """What `up` has to do before the state can be compared; empty: nothing."""
        state = latest.state_of(self._pipeline, name)
        feed = latest.feed_of(latest.state_of(self._behind, name))
        rows = self._client.query(
            f"SELECT name, comment FROM system.tables WHERE database = '{self._database}' "
            f"AND name IN ('{state}', '{feed}')"
        )
        there = {str(each): str(comment) for each, comment in rows}
        if state not in there:
            why = "does not exist"
        elif feed not in there:
            why = "does not receive new rows"
        elif self._cluster is not None and (servers := self._servers_without(name)):
            why = f"does not receive the rows of {', '.join(servers)}"
        elif there[state] != latest.filled(self._pipeline.table):
            why = "lacks the rows from before it was created"
        else:
            return ""
        return f"latest.{name}: {self._database}.{state} {why}; `nrtctl up` fills it from the table"

    def _servers_without(self, name: str) -> list[str]:
        return keeping_latest.servers_without(
            self._client, self._pipeline, self._database, str(self._cluster), name
        )

    def _compared(self, name: str) -> StateReport:
        if problem := self._unfilled(name):
            return StateReport(name, 0, problem=problem)
        found = self._differences(name)
        keys = [each.key for each in found.listed[:SHOWN]]
        return StateReport(
            name,
            found.keys,
            found.wrong,
            found.missing,
            found.extra,
            found.older,
            self._named(name, keys) if keys else [],
        )

    def _differences(self, name: str) -> _Look:
        """What differs in two looks in the same way."""
        first = self._look(name)
        if not first.differing:
            return first
        self._sleep(SETTLE_SECONDS)
        again = self._look(name)
        if again.differing > len(again.listed) or first.differing > len(first.listed):
            return again
        both = set(first.listed)
        stays = tuple(each for each in again.listed if each in both)
        return again._replace(
            wrong=sum(bool(each.newest and each.has) for each in stays),
            missing=sum(not each.has for each in stays),
            extra=sum(not each.newest for each in stays),
            listed=stays,
        )

    def _look(self, name: str) -> _Look:
        state = f"{self._database}.{latest.state_of(self._pipeline, name)}"
        table = f"{self._database}.{self._pipeline.table}"
        ((keys, rows),) = self._client.query(
            f"SELECT (SELECT count() FROM {state}), (SELECT count() FROM {table})"
        )
        shares = max(int(keys) // KEYS_AT_ONCE, int(rows) // ROWS_AT_ONCE) + 1
        counts, listed = [0, 0, 0, 0, 0], list[_Key]()
        for share in range(shares):
            ((*numbers, some),) = self._client.query(
                self._question(name, state, share, shares), settings=BOUNDED
            )
            counts = [one + int(more) for one, more in zip(counts, numbers, strict=True)]
            listed += [_Key(str(key), int(a), int(b), int(c), int(d)) for key, a, b, c, d in some]
        keys, wrong, missing, extra, older = counts
        return _Look(keys, wrong, missing, extra, older, tuple(listed[:MOST]))

    def _question(self, name: str, state: str, share: int, shares: int) -> str:
        """SQL: the counts of `_Look`, and the keys that differ."""
        as_stored = self._cast(name, [*latest.columns_of_rows(self._pipeline), latest.DELETED])
        mine = f"sipHash64({self._key(name)}) % {shares} = {share}" if shares > 1 else "1"
        rows = latest.filling_query(self._pipeline, self._database, name, mine)

        def side(source: str, number: int) -> str:
            return (
                f"SELECT sipHash128({self._key(name)}) AS _k, {latest.ORDER} AS _o, "
                f"sipHash64(tuple({as_stored})) AS _h, _inserted_at AS _i, {number} AS _side "
                f"FROM {source} WHERE {mine}"
            )

        of_side = "(_h, (_o, _i), _side = {})".format
        of_age = has_ttl(self._client, self._database, self._behind.table)
        # Of each shard's newest rows the newest is chosen below, and of its older ones none is.
        merged = " FINAL" if self._cluster is None else ""
        older = "_newest < _has" if of_age else "0"
        differs = f"NOT {older} AND (_newest != _has OR _newest_values != _has_values)"
        return (
            f"SELECT count() - countIf(_newest = 0), countIf(_different AND _newest != 0 AND "
            f"_has != 0), countIf(_different AND _has = 0), countIf(_different AND _newest = 0), "
            f"countIf({older}), groupArrayIf({MOST})((hex(_k), toString(_newest), toString(_has), "
            "_newest_values, _has_values), _different) FROM ("
            f"SELECT *, {differs} AS _different FROM ("
            "SELECT _k, maxIf(_o, _side = 0) AS _newest, maxIf(_o, _side = 1) AS _has, "
            f"argMaxIf{of_side(0)} AS _newest_values, argMaxIf{of_side(1)} AS _has_values "
            f"FROM ({side(f'({rows})', 0)} UNION ALL {side(f'{state}{merged}', 1)}) GROUP BY _k))"
        )

    def _key(self, name: str) -> str:
        return f"tuple({self._cast(name, self._pipeline.latest[name].key)})"

    def _cast(self, name: str, columns: Sequence[str]) -> str:
        """SQL of columns with the types of the state; a table that was there may have others."""
        if name not in self._kinds:
            state = latest.state_of(self._pipeline, name)
            self._kinds[name] = columns_of(self._client, self._database, state)
        bare = [each.strip("`") for each in columns]
        return ", ".join(f"CAST(`{each}`, {literal(self._kinds[name][each])})" for each in bare)

    def _among(self, name: str, keys: Sequence[str]) -> str:
        """SQL: the row is of one of these keys."""
        listed = ", ".join(f"'{each}'" for each in keys)
        return f"hex(sipHash128({self._key(name)})) IN ({listed})"

    def _named(self, name: str, keys: Sequence[str]) -> list[str]:
        """The keys as one reads them."""
        among, key = self._among(name, keys), self._key(name)
        state = f"{self._database}.{latest.state_of(self._pipeline, name)}"
        rows = self._client.query(
            f"SELECT DISTINCT toString({key}) AS k FROM {state} WHERE {among} UNION DISTINCT "
            f"SELECT DISTINCT toString({key}) AS k FROM {self._database}.{self._pipeline.table} "
            f"WHERE {among} ORDER BY k"
        )
        return [str(row[0])[1:-1] for row in rows]
