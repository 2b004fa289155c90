"""Declared batches, to the threads that insert and back. Used by `loop`, on its thread.

A batch goes alone or with others. What was sent together and does not become certain in time, or
loses a partition meanwhile, is sent again batch by batch: `writer` counts the rows of each then.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future

from nrtctl.consumer.assigned import AssignedPartition, Stored
from nrtctl.consumer.flights import Flights
from nrtctl.consumer.together import Together
from nrtctl.consumer.writer import Abandoned, IntentRefused


class Sending:
    """Args:
    partitions: the loop's, by number.
    stored: given the partitions whose batches one insert has stored.
    given_up: given a partition whose batch was given up.
    """

    def __init__(
        self,
        partitions: Mapping[int, AssignedPartition],
        flights: Flights,
        *,
        stored: Callable[[Sequence[AssignedPartition], Stored], None],
        given_up: Callable[[int], None],
    ) -> None:
        self._partitions = partitions
        self._flights = flights
        self._stored = stored
        self._given_up = given_up
        self._together: dict[str, Together] = {}

    def join(self, numbers: Sequence[int]) -> None:
        """The batches just taken from these partitions go in one insert."""
        name = secrets.token_hex(8)
        self._together[name] = Together(name, set(numbers))
        for number in numbers:
            batch = self._partitions[number].batch
            if batch is None:
                raise ValueError(f"nothing was taken from partition {number}")
            batch.shared = name

    def send(self, number: int, declared: float | None) -> None:
        """The batch of the partition may be inserted, as soon as those that it goes with may.

        Args:
            declared: when its intent was sent (monotonic seconds); None: there are no intents.
        """
        state = self._partitions[number]
        if state.batch is None:
            return
        insert = self._together.get(state.batch.shared)
        if insert is None or number not in insert:
            self._alone(state, declared)
            return
        insert.answered(number, declared)
        self._take_off(insert)

    def left(self, numbers: Sequence[int]) -> None:
        """Partitions that are not ours any more, and are not among `partitions` now."""
        for insert in list(self._together.values()):
            gone = [number for number in numbers if number in insert]
            for number in gone:
                insert.leave(number)
            if not insert.waiting and not insert.declared:
                del self._together[insert.name]
            elif gone:
                self._take_off(insert)

    def close(self) -> None:
        """Nothing more is to be sent together."""
        for insert in self._together.values():
            insert.give_up.set()

    def collect(self) -> None:
        """Take in what the threads have finished."""
        done: dict[Future[Stored | None], list[int]] = defaultdict(list)
        for number, state in self._partitions.items():
            if state.flight is not None and state.flight.done():
                done[state.flight].append(number)
        for flight, numbers in done.items():
            try:
                stored = flight.result()
            except (IntentRefused, Abandoned, CancelledError):
                for number in numbers:
                    self._given_up(number)
            else:
                self._landed(flight, numbers, stored)

    def _landed(
        self, flight: Future[Stored | None], numbers: Sequence[int], stored: Stored | None
    ) -> None:
        insert = next((each for each in self._together.values() if each.flight is flight), None)
        if insert is not None and (stored is None or not insert.whole):
            self._apart(insert)
            return
        if insert is not None:
            del self._together[insert.name]
        if stored is not None:
            self._stored([self._partitions[number] for number in numbers], stored)

    def _take_off(self, insert: Together) -> None:
        """Begin the insert, if nobody is waited for any more and it is not under way."""
        if insert.waiting or insert.flight is not None:
            return
        if not insert.whole:
            self._apart(insert)
            return
        states = [self._partitions[number] for number in insert.declared]
        batches = [state.batch for state in states if state.batch is not None]
        insert.flight = self._flights.store_together(batches, insert.oldest(), insert.give_up)
        for state in states:
            state.flight = insert.flight

    def _apart(self, insert: Together) -> None:
        """Each of them alone; what is there already is found by counting."""
        del self._together[insert.name]
        for number, declared in insert.declared.items():
            self._alone(self._partitions[number], declared)

    def _alone(self, state: AssignedPartition, declared: float | None) -> None:
        if state.batch is not None:
            state.flight = self._flights.store(state.batch, state.mode, declared, state.give_up)
