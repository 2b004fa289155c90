"""A topic of three partitions, a group and a table in memory; batches that share an insert.

The members run the consumer's own `Sending`, `Together` and `Delivery`; the threads and the server
are played step by step. An insert commits its dead letters, then its rows, a table partition at a
time, and drops what comes under a token that the table partition has seen. Partitions are taken
from living members one by one, members are thrown out without noticing, or are killed; what they
have sent may land at any time; answers get lost; the engine dies between any two steps.

`choose(n)` picks one of n next events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from nrtctl import intents
from nrtctl.consumer.buffer import Batch
from nrtctl.consumer.flights import Stored
from nrtctl.consumer.sending import Sending
from nrtctl.consumer.writer import Abandoned, IntentRefused
from nrtctl.intents import Intent, OffsetRange
from nrtctl.intents import delivery as steps
from nrtctl.intents.delivery import Delivery, Mode
from tests.unit.exactly_once.world import Choose, Violation

TABLE = "events"
FOR_EVER = 1e9
LEASE = 30
"""Events for which a declared intent may be acted on."""

PARTITIONS = 3
MONTHS = 2
Message = tuple[int, int]
"""(partition, offset)"""


@dataclass
class Guards:
    """What may be taken out, to see that the tests notice."""

    whole: bool = True
    counted_apart: bool = True
    counted_together: bool = True
    named: bool = True
    next_token: bool = True
    one_block: bool = True


@dataclass(slots=True)
class Row:
    message: Message
    inserted_at: int
    letter: bool = False


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
        self, bad: set[Message], poison: set[Message], month: dict[Message, int], limit: int
    ) -> None:
        """`limit`: rows that one insert may store."""
        self._limit = limit
        self._bad = bad
        self._poison = poison
        self._month = month
        self.tables: tuple[list[Row], list[Row]] = ([], [])
        self._tokens: set[tuple[int, int, str]] = set()
        self.requests: list[Request] = []
        self.now = 0

    def advance(self, request: Request) -> None:
        """One step: a table partition of a block, or the answer."""
        self.now += 1
        if request.delete is not None:
            self._delete(*request.delete)
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
            message
            for message in messages
            if self._month[message] == month
            and (table == 1 if request.letter else (message in self._bad) == (table == 1))
        ]
        if mine and (table, month, token) not in self._tokens:
            self._tokens.add((table, month, token))
            self.tables[table].extend(Row(each, self.now, request.letter) for each in mine)
        request.stage += 1

    def die(self, spend: bool) -> None:
        """The engine is killed: what is under way ends; perhaps a token stays without its rows."""
        for request in self.requests:
            block, step = divmod(request.stage, 2 * MONTHS)
            if spend and block < len(request.blocks):
                table, month = (1, step) if step < MONTHS else (0, step - MONTHS)
                self._tokens.add((table, month, request.blocks[block][0]))
            request.outcome = steps.Unsure()
        self.requests.clear()

    def stored(self, partition: int, span: OffsetRange) -> list[int]:
        return [row.message[1] for t in self.tables for row in t if _inside(row, partition, span)]

    def rejected(self, partition: int, span: OffsetRange) -> list[int]:
        return [
            row.message[1]
            for row in self.tables[1]
            if _inside(row, partition, span) and not row.letter
        ]

    def _delete(self, partition: int, delete: steps.Delete) -> None:
        for table in self.tables:
            table[:] = [
                row
                for row in table
                if row.inserted_at > delete.until
                or not any(_inside(row, partition, span) for span in delete.ranges)
            ]

    def _end(self, request: Request, outcome: steps.Outcome) -> None:
        request.outcome = outcome
        self.requests.remove(request)


def _inside(row: Row, partition: int, span: OffsetRange) -> bool:
    return row.message[0] == partition and row.message[1] in span


@dataclass
class Topic:
    """One partition's log, and what the group has committed for it."""

    offsets: list[int]
    owner: Member | None = None
    committed: int | None = None
    metadata: str = ""

    @property
    def end(self) -> int:
        return self.offsets[-1] + 1


@dataclass
class State:
    """An assigned partition.

    Attributes:
        began: where it was assigned.
        sent_at: when its intent was sent.
        answer: what the intent that was sent will be told; None: none is under way.
    """

    began: int
    position: int
    epoch: str
    pending: OffsetRange | None
    look: bool
    shared: str
    top: int
    batch: Batch | None = None
    mode: Mode = Mode.NEW
    flight: Future[Stored | None] | None = None
    give_up: Event = field(default_factory=Event)
    answer: str | None = None
    sent_at: float = 0.0
    to_declare: bool = False


