"""Send dead letters through the present pipeline again. Called by `nrtctl dlq replay`.

For each page of letters: those whose offset has a row already (a replay that was killed) only go;
the others are judged, those that pass are stored by the writer that stores everything, looked for
in the table, and only then their dead letters are deleted. So an offset is never without a row, and
what a kill leaves twice is ended by the next replay, or by `verify --repair`. Letters at or above
the group's committed offset are the consumer's, and left alone.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event

from nrtctl.clickhouse.cluster import is_in
from nrtctl.clickhouse.queries import Storage
from nrtctl.config.counted import counted
from nrtctl.dead_letters.judging import Judge, Rejection
from nrtctl.dead_letters.letters import (
    NOTED,
    among,
    batches,
    between,
    contents,
    log_letters,
    pages,
)
from nrtctl.dead_letters.selection import MAX_OFFSET, Letter, Selection
from nrtctl.errors import NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.store import doubles
from nrtctl.store.batch import Batch
from nrtctl.store.deletion import count, delete, sleeping
from nrtctl.store.envelope import Decode, row_encoder, varint
from nrtctl.store.faultpoints import reach
from nrtctl.store.intents import FIRST
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.rows import LARGE
from nrtctl.store.several_rows import rows_in
from nrtctl.store.target import Target, inserted_until, letters_of, rows_of
from nrtctl.store.tokens import LetterTokens, topic_of
from nrtctl.store.writer import Writer

TRIES = 5
"""How often letters are sent which the pipeline rejects, and then would not."""

AGAIN = "they remain dead letters; run the same command again"

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
        beside: were made of single rows of messages whose other rows are stored, and stay.
        rejected: stay, by the reason that they have now; `undecided`: the SQL throws on too many
            to find out which.
        reasons: reason as it was: [stored, rejected, undecided].
    """

    letters: int = 0
    later: int = 0
    already: int = 0
    stored: int = 0
    undecided: int = 0
    beside: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, list[int]] = field(default_factory=dict)

    def count(self, letter: Letter, column: int) -> None:
        self.reasons.setdefault(letter.reason, [0, 0, 0])[column] += 1


