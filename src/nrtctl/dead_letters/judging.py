"""What the pipeline would say to dead letters now. Changes nothing.

Called by `dead_letters.replay` and `dead_letters.outlook`.

The same SQL that the feeding views run (`schema.ddl`), over the letters instead of the landing
table. Where it throws, the letters are halved until the one that it throws on stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nrtctl.clickhouse.client import QueryError
from nrtctl.clickhouse.error_codes import Failure, meaning_of
from nrtctl.clickhouse.queries import Storage
from nrtctl.config.counted import counted
from nrtctl.dead_letters.letters import batches, between, contents
from nrtctl.dead_letters.selection import Letter
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.message_format import DECODED
from nrtctl.schema import ddl
from nrtctl.schema.apply import stale_views
from nrtctl.schema.parsing import parse_query
from nrtctl.schema.reasons import COORDINATES
from nrtctl.store.envelope import INSERT_FAILED, Decode, row_encoder
from nrtctl.store.intents import FIRST
from nrtctl.store.questions import Source
from nrtctl.store.rows import LARGE

MOST_ROWS = 480 * 2**10
"""Bytes of rows that go with one statement."""
MOST_OF_ONE = 11 * 2**20
"""Bytes of a row that goes alone: a statement may have 16 MiB (`LARGE`)."""
MOST_HELD = 16 * 2**20
"""Bytes of letters that are read at once."""

MAX_QUERIES = 1000
"""Queries that are spent on finding the letters which the SQL throws on."""
ON_SOME = {Failure.DATA, Failure.SPLIT}
"""Failures that halving the letters gets around. A single one that fails stays a dead letter."""
_VARYING = re.compile(
    r"\bfunction_name: ((?:now|rand|generate|utc_?timestamp|current_timestamp|localtime|fuzz|"
    r"array(?:partial)?shuffle|arrayrandomsample|datetimetouuidv7|(?:initial_?)?query_?id)\w*)",
    re.IGNORECASE,
)
"""In a query's tree: a function that gives another result each time. (ClickHouse's own list,
`system.functions`, has in its place also those of a server's name or settings, and lacks some.)"""

SHOWN = 200
"""Characters of a fix that an error names."""

SETTINGS = {**LARGE, "readonly": 2, "short_circuit_function_evaluation": "enable"}


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a letter would be one again."""

    reason: str
    field: str
    error: str = ""


@dataclass(slots=True)
class Verdicts:
    """Of every letter that was asked about, one of the three."""

    passing: list[Letter]
    rejected: dict[Letter, Rejection]
    undecided: list[Letter]
    """On which the SQL throws among too many others, or that are too large to ask about."""


class LetterTooLarge(NrtctlError):
    """No statement can have the letter's message and what it was decoded to."""

    def __init__(self, partition: int, offset: int) -> None:
        super().__init__(
            f"the message of the dead letter {partition}/{offset} is too large to be tried",
            hint="`nrtctl replay load` loads it again from Kafka",
        )