@dataclass
class Task:
    """What a thread does: `Writer.write`, or `Writer.write_together` where there is no delivery."""

    batches: Sequence[Batch]
    give_up: Event
    delivery: Delivery | None
    declared: float | None
    doubt: bool = False
    future: Future[Stored | None] = field(default_factory=Future)
    waiting: Request | None = None


class Threads:
    """Stands in for `Flights`."""

    def __init__(self, world: World, renew: Callable[[Batch], str]) -> None:
        self._world = world
        self._renew = renew
        self.tasks: list[Task] = []

    def store(
        self, batch: Batch, mode: Mode, declared: float | None, give_up: Event
    ) -> Future[Stored | None]:
        sent = bool(batch.shared) and self._world.guards.counted_apart
        delivery = Delivery.start(
            batch.span, batch.offsets, mode, lease=self._world.lease, declared=declared, sent=sent
        )
        self._world.visited.add(f"alone {mode.name}{' shared' if batch.shared else ''}")
        return self._begin(Task([batch], give_up, delivery, declared))

    def store_together(
        self, batches: Sequence[Batch], declared: float | None, give_up: Event
    ) -> Future[Stored | None]:
        self._world.visited.add(f"together {len(batches)}")
        return self._begin(Task(batches, give_up, None, declared))

    def _begin(self, task: Task) -> Future[Stored | None]:
        self.tasks.append(task)
        return task.future

    def step(self, task: Task) -> None:
        if task.waiting is not None:
            if task.waiting.outcome is not None:
                outcome, task.waiting = task.waiting.outcome, None
                self._after(task, outcome)
        elif task.delivery is None:
            self._send_whole(task)
        else:
            self._act(task, task.delivery.next_action(self._world.clock))

    def lose_answer(self, task: Task) -> None:
        """It does not come in time; the request stays where it is."""
        task.waiting = None
        self._after(task, steps.Unsure())

    def _send_whole(self, task: Task) -> None:
        if task.give_up.is_set() or not self._in_time(task):
            self._end(task, None)
            return
        token = _token(task.batches[0], "")
        whole = [(batch.partition, offset) for batch in task.batches for offset in batch.offsets]
        blocks: list[tuple[str, Sequence[Message]]] = [(token, whole)]
        if not self._world.guards.one_block:
            cut = len(task.batches[0].offsets)
            blocks = [(token, whole[:cut]), (f"{token}:1", whole[cut:])]
        self._send(task, Request(blocks))

    def _act(self, task: Task, action: steps.Action) -> None:
        batch, server = task.batches[0], self._world.server
        number = batch.partition
        if isinstance(action, steps.Done):
            self._end(task, Stored(0.0))
            return
        if task.give_up.is_set():
            self.tasks.remove(task)
            task.future.set_exception(Abandoned("given up"))
            return
        match action:
            case steps.Declare():
                self._declare(task)
            case steps.Insert(_, offsets, more):
                messages = [(number, offset) for offset in offsets]
                self._send(task, Request([(self._next(batch, more), messages)]))
            case steps.StoreDeadLetter(offset, _, more):
                block = (self._next(batch, more), [(number, offset)])
                self._send(task, Request([block], letter=True))
            case steps.Delete():
                self._send(task, Request(delete=(number, action)))
            case steps.Count():
                self._after(task, self._counted(batch))
            case steps.List(span):
                found = server.stored(number, span)
                rejected = server.rejected(number, span)
                self._after(task, steps.Listed(found, rejected, server.now))
                server.now += 1
            case _:
                raise Violation(f"{action}")

    def _in_time(self, task: Task) -> bool:
        return task.declared is None or self._world.clock - task.declared <= self._world.lease

    def _declare(self, task: Task) -> None:
        """As `Renewals`: the thread waits for the answer."""
        assert task.delivery is not None
        sent = self._world.clock
        answer = self._renew(task.batches[0])
        self._world.visited.add(f"renewal {answer}")
        if answer == "taken":
            self._after(task, steps.Declared(sent))
        elif answer == "refused":
            self.tasks.remove(task)
            task.future.set_exception(IntentRefused())

    def _next(self, batch: Batch, more: str) -> str:
        return _token(batch, more if self._world.guards.next_token else more.split("/r")[0])

    def _send(self, task: Task, request: Request) -> None:
        self._world.server.requests.append(request)
        task.waiting = request

    def _after(self, task: Task, outcome: steps.Outcome) -> None:
        if task.delivery is None:
            self._world.visited.add(f"whole {type(outcome).__name__}")
            self._after_whole(task, outcome)
        else:
            task.delivery = task.delivery.after(outcome)

    def _after_whole(self, task: Task, outcome: steps.Outcome) -> None:
        if isinstance(outcome, steps.Unsure):
            task.doubt = True  # it is sent again, unless it is given up or too late
            return
        good = isinstance(outcome, steps.Acknowledged)
        if good and task.doubt and self._world.guards.counted_together:
            good = all(self._counted(batch).of(batch.offsets) for batch in task.batches)
            self._world.visited.add(f"counted together {good}")
        self._end(task, Stored(0.0) if good and self._in_time(task) else None)

    def _counted(self, batch: Batch) -> steps.Counted:
        found = self._world.server.stored(batch.partition, batch.span)
        return steps.Counted(len(found), len(set(found)), sum(found))

    def _end(self, task: Task, result: Stored | None) -> None:
        self.tasks.remove(task)
        task.future.set_result(result)


