"""What ClickHouse does to the inserts of `world`, step by step.

An insert commits its dead letters, then its rows, a table partition at a time, and drops what comes
under a token that the table partition has seen. The engine may die between any two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents import delivery as steps
from tests.unit.exactly_once.several_rows import listed

MONTHS = 2
Choose = Callable[[int], int]
Message = tuple[int, int]
"""(partition, offset)"""


class Violation(AssertionError):
    """What must never happen."""


@dataclass(slots=True)
class Row:
    """`row`, `rows`: as the columns `_row` and `_rows` of a message of several rows."""

    message: Message
    inserted_at: int
    letter: bool = False
    row: int = 0
    rows: int = 1


@dataclass(slots=True)
class Request:
    """An insert or a deletion on its way through the server."""

    blocks: list[tuple[str, Sequence[Message]]] = field(default_factory=list)
    letter: bool = False
    delete: tuple[int, steps.Delete] | None = None
    stage: int = 0
    outcome: steps.Outcome | None = None


class Server:
    """Rows (0) and dead letters (1), each with the tokens that its table partitions have seen."""

    def __init__(
        self,
        bad: set[Message],
        poison: set[Message],
        month: dict[Message, int],
        limit: int,
        rows: Mapping[Message, Sequence[int]] | None = None,
        beside: AbstractSet[Message] = frozenset(),
    ) -> None:
        """Args:
        limit: messages that one insert may store.
        rows: the table partition of each row of a message; None: each message is one row.
        beside: messages that have a dead letter beside their rows.
        """
        self._limit = limit
        self._rows = rows or {message: (each,) for message, each in month.items()}
        self._beside = beside
        self.count_rows = True
        self._bad = bad
        self._poison = poison
        self._month = month
        self.tables: tuple[list[Row], list[Row]] = ([], [])
        self._tokens: set[tuple[int, int, str]] = set()
        self.requests: list[Request] = []
        self.now = 0

    def thrown(self, partition: int, offsets: Sequence[int]) -> tuple[steps.Thrown, ...]:
        """What a search finds: by the limit all that the SQL throws on, some of it, or nothing."""
        sees = (lambda offset: True, lambda offset: offset % 2 == 0, lambda offset: False)
        return tuple(
            steps.Thrown(each, "it throws")
            for each in offsets
            if (partition, each) in self._poison and sees[self._limit % 3](each)
        )

    def advance(self, request: Request) -> None:
        """One step: a table partition of a block, or the answer."""
        self.now += 1
        if request.delete is not None:
            self._delete(*request.delete, first_part=request.stage == 0)
            request.stage += 1
            if request.stage > 1:
                self._end(request, steps.Acknowledged())
            return
        block, step = divmod(request.stage, 2 * MONTHS)
        if block == len(request.blocks):
            self._end(request, steps.Acknowledged())
            return
        token, messages = request.blocks[block]
        table, month = (1, step) if step < MONTHS else (0, step - MONTHS)
        if table == 0 and not request.letter and self._poison & set(messages):
            self._end(request, steps.Rejected("the SQL throws"))
            return
        if table == 0 and not request.letter and len(set(messages) - self._bad) > self._limit:
            self._end(request, steps.Rejected("too much at once", letter=False))
            return
        mine = [
            row
            for message in messages
            for row in self._made(message, table, month, letter=request.letter)
        ]
        if mine and (table, month, token) not in self._tokens:
            self._tokens.add((table, month, token))
            self.tables[table].extend(mine)
        request.stage += 1

    def _made(self, message: Message, table: int, month: int, *, letter: bool) -> Iterator[Row]:
        """What a message becomes in a partition of a table."""
        months = self._rows[message]
        beside = message in self._beside
        if letter or message in self._bad:
            if table == 1 and self._month[message] == month:
                yield Row(message, self.now, letter)
        elif table == 1:
            if beside and self._month[message] == month:
                yield Row(message, self.now, row=len(months), rows=0)
        else:
            for number, each in enumerate(months):
                if each == month:
                    first = len(months) + beside if number == 0 else 0
                    yield Row(message, self.now, row=number, rows=first)

    def forget_beside(self, messages: Sequence[Message]) -> None:
        """As `TopicRows.forget_beside`."""
        wanted = set(messages)
        self.tables[1][:] = [row for row in self.tables[1] if row.rows or row.message not in wanted]

    def die(self, spend: bool) -> None:
        """The engine is killed: what is under way ends; perhaps a token stays without its rows."""
        for request in self.requests:
            if request.delete is not None and request.stage:  # it goes on with it afterwards
                self._delete(*request.delete, first_part=False)
            block, step = divmod(request.stage, 2 * MONTHS)
            if spend and block < len(request.blocks):
                table, month = (1, step) if step < MONTHS else (0, step - MONTHS)
                self._tokens.add((table, month, request.blocks[block][0]))
            request.outcome = steps.Unsure()
        self.requests.clear()

    def highest(self) -> dict[int, int]:
        """The highest offset of each partition that has a row or a dead letter."""
        found: dict[int, int] = {}
        for row in [*self.tables[0], *self.tables[1]]:
            found[row.message[0]] = max(row.message[1], found.get(row.message[0], -1))
        return found

    def change_by_hand(self, choose: Choose) -> None:
        """Somebody deletes rows, or inserts them again; perhaps all of them."""
        if choose(4) == 0:
            for table in self.tables:
                table.extend([replace(row) for row in table])
            return
        for table in self.tables:
            for row in list(table):
                match choose(6):
                    case 0:
                        table.remove(row)
                    case 1:
                        table.append(replace(row))

    def stored(self, partition: int, span: OffsetRange) -> list[int]:
        """As `TopicRows.listed`."""
        if not self.count_rows:
            return sorted(
                {row.message[1] for t in self.tables for row in t if _inside(row, partition, span)}
            )
        return listed(
            (row.message[1], row.row, row.rows)
            for table in self.tables
            for row in table
            if _inside(row, partition, span)
        )

    def rejected(self, partition: int, span: OffsetRange) -> list[int]:
        return [
            row.message[1]
            for row in self.tables[1]
            if _inside(row, partition, span) and not row.letter and row.rows
        ]

    def finish_deletions(self) -> None:
        """As `TopicRows.wait_for_deletions`: of those that have come to the server."""
        for request in [each for each in self.requests if each.delete is not None and each.stage]:
            self.advance(request)

    def _delete(self, partition: int, delete: steps.Delete, *, first_part: bool) -> None:
        """A deletion is carried out part by part; of doubled rows, one lies in the first part."""
        for table in self.tables:
            seen: set[tuple[Message, int, bool]] = set()
            left = []
            for row in table:
                meant = row.inserted_at <= delete.until and any(
                    _inside(row, partition, span) for span in delete.ranges
                )
                again = (row.message, row.row, row.letter) in seen
                seen.add((row.message, row.row, row.letter))
                if not meant or (first_part and again):
                    left.append(row)
            table[:] = left

    def _end(self, request: Request, outcome: steps.Outcome) -> None:
        request.outcome = outcome
        self.requests.remove(request)


def _inside(row: Row, partition: int, span: OffsetRange) -> bool:
    return row.message[0] == partition and row.message[1] in span
