"""The threads that insert, step by step: `Writer.write` and `write_together`, over a played server.

Where a guard is taken out, it is taken out here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nrtctl.consumer.effects import StartInsert
from nrtctl.consumer.insert import Stored
from nrtctl.consumer.lease_renewals import LeaseRenewals
from nrtctl.store.batch import Batch
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents import delivery as steps
from nrtctl.store.intents.delivery import Delivery, Mode
from nrtctl.store.tokens import BatchTokens
from nrtctl.store.writer import Abandoned, IntentRefused
from tests.unit.exactly_once.server import Message as Place
from tests.unit.exactly_once.server import Request, Violation

if TYPE_CHECKING:
    from tests.unit.exactly_once.world import World


@dataclass
class Task:
    """What a thread does: `Writer.write`, or `Writer.write_together` where there is no delivery."""

    batches: Sequence[Batch]
    asked: StartInsert
    delivery: Delivery | None
    doubt: bool = False
    future: Future[Stored | None] = field(default_factory=Future)
    waiting: Request | None = None
    renewal: Future[float] | None = None
    refused: bool = False


class Threads:
    """Stands in for `InsertPool`."""

    def __init__(
        self,
        world: World,
        name: str,
        renewals: LeaseRenewals,
        declared: AbstractSet[tuple[int, OffsetRange]],
    ) -> None:
        self._world = world
        self._declared = declared
        self._name = name
        self._renewals = renewals
        self._closed = False
        self.tasks: list[Task] = []
        self.look_ups: list[Future[dict[int, int]]] = []

    def start(self, asked: StartInsert) -> Future[Stored | None]:
        world = self._world
        if any((each.partition, each.span) not in self._declared for each in asked.batches):
            raise Violation("something is sent before its intent is committed")
        if asked.mode is None:
            world.visited.add(f"together {len(asked.batches)}")
            return self._begin(Task(asked.batches, asked, None))
        (batch,) = asked.batches
        mode = Mode.NEW if asked.mode is Mode.LOOK and not world.guards.look else asked.mode
        delivery = Delivery.start(
            batch.span,
            batch.offsets,
            mode,
            lease=world.lease,
            declared=asked.declared,
            sent=bool(batch.shared) and world.guards.counted_apart,
        )
        if mode is Mode.RESUME and not world.guards.same_token_first and batch.offsets:
            delivery = replace(delivery, phase=steps.Phase.COUNT)
        world.visited.add(f"alone {mode.name}{' shared' if batch.shared else ''}")
        return self._begin(Task([batch], asked, delivery))

    def _begin(self, task: Task) -> Future[Stored | None]:
        if self._closed:
            task.future.cancel()
        else:
            self.tasks.append(task)
        return task.future

    def look_up(self) -> Future[dict[int, int]]:
        future: Future[dict[int, int]] = Future()
        if self._closed:
            future.cancel()
        else:
            self.look_ups.append(future)
        return future

    def wait_for_one(self, inserts: Iterable[Future[Any]], seconds: float) -> None:
        self._world.clock += 1
        for _ in range(self._world.choose(4)):
            self.go_on()

    def close(self, seconds: float) -> None:
        """What is under way is not waited for: its requests live on."""
        self._closed = True
        self.tasks.clear()
        for future in self.look_ups:
            future.cancel()

    def go_on(self) -> None:
        """A step of one of them, and of its request."""
        if not self.tasks:
            return
        task = self.tasks[self._world.choose(len(self.tasks))]
        if task.waiting is not None and task.waiting.outcome is None:
            self._world.server.advance(task.waiting)
        else:
            self.step(task)

    def answer_look_up(self) -> None:
        future = self.look_ups.pop(0)
        future.set_result(self._world.server.highest())

    def step(self, task: Task) -> None:
        if task.waiting is not None:
            if task.waiting.outcome is not None:
                outcome, request = task.waiting.outcome, task.waiting
                task.waiting = None
                if isinstance(outcome, steps.Rejected) and self._world.guards.forget_beside:
                    for _, messages in request.blocks:
                        self._world.server.forget_beside(messages)
                self._after(task, outcome)
        elif task.renewal is not None:
            self._hear(task, task.renewal)
        elif task.delivery is None:
            self._send_whole(task)
        else:
            self._act(task, task.delivery.next_action(self._world.clock))

    def lose_answer(self, task: Task) -> None:
        """It does not come in time; the request stays where it is."""
        task.waiting = None
        self._after(task, steps.Unsure())

    def _send_whole(self, task: Task) -> None:
        if task.asked.give_up.is_set() or not self._in_time(task):
            self._end(task, None)
            return
        first = task.batches[0]
        token = _tokens(first).insert(first.span, first.offsets, 0)
        whole = [(batch.partition, offset) for batch in task.batches for offset in batch.offsets]
        blocks: list[tuple[str, Sequence[Place]]] = [(token, whole)]
        if not self._world.guards.one_block:
            cut = len(task.batches[0].offsets)
            blocks = [(token, whole[:cut]), (f"{token}:1", whole[cut:])]
        self._send(task, Request(blocks))

    def _act(self, task: Task, action: steps.Action) -> None:
        batch, server, guards = task.batches[0], self._world.server, self._world.guards
        number = batch.partition
        self._world.visited.add(type(action).__name__)
        if isinstance(action, steps.Done):
            self._end(task, Stored(0.0))
            return
        if isinstance(action, steps.Quit):
            self._fail(task, IntentRefused())
            return
        if task.asked.give_up.is_set():
            self._fail(task, Abandoned("given up"))
            return
        match action:
            case steps.Declare():
                self._declare(task)
            case steps.Insert(span, offsets, attempt, without):
                token = _tokens(batch).insert(span, offsets, self._attempt(attempt), without)
                messages = [(number, offset) for offset in offsets]
                part = OffsetRange(offsets[0], offsets[-1] + 1) if without else span
                self._send(task, Request([(self._marked(token, part, batch), messages)]))
            case steps.Find(offsets):
                self._after(task, steps.Found(server.thrown(number, offsets)))
            case steps.StoreDeadLetters(letters, attempt):
                messages = [(number, each.offset) for each in letters]
                offsets = [offset for _, offset in messages]
                token = _tokens(batch).letters(offsets, self._attempt(attempt))
                marked = self._marked(token, OffsetRange(offsets[0], offsets[-1] + 1), batch)
                self._send(task, Request([(marked, messages)], letter=True))
            case steps.Delete(ranges, until):
                until = until if guards.delete_until else 10**9
                self._send(task, Request(delete=(number, steps.Delete(ranges, until))))
            case steps.Count():
                self._after(task, self._counted(batch))
            case steps.List(span):
                self._wait_for_deletions()
                found = server.stored(number, span)
                rejected = server.rejected(number, span)
                self._after(task, steps.Listed(found, rejected, server.now))
                server.now += 1
            case _:
                raise Violation(f"{action}")

    def _in_time(self, task: Task) -> bool:
        declared = task.asked.declared
        return declared is None or self._world.clock - declared <= self._world.lease

    def _declare(self, task: Task) -> None:
        batch = task.batches[0]
        try:
            task.renewal = self._renewals.ask(
                batch.partition, batch.span, task.asked.mode is Mode.LOOK
            )
        except IntentRefused:
            self._refuse(task)

    def _hear(self, task: Task, renewal: Future[float]) -> None:
        if not renewal.done():
            return
        task.renewal = None
        try:
            self._after(task, steps.Declared(renewal.result()))
        except IntentRefused:
            self._refuse(task)

    def _refuse(self, task: Task) -> None:
        task.refused = True
        self._after(task, steps.Refused())

    def _attempt(self, attempt: int) -> int:
        return attempt if self._world.guards.next_token else 0

    def _marked(self, token: str, part: OffsetRange, batch: Batch) -> str:
        guards = self._world.guards
        if not guards.stable_token or (not guards.stable_part_token and part != batch.span):
            return f"{token}/{self._name}"
        return token

    def _send(self, task: Task, request: Request) -> None:
        if task.refused:
            raise Violation("something was sent after a refused intent")
        self._world.server.requests.append(request)
        task.waiting = request

    def _after(self, task: Task, outcome: steps.Outcome) -> None:
        if task.delivery is None:
            self._world.visited.add(f"whole {type(outcome).__name__}")
            self._after_whole(task, outcome)
            return
        self._world.visited.add(f"{task.delivery.phase.name} {type(outcome).__name__}")
        task.delivery = task.delivery.after(outcome)
        if not self._world.guards.probe and task.delivery.phase is steps.Phase.COUNT:
            task.delivery = replace(task.delivery, phase=steps.Phase.DONE)

    def _after_whole(self, task: Task, outcome: steps.Outcome) -> None:
        if isinstance(outcome, steps.Unsure):
            task.doubt = True  # it is sent again, unless it is given up or too late
            return
        good = isinstance(outcome, steps.Acknowledged)
        if good and task.doubt and self._world.guards.counted_together:
            good = all(self._counted(batch).of(batch.offsets) for batch in task.batches)
            self._world.visited.add(f"counted together {good}")
        self._end(task, Stored(0.0) if good and self._in_time(task) else None)

    def _wait_for_deletions(self) -> None:
        if self._world.guards.wait_for_deletions:
            self._world.server.finish_deletions()

    def _counted(self, batch: Batch) -> steps.Counted:
        self._wait_for_deletions()
        found = self._world.server.stored(batch.partition, batch.span)
        return steps.Counted(len(found), len(set(found)), sum(found))

    def _end(self, task: Task, result: Stored | None) -> None:
        self.tasks.remove(task)
        task.future.set_result(result)

    def _fail(self, task: Task, error: Exception) -> None:
        self.tasks.remove(task)
        task.future.set_exception(error)


def _tokens(batch: Batch) -> BatchTokens:
    return BatchTokens("t", batch.partition, batch.epoch, batch.span, batch.shared)
