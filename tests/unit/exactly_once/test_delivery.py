"""The delivery of a batch over a simulated world, with and without each of its guards."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrtctl.intents import OffsetRange
from nrtctl.intents import delivery as steps
from nrtctl.intents.delivery import Delivery, Mode, Phase
from tests.unit.exactly_once.world import Guards, Violation, World


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64))
def test_every_offset_is_stored_once_whatever_happens(seed: int) -> None:
    """Deletions excepted, nothing here heeds a lease: whoever sent something may be long gone."""
    run_seeded(seed, late_deletions=False)


def run_seeded(seed: int, guards: Guards | None = None, *, late_deletions: bool = True) -> World:
    world = World(random.Random(seed).randrange, guards, late_deletions=late_deletions)
    world.run()
    return world


def test_many_random_schedules_visit_every_step() -> None:
    visited: set[str] = set()
    for seed in range(2000):
        visited |= run_seeded(seed).visited
    actions = {"Declare", "Insert", "Count", "List", "Delete", "StoreDeadLetter", "Done", "Quit"}
    modes = {"mode NEW", "mode RESUME", "mode LOOK", "started over"}
    outcomes = {
        "PLACE Declared", "PLACE Refused", "PLACE Acknowledged", "PLACE Unsure", "PLACE Rejected",
        "COUNT Declared", "COUNT Counted", "LIST Listed", "LIST_PART Listed",
        "LETTER Acknowledged", "LETTER Unsure", "DELETE Acknowledged", "DELETE Unsure",
    }  # fmt: skip
    assert actions | modes | outcomes <= visited, (actions | modes | outcomes) - visited


@pytest.mark.parametrize(
    "guard",
    [
        "fence", "same_token_first", "probe", "next_token", "stable_token", "stable_part_token",
        "delete_until", "look", "declare", "epoch",
    ],
)  # fmt: skip
def test_without_a_guard_rows_are_lost_or_doubled(guard: str) -> None:
    """Each guard is needed: without it one of the same schedules ends badly."""
    guards = Guards(**{guard: False})
    for seed in range(5_000):
        try:
            run_seeded(seed, guards)
        except Violation:
            return
    pytest.fail(f"nothing goes wrong without {guard}")


SPAN = OffsetRange(10, 15)
OFFSETS = (10, 11, 13)


def started(mode: Mode, lease: float = 10.0) -> Delivery:
    return Delivery.start(SPAN, OFFSETS, mode, lease=lease, declared=0.0)


def test_a_new_batch_takes_one_insert_and_no_look() -> None:
    delivery = started(Mode.NEW)
    assert delivery.next_action(1.0) == steps.Insert(SPAN, OFFSETS, "")
    assert delivery.after(steps.Acknowledged()).next_action(1.0) == steps.Done()


def test_a_pending_batch_takes_one_insert_and_one_count() -> None:
    """However large the table: what recovery costs."""
    delivery = started(Mode.RESUME)
    assert delivery.next_action(1.0) == steps.Insert(SPAN, OFFSETS, "")
    delivery = delivery.after(steps.Acknowledged())
    assert delivery.next_action(1.0) == steps.Count(SPAN)
    assert delivery.after(steps.Counted(3, 3, 34)).next_action(1.0) == steps.Done()


def test_the_right_count_of_the_wrong_offsets_is_not_complete() -> None:
    delivery = started(Mode.RESUME).after(steps.Acknowledged())
    delivery = delivery.after(steps.Counted(3, 3, 36))
    assert delivery.next_action(1.0) == steps.List(SPAN)
    delivery = delivery.after(steps.Listed([10, 12, 14], [], 99))
    assert delivery.next_action(1.0) == steps.Delete((OffsetRange(10, 11),), 99)
    delivery = delivery.after(steps.Acknowledged())
    assert delivery.next_action(1.0) == steps.Insert(SPAN, OFFSETS, "/r1")


def test_rows_that_kafka_has_no_message_for_are_left_alone() -> None:
    delivery = started(Mode.LOOK).after(steps.Counted(5, 4, 60))
    delivery = delivery.after(steps.Listed([10, 11, 12, 12, 13], [], 99))
    assert delivery.next_action(1.0) == steps.Done()


@pytest.mark.parametrize("phase", sorted(Phase, key=lambda each: each.name))
def test_an_old_intent_is_declared_again_before_anything_is_sent(phase: Phase) -> None:
    delivery = steps.replace(started(Mode.NEW), phase=phase)
    asked = delivery.next_action(10.5)
    if phase in steps.WRITES:
        assert asked == steps.Declare(SPAN)
        assert delivery.after(steps.Declared(10.5)).next_action(10.5) != steps.Declare(SPAN)
    else:
        assert asked != steps.Declare(SPAN)


def test_at_least_once_never_declares_and_looks_only_after_a_doubt() -> None:
    delivery = started(Mode.ONCE)
    assert delivery.next_action(1e9) == steps.Insert(SPAN, OFFSETS, "")
    assert delivery.after(steps.Acknowledged()).next_action(1e9) == steps.Done()
    doubtful = delivery.after(steps.Unsure()).after(steps.Acknowledged())
    assert doubtful.next_action(1e9) == steps.Count(SPAN)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_batch_without_messages_is_done(mode: Mode) -> None:
    delivery = Delivery.start(SPAN, (), mode, lease=10.0)
    assert delivery.next_action(0.0) == steps.Done()


def test_a_message_whose_sql_throws_is_found_by_halving() -> None:
    """Work for one bad message among 1024: two inserts a level, no more."""
    offsets = tuple(range(1024))
    delivery = Delivery.start(OffsetRange(0, 1024), offsets, Mode.NEW, lease=1e9, declared=0.0)
    stored: list[int] = []
    inserts = 0
    letters = []
    while not isinstance(action := delivery.next_action(0.0), steps.Done):
        match action:
            case steps.Insert(_, wanted, _):
                inserts += 1
                if 700 in wanted:
                    delivery = delivery.after(steps.Rejected("throws"))
                else:
                    stored += wanted
                    delivery = delivery.after(steps.Acknowledged())
            case steps.List(span):
                inside = [each for each in stored if each in span]
                delivery = delivery.after(steps.Listed(inside, [], 0))
            case steps.StoreDeadLetter(offset, error, _):
                letters.append((offset, error))
                stored.append(offset)
                delivery = delivery.after(steps.Acknowledged())
            case steps.Count():
                delivery = delivery.after(steps.Counted(len(stored), len(set(stored)), sum(stored)))
    assert letters == [(700, "throws")]
    assert sorted(stored) == list(offsets)
    assert inserts <= 1 + 2 * 10


def test_what_is_too_much_at_once_is_halved_and_is_no_dead_letter() -> None:
    delivery = Delivery.start(OffsetRange(0, 8), range(8), Mode.NEW, lease=1e9, declared=0.0)
    stored: list[int] = []
    while not isinstance(action := delivery.next_action(0.0), steps.Stop | steps.Done):
        match action:
            case steps.Insert(_, wanted, _) if len(wanted) > 2 or 5 in wanted:
                delivery = delivery.after(steps.Rejected("the limit is 2", letter=False))
            case steps.Insert(_, wanted, _):
                stored += wanted
                delivery = delivery.after(steps.Acknowledged())
            case steps.List(span):
                inside = [each for each in stored if each in span]
                delivery = delivery.after(steps.Listed(inside, [], 0))
    assert action == steps.Stop("the message at offset 5: the limit is 2")
    assert stored == [0, 1, 2, 3, 4]


def test_it_does_not_try_for_ever() -> None:
    delivery = started(Mode.RESUME)
    for _ in range(1000):
        match delivery.next_action(0.0):
            case steps.Insert():
                delivery = delivery.after(steps.Acknowledged())
            case steps.Count():
                delivery = delivery.after(steps.Counted(0, 0, 0))
            case steps.List():
                delivery = delivery.after(steps.Listed((), (), 0))
            case steps.Stop(reason):
                assert "still not right" in reason
                return
    pytest.fail("it goes on")


def test_an_outcome_of_another_action_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no outcome"):
        started(Mode.NEW).after(steps.Counted(1, 1, 1))
