"""`verify --repair` and `dlq replay` over the simulated server, at once, and cut off anywhere.

Every offset lies below what the group has committed, so no consumer touches it. The processes run
`Delivery` with the tokens that they really use; around it they do what `verify.repair` and
`dead_letters.replay` do. Where one of them yields, it may be killed; what it has sent lives on.

`choose(n)` picks one of n next events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents import delivery as steps
from nrtctl.store.intents.delivery import Delivery, Mode
from nrtctl.store.tokens import LetterTokens, RepairTokens, Tokens
from tests.unit.exactly_once.server import Choose, Violation
from tests.unit.exactly_once.several_rows import Entry, listed

TRIES = 5


@dataclass(slots=True)
class Request:
    """An insert or a deletion on its way through the server."""

    token: str = ""
    offsets: Sequence[int] = ()
    letter: bool = False
    delete: steps.Delete | None = None
    stage: int = 0
    outcome: steps.Outcome | None = None


@dataclass(slots=True)
class Row:
    """`row`, `rows`: as the columns `_row` and `_rows` of a message of several rows."""

    offset: int
    inserted_at: int
    letter: bool = False
    row: int = 0
    rows: int = 1

    @property
    def entry(self) -> Entry:
        return self.offset, self.row, self.rows


@dataclass
class Server:
    """The tables: rows and dead letters, each with the tokens that it has seen.

    Attributes:
        limit: messages that one insert may store.
        rows_of: offset to the rows of a message; 1 where it is not there.
        beside: messages that have a dead letter beside their rows.
    """

    bad: frozenset[int]
    poison: frozenset[int]
    limit: int
    tables: tuple[list[Row], list[Row]] = field(default_factory=lambda: ([], []))
    tokens: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    requests: list[Request] = field(default_factory=list)
    now: int = 0
    rows_of: dict[int, int] = field(default_factory=dict)
    beside: frozenset[int] = frozenset()

    def made(self, table: int, offset: int, at: int, *, letter: bool = False) -> Iterator[Row]:
        """What a message becomes in a table."""
        length = self.rows_of.get(offset, 1)
        if letter or offset in self.bad:
            if table == 1:
                yield Row(offset, at, letter)
        elif table == 0:
            for number in range(length):
                first = length + (offset in self.beside) if number == 0 else 0
                yield Row(offset, at, row=number, rows=first)
        elif offset in self.beside:
            yield Row(offset, at, row=length, rows=0)

    def thrown(self, offsets: Sequence[int]) -> tuple[steps.Thrown, ...]:
        """What a search finds: by the limit all that the SQL throws on, some of it, or nothing."""
        sees = (lambda offset: True, lambda offset: offset % 2 == 0, lambda offset: False)
        return tuple(
            steps.Thrown(each, "it throws")
            for each in offsets
            if each in self.poison and sees[self.limit % 3](each)
        )

    def advance(self, request: Request) -> None:
        """One step of a request: dead letters, rows, answer."""
        self.now += 1
        if request.delete is not None:
            self._delete(request.delete)
            self._end(request, steps.Acknowledged())
        elif request.letter:
            self._commit(1, request, request.offsets)
            self._end(request, steps.Acknowledged())
        elif request.stage == 0:
            self._commit(1, request, request.offsets)
            request.stage = 1
        elif any(o in self.poison for o in request.offsets):
            self._end(request, steps.Rejected("the SQL throws"))
        elif len([o for o in request.offsets if o not in self.bad]) > self.limit:
            self._end(request, steps.Rejected("too much at once", letter=False))
        elif request.stage == 1:
            self._commit(0, request, request.offsets)
            request.stage = 2
        else:
            self._end(request, steps.Acknowledged())

    def die(self, spend: bool) -> None:
        """The engine is killed: what is under way ends; perhaps a token stays without its rows."""
        for request in self.requests:
            if spend and request.stage == 1 and not request.letter and request.delete is None:
                self.tokens[0].add(request.token)
            request.outcome = steps.Unsure()
        self.requests.clear()

    def whole(self) -> set[int]:
        """The messages each of whose rows is there."""
        return set(listed((row.entry for table in self.tables for row in table), torn=0))

    def _commit(self, table: int, request: Request, offsets: Sequence[int]) -> None:
        made = [
            row
            for offset in offsets
            for row in self.made(table, offset, self.now, letter=request.letter)
        ]
        if made and request.token not in self.tokens[table]:
            self.tokens[table].add(request.token)
            self.tables[table].extend(made)

    def _delete(self, delete: steps.Delete) -> None:
        for table in self.tables:
            table[:] = [
                row
                for row in table
                if row.inserted_at > delete.until
                or not any(row.offset in span for span in delete.ranges)
            ]

    def _end(self, request: Request, outcome: steps.Outcome) -> None:
        request.outcome = outcome
        self.requests.remove(request)


@dataclass
class Guards:
    """What may be taken out, to see that the tests notice."""

    look: bool = True
    next_token: bool = True
    keep: bool = True
    letters_after: bool = True
    stable_token: bool = True


Process = Generator[Request | None, steps.Outcome, None]


@dataclass(slots=True)
class Forget(Request):
    """Delete the letters of these offsets that were inserted no later than the newest seen."""

    seen: Mapping[int, int] = field(default_factory=dict)


@dataclass
class MendingServer(Server):
    def advance(self, request: Request) -> None:
        if not isinstance(request, Forget):
            super().advance(request)
            return
        self.now += 1
        newest = max(request.seen.values())
        self.tables[1][:] = [
            row
            for row in self.tables[1]
            if row.offset not in request.seen or row.inserted_at > newest
        ]
        self._end(request, steps.Acknowledged())

    def rows(self, offset: int) -> int:
        """As `TopicRows.times_in_table`."""
        return listed((row.entry for row in self.tables[0]), torn=0).count(offset)

    def listed(self, offsets: Sequence[int], letters_after: int) -> steps.Listed:
        """As `TopicRows.among`."""
        wanted = frozenset(offsets)
        rows, letters = (
            [row for row in table if row.offset in wanted and row.inserted_at > after]
            for table, after in zip(self.tables, (-1, letters_after), strict=True)
        )
        there = listed((row.entry for row in (*rows, *letters)), torn=0)
        rejected = [row.offset for row in letters if not row.letter and row.rows]
        return steps.Listed(there, rejected, self.now)

    def undouble(self) -> None:
        """As `doubles.remove`: rows stay before a letter; of several copies the oldest that is
        whole by itself, else the oldest of each row."""
        for offset in self.whole():
            rows, letters = (
                sorted((row for row in t if row.offset == offset), key=lambda row: row.inserted_at)
                for t in self.tables
            )
            beside = {row.row for row in letters if not row.rows}
            length, copy = 0, None
            for at in (*dict.fromkeys(row.inserted_at for row in rows), None):
                mine = [row for row in rows if at in {None, row.inserted_at}]
                long = min((row.rows for row in mine if row.rows), default=0)
                there = len({row.row for row in mine if row.row < long})
                if long and (there == long or (there == long - 1 and long - 1 in beside)):
                    length, copy = long, at
                    break
            kept: dict[int, Row] = {}
            for row in rows:
                if length and row.row < length and copy in {None, row.inserted_at}:
                    kept.setdefault(row.row, row)
            for row in letters:
                if (not length and row.rows) or (not row.rows and row.row == length - 1):
                    kept.setdefault(row.row, row)
            for table in self.tables:
                table[:] = [
                    row for row in table if row.offset != offset or kept.get(row.row) is row
                ]


@dataclass
class Running:
    name: str
    process: Process
    waiting: Request | None = None


class World:
    """One run: rows are lost and doubled, rules change, processes come and are killed; at last one
    repair and one replay run alone."""

    def __init__(
        self, choose: Choose, guards: Guards | None = None, *, several: bool = False
    ) -> None:
        self.choose = choose
        self.guards = guards or Guards()
        kinds = [choose(6) for _ in range(3 + choose(8))]  # 0: a gap, 1: rejected, 2: it throws
        self.offsets = [n for n, kind in enumerate(kinds) if kind != 0] or [0]
        bad = frozenset(n for n in self.offsets if kinds[n] == 1)
        poison = frozenset(n for n in self.offsets if kinds[n] == 2)
        limit = choose(4) + 1 if choose(3) == 0 else len(kinds)
        self.server = MendingServer(bad, poison, limit)
        if several:
            self.server.rows_of = {offset: 1 + choose(3) for offset in self.offsets}
            self.server.beside = frozenset(offset for offset in self.offsets if choose(4) == 0)
        for offset in self.offsets:
            for table in (0, 1):
                made = self.server.made(table, offset, 0, letter=offset in poison)
                self.server.tables[table].extend(made)
        self.running: list[Running] = []
        self.visited: set[str] = set()
        self._names = 0
        self._ending = False
        self.had = set(self.offsets)

    def run(self, most_events: int = 80) -> None:
        """Raises Violation."""
        self._damage()
        for _ in range(most_events):
            self._event()
            self._nothing_was_lost()
        self._finish()

    # What the processes do.

    def repair(self, name: str) -> Process:
        found = self.server.whole()
        missing = [offset for offset in self.offsets if offset not in found]
        yield None
        for batch in self._batches(missing):
            yield from self._fill(batch, RepairTokens("t", 0), -1, name)
        self.server.undouble()
        self.visited.add("repaired")

    def replay(self, name: str) -> Process:
        seen: dict[int, int] = {}
        for row in sorted(self.server.tables[1], key=lambda row: (row.offset, row.inserted_at)):
            if row.rows:
                seen[row.offset] = row.inserted_at
        already = [offset for offset in seen if self.server.rows(offset)]
        left = self._passing([offset for offset in seen if offset not in already])
        yield None
        yield from self._forget(already, seen)
        stored: list[int] = []
        for _ in range(TRIES):
            for batch in self._batches(left):
                there = {row.offset for row in self.server.tables[1] if row.rows}
                if wanted := [offset for offset in batch if offset in there]:
                    newest = max(seen[offset] for offset in batch)
                    yield from self._fill(wanted, LetterTokens("t", 0, seen), newest, name)
            yield None
            stored += [offset for offset in left if self.server.rows(offset)]
            left = [offset for offset in left if not self.server.rows(offset)]
            if left:
                self.visited.add("rejected after all")
                self.server.undouble()
                left = self._passing(left)
        if left and self._ending:
            raise Violation(f"{left} would pass, and are still not rows")
        if not left:
            yield from self._forget(stored, seen)
            self.visited.add("replayed")

    def _passing(self, offsets: Sequence[int]) -> list[int]:
        """What the pipeline would make no dead letter of."""
        server = self.server
        return [each for each in offsets if each not in server.bad | server.poison | server.beside]

    def _batches(self, offsets: Sequence[int]) -> Iterator[list[int]]:
        size = 1 + self.choose(4)
        for first in range(0, len(offsets), size):
            yield list(offsets[first : first + size])

    def _forget(self, offsets: Sequence[int], seen: Mapping[int, int]) -> Process:
        while offsets:
            outcome = yield Forget(seen={offset: seen[offset] for offset in offsets})
            if isinstance(outcome, steps.Acknowledged):
                return

    def _fill(
        self, offsets: Sequence[int], tokens: Tokens, letters_after: int, name: str
    ) -> Process:
        """As `Writer.write`."""
        guards, span = self.guards, OffsetRange(offsets[0], offsets[-1] + 1)
        after = letters_after if guards.letters_after else -1
        mark = "" if guards.stable_token else f"/{name}"
        mode = Mode.FILL if guards.keep else Mode.RESUME
        delivery = Delivery.start(span, offsets, mode, lease=None)
        while not isinstance(action := delivery.next_action(0.0), steps.Done):
            self.visited.add(type(action).__name__)
            outcome: steps.Outcome
            match action:
                case steps.Insert(part, wanted, attempt, _):
                    again = attempt if guards.next_token else 0
                    outcome = yield Request(f"{tokens.insert(part, wanted, again)}{mark}", wanted)
                case steps.Find(wanted):
                    yield None
                    outcome = steps.Found(self.server.thrown(wanted))
                case steps.StoreDeadLetters(letters, attempt):
                    again = attempt if guards.next_token else 0
                    wanted = [each.offset for each in letters]
                    token = f"{tokens.letters(wanted, again)}{mark}"
                    outcome = yield Request(token, wanted, letter=True)
                case steps.List(part):
                    yield None
                    asked = [offset for offset in offsets if offset in part]
                    outcome = self.server.listed(asked, after)
                case steps.Count():
                    yield None
                    found = self.server.listed(offsets, after).stored
                    outcome = steps.Counted(len(found), len(set(found)), sum(found))
                case steps.Delete():
                    outcome = yield Request(delete=action)
                case steps.Stop(reason):
                    raise Violation(f"stopped: {reason}")
                case _:
                    raise Violation(f"{action}")
            self.visited.add(f"{delivery.phase.name} {type(outcome).__name__}")
            delivery = delivery.after(outcome)
            if not guards.look and delivery.phase is steps.Phase.LIST:
                return

    # What happens.

    def _event(self) -> None:
        kind = self.choose(20)
        if kind == 0 or not self.running:
            self.start(self.choose(2))
        elif kind == 1:
            self.running.remove(self.running[self.choose(len(self.running))])
            self.visited.add("killed")
        elif kind == 2:
            self.server.die(spend=bool(self.choose(2)))
        elif kind == 3:
            waiting = [each for each in self.running if each.waiting is not None]
            if waiting:
                each = waiting[self.choose(len(waiting))]
                each.waiting = None
                self._go_on(each, steps.Unsure())
        elif kind == 4 and not self.choose(3):
            self._damage()
        elif kind == 5 and not self.choose(3):
            self._change_rules()
        elif kind <= 10 and self.server.requests:
            self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
        else:
            self.step(self.running[self.choose(len(self.running))])

    def start(self, replays: int) -> Running:
        self._names += 1
        name = f"p{self._names}"
        running = Running(name, self.replay(name) if replays else self.repair(name))
        self.running.append(running)
        self._go_on(running, None)
        return running

    def step(self, running: Running) -> None:
        waiting = running.waiting
        if waiting is None:
            self._go_on(running, None)
        elif waiting.outcome is not None:
            running.waiting = None
            self._go_on(running, waiting.outcome)

    def _go_on(self, running: Running, outcome: steps.Outcome | None) -> None:
        try:
            running.waiting = running.process.send(outcome)  # type: ignore[arg-type]
        except StopIteration:
            self.running.remove(running)
            return
        if running.waiting is not None:
            self.server.requests.append(running.waiting)

    def _damage(self) -> None:
        """Nobody is at work, and a person deletes rows or doubles them."""
        self.running.clear()
        while self.server.requests:
            self.server.advance(self.server.requests[0])
        for table in self.server.tables:
            for row in list(table):
                match self.choose(6):
                    case 0:
                        table.remove(row)
                    case 1:
                        table.append(replace(row))
        self.had = set()
        self.visited.add("damaged")

    def _change_rules(self) -> None:
        """What was rejected passes, or the other way round."""
        offset = self.offsets[self.choose(len(self.offsets))]
        if offset in self.server.bad | self.server.poison:
            self.server.bad -= {offset}
            self.server.poison -= {offset}
        elif self.choose(2):
            self.server.bad |= {offset}
        else:
            self.server.poison |= {offset}
        self.visited.add("rules changed")

    def _nothing_was_lost(self) -> None:
        """What has a row or a letter is never without."""
        has = self.server.whole()
        if gone := self.had - has:
            raise Violation(f"{sorted(gone)} had a row, and have none")
        self.had = has

    def _finish(self) -> None:
        self.running.clear()
        while self.server.requests:
            self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
            self._nothing_was_lost()
        self._ending = True
        for replays in (0, 1):
            self.complete(self.start(replays))
        self._check()

    def complete(self, running: Running) -> None:
        """Let a process that runs alone come to its end."""
        for _ in range(5000):
            if running not in self.running:
                return
            if running.waiting is not None and running.waiting.outcome is None:
                self.server.advance(running.waiting)
            else:
                self.step(running)
            self._nothing_was_lost()
        raise Violation("it does not come to an end")

    def _check(self) -> None:
        stored = Counter(listed(row.entry for table in self.server.tables for row in table))
        for offset in self.offsets:
            if stored[offset] != 1:
                raise Violation(f"offset {offset} is stored {stored[offset]} times")
        if wrong := self._passing([row.offset for row in self.server.tables[1] if row.rows]):
            raise Violation(f"{wrong} would pass, and are dead letters")