def _token(batch: Batch, more: str) -> str:
    return intents.token("t", batch.partition, batch.epoch, batch.span, more, batch.shared)


class Member:
    """What `Loop`, `Declaring` and `Group` do around `Sending`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.states: dict[int, State] = {}
        self.threads = Threads(world, self._renew)
        self._refused: set[int] = set()
        self._sending = Sending(
            self.states,  # type: ignore[arg-type]
            self.threads,  # type: ignore[arg-type]
            stored=self._stored,  # type: ignore[arg-type]
            given_up=self._give_back,
        )

    def assign(self, number: int) -> None:
        world, topic = self._world, self._world.topics[number]
        found = intents.resume(
            TABLE, committed=topic.committed, metadata=topic.metadata,
            log_start=0, log_end=topic.end, fresh=world.fresh(),
        )  # fmt: skip
        top = max(world.server.stored(number, OffsetRange(0, topic.end)), default=-1)
        self.states[number] = State(
            found.offset, found.offset, found.epoch, found.pending, found.look, found.shared, top
        )

    def revoke(self, numbers: Sequence[int]) -> None:
        """As `Loop._revoked`, which does not wait for ever."""
        self._sending.collect()
        for number in numbers:
            state = self.states.get(number)
            if state is not None and state.batch is None and state.position > state.began:
                self._commit(number, state.position, Intent(None, state.epoch))
        self.lose(numbers)

    def lose(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            state = self.states.pop(number, None)
            self._refused.discard(number)
            if state is not None:
                state.give_up.set()
        self._sending.left(numbers)

    def done(self) -> bool:
        """Nothing to do for any of its partitions."""
        return not self._refused and all(
            state.batch is None and state.pending is None and not self._left(number)
            for number, state in self.states.items()
        )

    def step(self) -> None:
        """One of the things that the loop or a thread could do now."""
        choose = self._world.choose
        ready: list[Callable[[], None]] = [self._sending.collect]
        if self._world.lease < FOR_EVER:
            ready.append(self._rest)
        ready += [lambda task=task: self.threads.step(task) for task in self.threads.tasks] * 2  # type: ignore[misc]
        if any(state.answer for state in self.states.values()):
            ready += [self._hear] * 3
        if any(state.to_declare for state in self.states.values()):
            ready.append(self._declare_again)
        if self._refused:
            ready.append(self._begin_again)
        if any(self._resting(number) for number in self.states):
            ready.append(self._take)
        ready[choose(len(ready))]()

    def _left(self, number: int) -> list[int]:
        return [o for o in self._world.topics[number].offsets if o >= self.states[number].position]

    def _resting(self, number: int) -> bool:
        state = self.states[number]
        return state.batch is None and (state.pending is not None or bool(self._left(number)))

    def _take(self) -> None:
        """One that must go alone, or some of those that need not."""
        choose = self._world.choose
        resting = [number for number in self.states if self._resting(number)]
        alone = [n for n in resting if self.states[n].pending or self._below_top(n)]
        if alone:
            taken = [alone[choose(len(alone))]]
        else:
            taken = [n for n in resting if choose(4)] or resting[:1]
        for number in taken:
            self._cut(number)
        if len(taken) > 1:
            self._sending.join(taken)
        self._declare(taken)

    def _below_top(self, number: int) -> bool:
        return self.states[number].position <= self.states[number].top

    def _cut(self, number: int) -> None:
        state = self.states[number]
        if state.pending is not None:
            span, shared = state.pending, state.shared
            state.mode = Mode.LOOK if state.look else Mode.RESUME
        else:
            left = self._left(number)
            last = left[: 1 + self._world.choose(3)][-1]
            span, shared = OffsetRange(state.position, last + 1), ""
            state.mode = Mode.LOOK if self._below_top(number) else Mode.NEW
        offsets = [o for o in self._world.topics[number].offsets if o in span]
        state.batch = Batch(number, state.epoch, span, offsets, b"", (), shared)

    def _declare(self, numbers: Sequence[int]) -> None:
        """One request; its answer may be lost, and with it the request or not."""
        fate = self._world.choose(8)
        for number in numbers:
            state = self.states[number]
            if state.batch is None:
                continue
            state.to_declare, state.sent_at = False, self._world.clock
            if fate == 0 or (fate == 1 and self._world.choose(2)):
                state.answer = "lost"
                continue
            batch = state.batch
            shared = batch.shared if self._world.guards.named else ""
            intent = Intent(batch.span, batch.epoch, state.mode is Mode.LOOK, shared)
            taken = self._commit(number, batch.span.start, intent)
            state.answer = "lost" if fate == 2 else "taken" if taken else "refused"

    def _renew(self, batch: Batch) -> str:
        state = self.states.get(batch.partition)
        if state is None or state.batch is not batch:
            return "refused"
        fate = self._world.choose(6)
        if fate == 0:
            return "lost"
        shared = batch.shared if self._world.guards.named else ""
        intent = Intent(batch.span, batch.epoch, state.mode is Mode.LOOK, shared)
        taken = self._commit(batch.partition, batch.span.start, intent)
        return "lost" if fate == 1 else "taken" if taken else "refused"

    def _rest(self) -> None:
        """Say that all is stored, and nothing is under way."""
        for number, state in self.states.items():
            if state.batch is None and state.position > state.began:
                self._commit(number, state.position, Intent(None, state.epoch))
                self._world.visited.add("at rest")

    def _commit(self, number: int, offset: int, intent: Intent) -> bool:
        topic = self._world.topics[number]
        if topic.owner is not self:
            return False
        topic.committed, topic.metadata = offset, intents.encode_metadata(TABLE, intent)
        return True

    def _hear(self) -> None:
        waiting = [number for number, state in self.states.items() if state.answer]
        number = waiting[self._world.choose(len(waiting))]
        state = self.states[number]
        answer, state.answer = state.answer, None
        self._world.visited.add(f"intent {answer}")
        if answer == "taken":
            self._sending.send(number, state.sent_at)
        elif answer == "lost":
            state.to_declare = True
        else:
            self._give_back(number)

    def _declare_again(self) -> None:
        self._declare([number for number, state in self.states.items() if state.to_declare])

    def _give_back(self, number: int) -> None:
        state = self.states.pop(number)
        state.give_up.set()
        self._refused.add(number)
        self._sending.left([number])

    def _begin_again(self) -> None:
        number = self._refused.pop()
        self._world.visited.add("begun again")
        if self._world.topics[number].owner is self:
            self.assign(number)

    def _stored(self, states: Sequence[State], stored: Stored) -> None:
        for state in states:
            assert state.batch is not None
            state.position = state.batch.span.end
            state.pending = state.batch = state.flight = None
            state.shared = ""


class World:
    """One run: partitions and members come and go, until a last member finishes alone."""

    def __init__(
        self, choose: Choose, guards: Guards | None = None, lease: float = FOR_EVER
    ) -> None:
        self.choose = choose
        self.guards = guards or Guards()
        self.topics: list[Topic] = []
        bad, poison, month = set(), set(), {}
        for partition in range(PARTITIONS):
            kinds = [choose(9) for _ in range(2 + choose(5))]  # 0: a gap, 1: rejected, 2: it throws
            offsets = [n for n, kind in enumerate(kinds) if kind != 0] or [0]
            self.topics.append(Topic(offsets))
            for offset in offsets:
                month[partition, offset] = choose(MONTHS)
            bad |= {(partition, n) for n in offsets if kinds[n] == 1}
            poison |= {(partition, n) for n in offsets if kinds[n] == 2 and choose(2)}
        self._letters = bad | poison
        limit = choose(5) + 1 if choose(3) == 0 else len(month)
        self.server = Server(bad, poison, month, limit)
        self.stragglers = bool(choose(2))
        self.visited: set[str] = set()
        self._epochs = 0
        self.clock = 0.0
        self.lease = lease
        self._members: list[Member] = []

    def fresh(self) -> str:
        self._epochs += 1
        return f"e{self._epochs}"

    def run(self, most_events: int = 90) -> None:
        """Raises Violation."""
        self._join(range(PARTITIONS))
        for _ in range(most_events):
            self._event()
        self._finish()

    def _event(self) -> None:
        self.clock += 1
        kind = self.choose(32)
        if kind == 0:
            self._hand_over()
        elif kind == 1:
            self._throw_out()
        elif kind == 2:
            self._kill()
        elif kind == 3:
            self.server.die(spend=bool(self.choose(2)))
            self.visited.add("the engine died")
        elif kind == 4:
            self._lose_answer()
        elif kind == 5 and not self.choose(4):
            self._start_over()
        elif kind <= 13 and self.server.requests:
            self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
        elif self._members:
            self._members[self.choose(len(self._members))].step()

    def _join(self, numbers: Sequence[int]) -> Member:
        member = Member(self)
        self._members.append(member)
        self._give(member, numbers)
        return member

    def _give(self, member: Member, numbers: Sequence[int]) -> None:
        """Deletions of the former owner end with its lease."""
        for request in [each for each in self.server.requests if each.delete is not None]:
            self.server.advance(request)
        for number in numbers:
            self.topics[number].owner = member
            member.assign(number)

    def _hand_over(self) -> None:
        """A cooperative rebalance: one partition goes from one living member to another."""
        number = self.choose(PARTITIONS)
        owner = self.topics[number].owner
        if owner is None:
            return
        owner.revoke([number])
        others = [each for each in self._members if each is not owner]
        if others and self.choose(2):
            other = others[self.choose(len(others))]
            other.lose([number])  # it may still believe that it has it
            self._give(other, [number])
        else:
            self._join([number])
        self.visited.add("handed over")

    def _throw_out(self) -> None:
        """A member that has been silent for too long, and does not notice."""
        owners = [each for each in self._members if self._owned(each)]
        if owners:
            self._join(self._owned(owners[self.choose(len(owners))]))
            self.visited.add("thrown out")

    def _kill(self) -> None:
        """Its requests live on."""
        if self._members:
            member = self._members.pop(self.choose(len(self._members)))
            self._join(self._owned(member))
            self.visited.add("killed")

    def _start_over(self) -> None:
        """Everybody leaves, and a person moves a partition of the group back."""
        while self.server.requests:
            self.server.advance(self.server.requests[0])
        self._members.clear()
        topic = self.topics[self.choose(PARTITIONS)]
        topic.committed, topic.metadata = (None if self.choose(2) else 0), ""
        self._join(range(PARTITIONS))
        self.visited.add("started over")

    def _owned(self, member: Member) -> list[int]:
        return [n for n, topic in enumerate(self.topics) if topic.owner is member]

    def _lose_answer(self) -> None:
        waiting = [
            (each.threads, task)
            for each in self._members
            for task in each.threads.tasks
            if task.waiting is not None
        ]
        if waiting:
            threads, task = waiting[self.choose(len(waiting))]
            threads.lose_answer(task)
            self.visited.add("an answer was lost")

    def _finish(self) -> None:
        self._members.clear()
        last = self._join(range(PARTITIONS))
        for _ in range(20_000):
            if last.done():
                break
            self.clock += 1
            own = [t.waiting for t in last.threads.tasks if t.waiting and not t.waiting.outcome]
            if own and self.stragglers:
                self.server.advance(own[self.choose(len(own))])
            elif self.server.requests and self.choose(2):
                self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
            else:
                last.step()
        else:
            raise Violation("it does not come to an end")
        while self.server.requests:
            self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
        self._check()

    def _check(self) -> None:
        stored = Counter(row.message for table in self.server.tables for row in table)
        for number, topic in enumerate(self.topics):
            for offset in topic.offsets:
                if stored[number, offset] != 1:
                    raise Violation(f"{number}/{offset} is stored {stored[number, offset]} times")
        letters: set[Any] = {row.message for row in self.server.tables[1]}
        if letters != self._letters:
            raise Violation(f"dead letters {sorted(letters)}")
