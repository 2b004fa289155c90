"""A topic, a group and a table in memory, and members that may be cut off between any two steps.

The members run `intents.delivery` itself. What ClickHouse does to an insert is played through in
single steps: its dead letters are committed, then its rows; either is dropped where its token is
known; the engine may die in between, or after it has noted a token and before the rows; an answer
may never arrive; an insert or a deletion whose sender is long gone may still be carried out.

`choose(n)` picks one of n next events: hypothesis, or a seeded random number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nrtctl import intents
from nrtctl.intents import OffsetRange
from nrtctl.intents import delivery as steps
from nrtctl.intents.delivery import Delivery, Mode

TABLE = "events"
Choose = Callable[[int], int]


class Violation(AssertionError):
    """What must never happen."""


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
    offset: int
    inserted_at: int
    letter: bool = False


@dataclass
class Server:
    """The tables: rows and dead letters, each with the tokens that it has seen.

    `limit`: rows that one insert may store.
    """

    bad: frozenset[int]
    poison: frozenset[int]
    limit: int
    tables: tuple[list[Row], list[Row]] = field(default_factory=lambda: ([], []))
    tokens: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    requests: list[Request] = field(default_factory=list)
    now: int = 0

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
            self._commit(1, request, [o for o in request.offsets if o in self.bad])
            request.stage = 1
        elif any(o in self.poison for o in request.offsets):
            self._end(request, steps.Rejected("the SQL throws"))
        elif len([o for o in request.offsets if o not in self.bad]) > self.limit:
            self._end(request, steps.Rejected("too much at once", letter=False))
        elif request.stage == 1:
            self._commit(0, request, [o for o in request.offsets if o not in self.bad])
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

    def stored(self, span: OffsetRange) -> list[int]:
        return [row.offset for table in self.tables for row in table if row.offset in span]

    def rejected(self, span: OffsetRange) -> list[int]:
        return [row.offset for row in self.tables[1] if row.offset in span and not row.letter]

    def _commit(self, table: int, request: Request, offsets: Sequence[int]) -> None:
        if offsets and request.token not in self.tokens[table]:
            self.tokens[table].add(request.token)
            self.tables[table].extend(Row(offset, self.now, request.letter) for offset in offsets)

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
class Topic:
    """One partition and the group's offset. Only the owner's commits are taken."""

    offsets: list[int]
    start: int = 0
    committed: int | None = None
    metadata: str = ""
    generation: int = 0

    @property
    def end(self) -> int:
        return self.offsets[-1] + 1


@dataclass
class Guards:
    """What may be taken out, to see that the tests notice."""

    fence: bool = True
    same_token_first: bool = True
    probe: bool = True
    next_token: bool = True
    stable_token: bool = True
    stable_part_token: bool = True
    delete_until: bool = True
    look: bool = True
    declare: bool = True
    epoch: bool = True


@dataclass
class Member:
    """Runs one delivery after another. `generation` is what it believes to be in."""

    world: World
    name: str
    generation: int
    delivery: Delivery | None = None
    waiting: Request | None = None
    position: int | None = None
    top: int = -1
    pending: OffsetRange | None = None
    look: bool = False
    epoch: str = ""
    mode: Mode = Mode.NEW
    ended: bool = False
    refused: bool = False

    def step(self) -> None:
        if self.waiting is not None:
            if self.waiting.outcome is not None:
                outcome, self.waiting = self.waiting.outcome, None
                self._after(outcome)
            return
        if self.delivery is None:
            self._begin()
            return
        self._act(self.delivery.next_action(0.0))

    def give_up_waiting(self) -> None:
        """No answer came in time; the request stays where it is."""
        self.waiting = None
        self._after(steps.Unsure())

    def _begin(self) -> None:
        world = self.world
        if self.position is None:
            topic = world.topic
            found = intents.resume(
                TABLE, committed=topic.committed, metadata=topic.metadata,
                log_start=topic.start, log_end=topic.end, fresh=self.world.fresh(),
            )  # fmt: skip
            self.position, self.pending, self.look = found.offset, found.pending, found.look
            self.epoch = found.epoch if world.guards.epoch else "e"
            everything = OffsetRange(0, topic.end)
            self.top = max(world.server.stored(everything), default=-1)
            return
        if self.pending is not None:
            span, mode = self.pending, Mode.LOOK if self.look else Mode.RESUME
        else:
            left = [o for o in world.topic.offsets if o >= max(self.position, world.topic.start)]
            if not left:
                self.ended = True
                return
            taken = left[: 1 + world.choose(world.most_batch)]
            span = OffsetRange(self.position, taken[-1] + 1)
            mode = Mode.LOOK if span.start <= self.top else Mode.NEW
        if mode is Mode.LOOK and not world.guards.look:
            mode = Mode.NEW
        offsets = [o for o in world.topic.offsets if o in span and o >= world.topic.start]
        self.mode = mode
        self.delivery = Delivery.start(span, offsets, mode, lease=1e9)
        world.visited.add(f"mode {mode.name}")
        if mode is Mode.RESUME and not world.guards.same_token_first and offsets:
            self.delivery = steps.replace(self.delivery, phase=steps.Phase.COUNT)

    def _act(self, action: steps.Action) -> None:
        world, server = self.world, self.world.server
        world.visited.add(type(action).__name__)
        match action:
            case steps.Declare(span):
                self._declare(span)
            case steps.Insert(span, offsets, more):
                self._send(Request(self._token(more, span), offsets))
            case steps.StoreDeadLetter(offset, _, more):
                self._send(Request(self._token(more, OffsetRange(offset, offset + 1)), [offset],
                                   letter=True))  # fmt: skip
            case steps.Delete(ranges, until):
                until = until if world.guards.delete_until else 10**9
                self._send(Request(delete=steps.Delete(ranges, until)))
            case steps.Count(span):
                found = server.stored(span)
                self._after(steps.Counted(len(found), len(set(found)), sum(found)))
            case steps.List(span):
                stored, rejected = server.stored(span), server.rejected(span)
                self._after(steps.Listed(stored, rejected, server.now))
                server.now += 1
            case steps.Done():
                assert self.delivery is not None
                self.position = self.delivery.span.end
                self.pending = self.delivery = None
            case steps.Quit():
                self.ended = True
            case steps.Stop(reason):
                raise Violation(f"stopped: {reason}")

    def _declare(self, span: OffsetRange) -> None:
        topic, guards = self.world.topic, self.world.guards
        if self.generation != topic.generation and guards.fence:
            self.refused = True
            self._after(steps.Refused())
            return
        if guards.declare:
            intent = intents.Intent(span, self.epoch, self.mode is Mode.LOOK)
        else:
            intent = intents.Intent(None, self.epoch)
        topic.committed, topic.metadata = span.start, intents.encode_metadata(TABLE, intent)
        self._after(steps.Declared(0.0))

    def _token(self, more: str, part: OffsetRange) -> str:
        assert self.delivery is not None
        guards, whole = self.world.guards, self.delivery.span
        if not guards.next_token:
            more = more.split("/r")[0]
        if not guards.stable_token or (not guards.stable_part_token and part != whole):
            more += f"/{self.name}"
        return intents.token("t", 0, self.epoch, whole, more)

    def _send(self, request: Request) -> None:
        if self.refused:
            raise Violation("something was sent after a refused intent")
        self.world.server.requests.append(request)
        self.waiting = request

    def _after(self, outcome: steps.Outcome) -> None:
        assert self.delivery is not None
        self.world.visited.add(f"{self.delivery.phase.name} {type(outcome).__name__}")
        self.delivery = self.delivery.after(outcome)
        if not self.world.guards.probe and self.delivery.phase is steps.Phase.COUNT:
            self.delivery = steps.replace(self.delivery, phase=steps.Phase.DONE)


class World:
    """One run: members come, stall, are cut off and come back, until a last one finishes alone."""

    def __init__(
        self, choose: Choose, guards: Guards | None = None, *, late_deletions: bool = True
    ) -> None:
        """`late_deletions`: a deletion may outlive the lease it was sent under."""
        self.choose = choose
        self.late_deletions = late_deletions
        self.guards = guards or Guards()
        length = 3 + choose(8)
        kinds = [choose(8) for _ in range(length)]  # 0: a gap, 1: rejected, 2: the SQL throws
        offsets = [n for n, kind in enumerate(kinds) if kind != 0] or [0]
        self.topic = Topic(offsets)
        self.server = Server(
            frozenset(n for n in offsets if kinds[n] == 1),
            frozenset(n for n in offsets if kinds[n] == 2),
            limit=choose(length) + 1 if choose(3) == 0 else length,
        )
        self.most_batch = 1 + choose(4)
        self.stragglers = bool(choose(2))  # what the dead have sent lands after the last member
        self.members: list[Member] = []
        self.visited: set[str] = set()
        self._names = 0
        self._epochs = 0

    def fresh(self) -> str:
        self._epochs += 1
        return f"e{self._epochs}"

    def run(self, most_events: int = 60) -> None:
        """Raises Violation."""
        for _ in range(most_events):
            self._event()
        self._finish()

    def _event(self) -> None:
        kind = self.choose(16)
        living = [m for m in self.members if not m.ended]
        if kind == 0 or not living:
            self._join()
        elif kind == 1:
            self.members.remove(living[self.choose(len(living))])
        elif kind == 2:
            self.server.die(spend=bool(self.choose(2)))
        elif kind == 3:
            waiting = [m for m in living if m.waiting is not None]
            if waiting:
                waiting[self.choose(len(waiting))].give_up_waiting()
        elif kind == 4:
            self._start_over()
        elif kind <= 9 and self.server.requests:
            self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
        else:
            living[self.choose(len(living))].step()

    def _join(self) -> Member:
        """A new owner; whoever had the partition does not know yet."""
        if not self.late_deletions:
            for request in [each for each in self.server.requests if each.delete is not None]:
                self.server.advance(request)
        self.topic.generation += 1
        self._names += 1
        member = Member(self, f"m{self._names}", self.topic.generation)
        self.members.append(member)
        return member

    def _start_over(self) -> None:
        """Everybody leaves, and a person deletes the group's offset or moves it back; perhaps rows
        were taken away or doubled by hand."""
        while self.server.requests:
            self.server.advance(self.server.requests[0])
        self.members.clear()
        self.topic.generation += 1
        self.topic.committed = None if self.choose(2) else self.topic.start
        self.topic.metadata = ""
        for table in self.server.tables:
            for row in list(table):
                match self.choose(6):
                    case 0:
                        table.remove(row)
                    case 1:
                        table.append(Row(row.offset, row.inserted_at, row.letter))
        self.visited.add("started over")

    def _finish(self) -> None:
        last = self._join()
        for _ in range(5000):
            if last.ended:
                break
            own = last.waiting
            if own is not None and own.outcome is None and self.stragglers:
                self.server.advance(own)
            elif self.server.requests and not self.stragglers:
                self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
            else:
                last.step()
        else:
            raise Violation("it does not come to an end")
        while self.server.requests:
            self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
        self._check()

    def _check(self) -> None:
        stored = Counter(self.server.stored(OffsetRange(0, self.topic.end)))
        for offset in self.topic.offsets:
            if stored[offset] != 1:
                raise Violation(f"offset {offset} is stored {stored[offset]} times")
        letters = {row.offset for row in self.server.tables[1]}
        if letters != self.server.bad | self.server.poison:
            raise Violation(f"dead letters {sorted(letters)}")