class Judge:
    """Args:
    where: SQL that all letters fulfil which are asked about.
    fix: SQL that makes the new value of a letter; `value` where it is unchanged.
    decode: of messages that are no JSON: they are read, and go with the questions.
    """

    def __init__(
        self,
        storage: Storage,
        pipeline: Pipeline,
        database: str,
        *,
        cluster: str | None = None,
        where: str,
        fix: str,
        decode: Decode | None = None,
    ) -> None:
        self._decode = decode
        self._storage = storage
        self._pipeline = pipeline
        self._database = database
        self._cluster = cluster
        self._where = where
        self._fix = fix
        self._queries = 0

    def check(self) -> None:
        """Raises ConfigError: ClickHouse has another pipeline, or the fix is no SQL for a value."""
        stale = stale_views(self._storage, self._pipeline, self._database, self._cluster)
        if stale:
            raise ConfigError(
                f"{self._database}.{stale[0]} is not the view that the configuration describes",
                hint="`nrtctl up` applies the configuration",
            )
        forms = "formatQuery(concat('SELECT ', x)), formatQuery(concat('SELECT (', x, ') AS x'))"
        source, fix = self._source("0"), repr(self._fix)
        if len(fix) > SHOWN:
            fix = f"{fix[:SHOWN]}… ({counted(len(self._fix), 'character')})"
        try:
            self._storage.query(f"WITH {literal(self._fix)} AS x SELECT {forms}", settings=SETTINGS)
            kind = self._storage.query(f"DESCRIBE ({source})", settings=SETTINGS)[-1][1]
            tree = self._storage.query(f"EXPLAIN QUERY TREE {source}", settings=SETTINGS)
        except QueryError as error:
            raise ConfigError(
                f"--fix: {fix} is not an SQL expression for a value: {error.message}"
            ) from (error)
        if "String" not in str(kind) or "Array" in str(kind):
            raise ConfigError(
                f"--fix: {fix} returns {kind}, but a message's value is a String",
                hint="as in: replaceRegexpOne(value, '\"n/a\"', 'null')",
            )
        if any("arrayJoin" in str(line) for (line,) in tree):
            raise ConfigError(f"--fix: {fix} returns more than one value")

    def varying(self) -> list[str]:
        """The functions of the fix that give another result each time it is asked."""
        tree = self._storage.query(f"EXPLAIN QUERY TREE {self._source('0')}", settings=SETTINGS)
        return list(dict.fromkeys(name for (line,) in tree for name in _VARYING.findall(str(line))))

    def judge(self, letters: Sequence[Letter]) -> Verdicts:
        """Of letters in ascending order. Raises QueryError, ClickHouseGone."""
        found = Verdicts([], {}, [])
        self._queries = 0
        self._part(letters, found)
        return found

    def _part(self, letters: Sequence[Letter], found: Verdicts) -> None:
        try:
            rejected = self._ask(letters)
        except (QueryError, LetterTooLarge) as error:
            if isinstance(error, QueryError) and meaning_of(error).failure not in ON_SOME:
                raise
            if len(letters) == 1 and isinstance(error, QueryError):
                found.rejected[letters[0]] = Rejection(INSERT_FAILED, "", error.message)
            elif len(letters) == 1 or self._queries >= MAX_QUERIES:
                found.undecided += letters
            else:
                middle = len(letters) // 2
                self._part(letters[:middle], found)
                self._part(letters[middle:], found)
            return
        for each in letters:
            rejection = rejected.get((each.partition, each.offset))
            if rejection is None:
                found.passing.append(each)
            else:
                found.rejected[each] = rejection

    def _ask(self, letters: Sequence[Letter]) -> dict[tuple[int, int], Rejection]:
        found: dict[tuple[int, int], Rejection] = {}
        for source in self.sources(letters):
            found |= self._asked_of(source)
        return found

    def sources(self, letters: Sequence[Letter]) -> Iterator[str]:
        """SQL: letters as rows of the landing table, with their new values; all of them, or as many
        at a time as go with a statement."""
        if self._decode is None:
            yield f"({self._source(between(letters))})"
        else:
            yield from self._decoded(letters, self._decode)

    def _decoded(self, letters: Sequence[Letter], decode: Decode) -> Iterator[str]:
        """As `sources`, of letters that have to be read."""
        for among in batches(letters, len(letters), MOST_HELD):
            where = f"{self._where} AND {between(among)}"
            encode = row_encoder(self._pipeline.topic, FIRST, among[0].partition, decode)
            rows: dict[int, bytes] = {}
            size = 0
            for each in contents(
                self._storage, self._pipeline, self._database, where, value=self._fix
            ):
                row = encode(each.offset, each.timestamp, each.key, each.value, each.headers)
                if len(row) > MOST_OF_ONE:
                    raise LetterTooLarge(among[0].partition, each.offset)
                if rows and size + len(row) > MOST_ROWS:
                    yield Source(rows, decoded=True).of(rows)
                    rows, size = {}, 0
                rows[each.offset] = row
                size += len(row)
            if rows:
                yield Source(rows, decoded=True).of(rows)

    def _asked_of(self, source: str) -> dict[tuple[int, int], Rejection]:
        self._queries += 2
        parsed = f"({parse_query(self._pipeline, source)})"
        rows = self._storage.query(
            "SELECT _partition, _offset, reason, field FROM "
            f"({ddl.rejected_query(self._pipeline, parsed)})",
            settings=SETTINGS,
        )
        self._storage.query(
            f"SELECT sum(ignore(*)) FROM ({ddl.accepted_query(self._pipeline, parsed)})",
            settings=SETTINGS,
        )
        return {(int(p), int(o)): Rejection(str(reason), str(f)) for p, o, reason, f in rows}

    def _source(self, where: str) -> str:
        """SQL: letters as rows of the landing table; their JSON texts are empty."""
        value = f"({self._fix}) AS _value"
        if self._pipeline.is_decoded:
            value = f"'' AS {DECODED}, {value}"
        return (
            f"SELECT {COORDINATES}, headers AS _headers, key AS _key, {value} "
            f"FROM {self._database}.{self._pipeline.dead_letters} "
            f"WHERE {self._where} AND {where}"
        )
