"""Send dead letters through the present pipeline again. Called by `nrtctl dlq replay`.

For each page of letters: those whose offset has a row already (a replay that was killed) only go;
the others are judged, those that pass are inserted into the landing table, looked for in the table,
and only then their dead letters are deleted. So an offset is never without a row, and what a kill
leaves twice is ended by the next replay, or by `verify --repair`. Letters at or above the group's
committed offset are the consumer's, and left alone.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby

from nrtctl import insert_errors
from nrtctl.clickhouse import QueryError
from nrtctl.dead_letters.judging import Judge, Rejection
from nrtctl.dead_letters.letters import (
    LARGE,
    Storage,
    among,
    between,
    contents,
    log_sql,
    pages,
)
from nrtctl.dead_letters.selection import MOST, Letter, Selection, of_pipeline
from nrtctl.envelope import COLUMNS, row_encoder, varint
from nrtctl.errors import NrtctlError
from nrtctl.faultpoints import reach
from nrtctl.insert_errors import Failure
from nrtctl.intents import FIRST, token_topic
from nrtctl.pipeline import Pipeline
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.verify import doubles
from nrtctl.verify.rows import Rows

TRIES = 5
"""Inserts of one batch, each under a token of its own, before it is given up."""
LOG_COLUMNS = (
    "_target", "_topic", "_incarnation", "_partition", "_offset", "at", "outcome", "reason",
    "field", "error", "fix",
)  # fmt: skip


@dataclass(slots=True)
class Report:
    """Counts of letters.

    Attributes:
        letters: that fit the selection; `later`: of them those at or above the committed offset.
        stored: are rows now, or would be; `already`: were rows before, from a replay that was
            interrupted.
        rejected: stay, by the reason that they have now; `undecided`: the SQL throws on too many
            to find out which.
        reasons: reason as it was: [stored, rejected, undecided].
    """

    letters: int = 0
    later: int = 0
    already: int = 0
    stored: int = 0
    undecided: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, list[int]] = field(default_factory=dict)

    def count(self, letter: Letter, column: int) -> None:
        self.reasons.setdefault(letter.reason, [0, 0, 0])[column] += 1


class Replay:
    """Args:
    selection: of one incarnation of the topic.
    committed: the group's offset by partition; only letters below it are touched. None: the topic
        is not there any more, and no consumer will come to them.
    fix: SQL that makes the value that is sent; `note` is what the log says of it.
    max_rows, max_bytes: of one insert.
    sleep: waits some seconds while ClickHouse applies a mutation.
    clock: ms since the epoch, for the log.
    """

    def __init__(
        self,
        storage: Storage,
        pipeline: Pipeline,
        selection: Selection,
        *,
        database: str,
        committed: Mapping[int, int] | None,
        fix: str = "value",
        note: str = "",
        max_rows: int,
        max_bytes: int,
        sleep: Callable[[float], None],
        clock: Callable[[], int],
    ) -> None:
        self._storage = storage
        self._pipeline = pipeline
        self._database = database
        self._committed = committed
        self._fix = fix
        self._note = note
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._sleep = sleep
        self._clock = clock
        self._incarnation = selection.incarnation or FIRST
        self._rows = Rows(storage, pipeline, database, self._incarnation)
        self._where = selection.where(pipeline)
        self._judge = Judge(storage, pipeline, database, where=self._where, fix=fix)

    def run(
        self,
        report: Report,
        *,
        execute: bool,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Report:
        """Judge every letter of the selection; store those that pass if `execute`.

        Args:
            report: is added to, and returned.
            progress: told how many letters are done.

        Raises:
            ConfigError: ClickHouse has another pipeline, or the fix is wrong; nothing was done.
            NrtctlError: ClickHouse does not store a letter; what was done stays done.
        """
        self._judge.check()
        for page in pages(self._storage, self._pipeline, self._database, self._where):
            report.letters += len(page)
            mine = [each for each in page if each.offset < self._below(each.partition)]
            report.later += len(page) - len(mine)
            if mine:
                self._page(mine, report, execute)
            progress(report.letters)
        return report

    def _below(self, partition: int) -> int:
        return MOST if self._committed is None else self._committed.get(partition, 0)

    def _page(self, letters: list[Letter], report: Report, execute: bool) -> None:
        there = self._stored(letters)
        already = [each for each in letters if (each.partition, each.offset) in there]
        verdicts = self._judge.judge(left) if (left := _without(letters, already)) else None
        passing = verdicts.passing if verdicts else []
        rejected = dict(verdicts.rejected) if verdicts else {}
        if execute:
            self._forget(already)
            passing, changed = self._send(passing, whole=len(passing) == len(letters))
            rejected.update(changed)
            self._forget(passing)
            self._note_rejections(rejected)
        report.already += len(already)
        report.stored += len(passing)
        for each in passing:
            report.count(each, 0)
        for letter, rejection in rejected.items():
            report.rejected[rejection.reason] += 1
            report.count(letter, 1)
        for letter in verdicts.undecided if verdicts else ():
            report.undecided += 1
            report.count(letter, 2)

    def _stored(self, letters: Sequence[Letter]) -> dict[tuple[int, int], int]:
        """(partition, offset) to the number of rows in the table, where there are any, of these
        letters and of others between them."""
        rows = self._storage.query(
            f"SELECT _partition, _offset, count() FROM {self._rows.table} "
            f"WHERE _topic = '{self._pipeline.topic}' AND _incarnation = {self._incarnation} "
            f"AND {between(letters)} "
            "AND (_partition, _offset) IN (SELECT _partition, _offset "
            f"FROM {self._rows.dead_letters} WHERE {self._where} AND {between(letters)}) "
            "GROUP BY _partition, _offset",
            settings=LARGE,
        )
        return {(int(partition), int(offset)): int(count) for partition, offset, count in rows}

    def _send(
        self, letters: list[Letter], *, whole: bool
    ) -> tuple[list[Letter], dict[Letter, Rejection]]:
        """Insert until every letter has one row; those that do, and those rejected after all.

        Args:
            whole: no other letter lies between these.
        """
        left: list[Letter] = letters
        stored: list[Letter] = []
        for attempt in range(TRIES):
            if not left:
                return stored, {}
            places = {each: at for at, each in enumerate(letters)}
            for batch in self._batches(left):
                dense = whole and places[batch[-1]] - places[batch[0]] == len(batch) - 1
                self._insert_parts(batch, attempt, dense)
                reach("letter-inserted")
            counts = self._stored(left)
            if any(count > 1 for count in counts.values()):
                self._undouble(left)
            stored += [each for each in left if (each.partition, each.offset) in counts]
            stored.sort(key=lambda each: (each.partition, each.offset))
            left = [each for each in left if (each.partition, each.offset) not in counts]
        if not left:
            return stored, {}
        self._undouble(left)
        again = self._judge.judge(left)
        if again.passing:
            raise NrtctlError(
                f"{len(again.passing)} dead letters, the first of partition "
                f"{again.passing[0].partition} at offset {again.passing[0].offset}, were inserted "
                f"{TRIES} times and are still not rows",
                hint="a rule that is not always of one mind? They remain dead letters; "
                "`nrtctl doctor` checks the views",
            )
        return stored, again.rejected

    def _undouble(self, letters: Sequence[Letter]) -> None:
        """What another machine's replay, or a second verdict, has doubled."""
        for partition in sorted({each.partition for each in letters}):
            doubles.remove(
                self._storage,
                self._rows,
                partition,
                below=self._below(partition),
                sleep=self._sleep,
            )

    def _batches(self, letters: Sequence[Letter]) -> Iterator[list[Letter]]:
        for _, group in groupby(letters, key=lambda each: each.partition):
            batch: list[Letter] = []
            size = 0
            for each in group:
                if batch and (len(batch) >= self._max_rows or size + each.size > self._max_bytes):
                    yield batch
                    batch, size = [], 0
                batch.append(each)
                size += each.size
            yield batch

    def _insert_parts(self, batch: Sequence[Letter], attempt: int, dense: bool) -> None:
        """Insert, in halves where it is too much at once."""
        try:
            self._insert(batch, attempt, dense)
        except QueryError as error:
            found = insert_errors.explain(error.code, error.message)
            if found.failure is not Failure.SPLIT or len(batch) == 1:
                raise NrtctlError(
                    f"{len(batch)} dead letters, the first of partition {batch[0].partition} at "
                    f"offset {batch[0].offset}, cannot be stored: {error.message}; {found.advice}",
                    hint="they remain dead letters; run the same command again",
                ) from error
            middle = len(batch) // 2
            self._insert_parts(batch[:middle], attempt, dense)
            self._insert_parts(batch[middle:], attempt, dense)

    def _insert(self, batch: Sequence[Letter], attempt: int, dense: bool) -> None:
        where = f"{self._where} AND {between(batch) if dense else among(batch)}"
        found = contents(self._storage, self._pipeline, self._database, where, value=self._fix)
        if not found:
            return
        encode = row_encoder(self._pipeline.topic, self._incarnation, batch[0].partition)
        wanted = {each.offset for each in batch}
        body = b"".join(
            encode(each.offset, each.timestamp, each.key, each.value, each.headers)
            for each in found
            if each.offset in wanted
        )
        token = _token(token_topic(self._pipeline.topic, self._incarnation), batch, attempt)
        self._storage.insert(
            f"{self._database}.{self._pipeline.landing}",
            COLUMNS,
            body,
            {**INSERT_SETTINGS, "insert_deduplication_token": token},
        )

    def _forget(self, letters: Sequence[Letter]) -> None:
        """Note that they are stored, then delete the letters that were seen; no newer ones."""
        for chunk in _chunks(letters):
            newest = max(each.inserted for each in chunk)
            where = (
                f"{of_pipeline(self._pipeline, self._incarnation)} AND {among(chunk)} "
                f"AND toUnixTimestamp64Milli(_inserted_at) <= {newest}"
            )
            note = log_sql(self._pipeline, self._database, where, "stored", fix=self._note)
            self._storage.command(note, LARGE)
            reach("letter-noted")
            self._storage.command(
                f"ALTER TABLE {self._rows.dead_letters} DELETE WHERE {where}", LARGE
            )
            doubles.wait_for_mutations(self._storage, self._rows.dead_letters, self._sleep)
            reach("letter-forgotten")

    def _note_rejections(self, rejected: Mapping[Letter, Rejection]) -> None:
        if not rejected:
            return
        now = struct.pack("<q", self._clock())
        head = _text(self._pipeline.table) + _text(self._pipeline.topic)
        body = b"".join(
            head
            + struct.pack("<Iiq", self._incarnation, letter.partition, letter.offset)
            + now
            + b"".join(map(_text, ("rejected", why.reason, why.field, why.error, self._note)))
            for letter, why in rejected.items()
        )
        table = f"{self._database}.{self._pipeline.letter_log}"
        self._storage.insert(table, LOG_COLUMNS, body, {})


def _without(letters: Sequence[Letter], others: Sequence[Letter]) -> list[Letter]:
    left_out = set(others)
    return [each for each in letters if each not in left_out]


def _chunks(letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
    for start in range(0, len(letters), doubles.MOST):
        yield letters[start : start + doubles.MOST]


def _text(text: str) -> bytes:
    data = text.encode()
    return varint(len(data)) + data


def _token(topic: str, batch: Sequence[Letter], attempt: int) -> str:
    """The same letters have the same token, whoever sends them; a letter that came anew has
    another."""
    named = ",".join(f"{each.offset}@{each.inserted}" for each in batch)
    digest = blake2b(named.encode(), digest_size=8).hexdigest()
    first, last = batch[0], batch[-1]
    span = f"{first.offset}-{last.offset + 1}"
    again = f"/r{attempt}" if attempt else ""
    return f"{topic}/{first.partition}/dlq/{span}/{digest}{again}"