class Replay:
    """Args:
    selection: of one incarnation of the topic.
    writer: of batches that no group declares (`store.filling`), into the same tables.
    committed: the group's offset by partition; only letters below it are touched. None: the topic
        is not there any more, and no consumer will come to them.
    fix: SQL that makes the value that is sent; `note` is what the log says of it.
    max_rows, max_bytes: of one insert.
    sleep: waits some seconds while ClickHouse applies a mutation.
    clock: ms since the epoch, for the log.
    decode: of messages that are no JSON.
    """

    def __init__(
        self,
        storage: Storage,
        pipeline: Pipeline,
        selection: Selection,
        writer: Writer,
        *,
        database: str,
        cluster: str | None = None,
        committed: Mapping[int, int] | None,
        fix: str = "value",
        note: str = "",
        max_rows: int,
        max_bytes: int,
        sleep: Callable[[float], None],
        clock: Callable[[], int],
        decode: Decode | None = None,
    ) -> None:
        self._storage = storage
        self._writer = writer
        self._pipeline = pipeline
        self._database = database
        self._committed = committed
        self._fix = fix
        self._note = note
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._sleep = sleep
        self._clock = clock
        self._decode = decode
        self._incarnation = selection.incarnation or FIRST
        self._cluster = cluster
        target = Target.of(pipeline, database, self._incarnation, cluster)
        self._rows = rows_in(storage, target)
        self._where = selection.where(pipeline)
        if pipeline.rows is not None:
            self._where += " AND _rows > 0"
        self._selected = selection.where(pipeline)
        self._judge = Judge(
            storage,
            pipeline,
            database,
            cluster=cluster,
            where=self._where,
            fix=fix,
            decode=decode,
        )

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
        self._rows.settle()
        if self._pipeline.rows is not None:
            beside = f"{self._selected} AND _rows = 0"
            report.beside += count(self._storage, self._rows.dead_letters, beside)
        for page in pages(self._storage, self._pipeline, self._database, self._where):
            report.letters += len(page)
            mine = [each for each in page if each.offset < self._below(each.partition)]
            report.later += len(page) - len(mine)
            if mine:
                self._page(mine, report, execute)
            progress(report.letters)
        return report

    def _below(self, partition: int) -> int:
        return MAX_OFFSET if self._committed is None else self._committed.get(partition, 0)

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
        """As `TopicRows.times_in_table`, of these letters and of others between them."""
        self._rows.settle()
        return self._rows.times_in_table(
            f"{rows_of(self._pipeline, self._incarnation)} AND {between(letters)} "
            f"AND (_partition, _offset) {is_in(self._cluster)} (SELECT _partition, _offset "
            f"FROM {self._rows.dead_letters} WHERE {self._where} AND {between(letters)})"
        )

    def _send(
        self, letters: list[Letter], *, whole: bool
    ) -> tuple[list[Letter], dict[Letter, Rejection]]:
        """Store them; those that are rows then, and those that were rejected after all. What was
        rejected, and would pass again, is sent again.

        Args:
            whole: no other letter lies between these.
        """
        places = {each: at for at, each in enumerate(letters)}
        left, stored = letters, list[Letter]()
        rejected: dict[Letter, Rejection] = {}
        for _ in range(TRIES):
            if not left:
                break
            for batch in batches(left, self._max_rows, self._max_bytes):
                dense = whole and places[batch[-1]] - places[batch[0]] == len(batch) - 1
                self._write(batch, dense)
                reach("letter-inserted")
            counts = self._stored(left)
            if any(times > 1 for times in counts.values()):
                self._undouble(left)
            stored += [each for each in left if (each.partition, each.offset) in counts]
            left = [each for each in left if (each.partition, each.offset) not in counts]
            if left:
                self._undouble(left)
                again = self._judge.judge(left)
                rejected.update(again.rejected)
                left = again.passing
        if left:
            raise NrtctlError(
                f"{counted(len(left), 'dead letter')}, the first of partition {left[0].partition} "
                f"at offset {left[0].offset}, rejected {TRIES} times, and would pass now",
                hint="perhaps a rule does not always decide the same way; they remain dead "
                "letters, and `nrtctl doctor` checks the views",
            )
        stored.sort(key=lambda each: (each.partition, each.offset))
        return stored, rejected

    def _undouble(self, letters: Sequence[Letter]) -> None:
        """What another machine's replay, or a second verdict, has doubled."""
        for partition in sorted({each.partition for each in letters}):
            doubles.remove(
                self._rows,
                partition,
                below=self._below(partition),
                sleep=self._sleep,
            )

    def _write(self, letters: Sequence[Letter], dense: bool) -> None:
        """Store what is left of these letters of one partition. Args: dense: no other letter lies
        between."""
        where = f"{self._where} AND {between(letters) if dense else among(letters)}"
        wanted = {each.offset: each.inserted for each in letters}
        found = [
            each
            for each in contents(
                self._storage, self._pipeline, self._database, where, value=self._fix
            )
            if each.offset in wanted
        ]
        if not found:
            return
        partition, topic = letters[0].partition, self._pipeline.topic
        encode = row_encoder(topic, self._incarnation, partition, self._decode)
        batch = Batch.of_gaps(
            partition,
            [each.offset for each in found],
            [encode(e.offset, e.timestamp, e.key, e.value, e.headers) for e in found],
            LetterTokens(topic_of(topic, self._incarnation), partition, wanted),
            letters_after=max(wanted.values()),
        )
        self._writer.write(batch, Mode.FILL, None, Event())

    def _forget(self, letters: Sequence[Letter]) -> None:
        """Note that they are stored, then delete the letters that were seen; no newer ones."""
        for chunk in _chunks(letters):
            newest = max(each.inserted for each in chunk)
            where = (
                f"{letters_of(self._pipeline, self._incarnation)} AND {among(chunk)} "
                f"AND {inserted_until(newest)}"
            )
            log_letters(
                self._storage, self._pipeline, self._database, where, "stored", fix=self._note
            )
            reach("letter-noted")
            table = self._rows.kept(self._rows.dead_letters)
            delete(
                self._storage,
                table,
                where,
                sleeping(self._sleep, table),
                cluster=self._cluster,
                settings=LARGE,
            )
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
        self._storage.insert(table, LOG_COLUMNS, body, NOTED)


def _without(letters: Sequence[Letter], others: Sequence[Letter]) -> list[Letter]:
    left_out = set(others)
    return [each for each in letters if each not in left_out]


def _chunks(letters: Sequence[Letter]) -> Iterator[Sequence[Letter]]:
    for start in range(0, len(letters), doubles.MOST):
        yield letters[start : start + doubles.MOST]


def _text(text: str) -> bytes:
    data = text.encode()
    return varint(len(data)) + data
