"""The batches of one partition over a simulated world, with and without each of their guards."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents import delivery as steps
from nrtctl.store.intents.delivery import Delivery, Mode, Phase
from tests.unit.exactly_once.member import Guards
from tests.unit.exactly_once.server import Violation
from tests.unit.exactly_once.world import FOR_EVER, LEASE, World, seeded


def run_seeded(
    seed: int,
    guards: Guards | None = None,
    *,
    lease: float = FOR_EVER,
    late_deletions: bool = True,
    several: bool = False,
) -> World:
    world = World(
        seeded(seed),
        guards,
        lease,
        partitions=1,
        by_hand=True,
        late_deletions=late_deletions,
        several=several,
    )
    world.run()
    return world


@pytest.mark.parametrize("examples", [400, pytest.param(1000, marks=pytest.mark.long)])
def test_every_offset_is_stored_once_whatever_happens(examples: int) -> None:
    """Deletions excepted, nothing here heeds a lease: whoever sent something may be long gone."""

    @settings(max_examples=examples)
    @given(st.integers(0, 2**64))
    def holds(seed: int) -> None:
        run_seeded(seed, late_deletions=False)

    holds()


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(each, marks=pytest.mark.long) for each in range(200, 2000, 200))]
)
def test_many_random_schedules_end_well(first: int) -> None:
    for seed in range(first, first + 200):
        run_seeded(seed)


@pytest.mark.parametrize("examples", [250, pytest.param(500, marks=pytest.mark.long)])
def test_every_message_of_several_rows_is_stored_whole_whatever_happens(examples: int) -> None:
    """An insert lands a table partition at a time, so a message may be there in part."""

    @settings(max_examples=examples)
    @given(st.integers(0, 2**64))
    def holds(seed: int) -> None:
        run_seeded(seed, late_deletions=False, several=True)

    holds()


@pytest.mark.parametrize(
    ("guard", "first"),
    [
        ("count_rows", 0),
        ("forget_beside", 0),
        ("probe", 0),
        ("next_token", 0),
        ("same_token_first", 190),
        ("stable_token", 990),
        ("look", 0),
    ],
)
def test_without_a_guard_messages_of_several_rows_are_torn_or_doubled(
    guard: str, first: int
) -> None:
    for seed in range(first, first + 5_000):
        try:
            run_seeded(seed, Guards(**{guard: False}), late_deletions=False, several=True)
        except Violation:
            run_seeded(seed, late_deletions=False, several=True)
            return
    pytest.fail(f"nothing goes wrong without {guard}")


def test_random_schedules_visit_every_step() -> None:
    actions = {
        "Declare", "Insert", "Count", "List", "Delete", "Find", "StoreDeadLetters", "Done", "Quit",
    }  # fmt: skip
    modes = {"alone NEW", "alone RESUME", "alone LOOK", "started over", "ended"}
    outcomes = {
        "PLACE Declared", "PLACE Refused", "PLACE Acknowledged", "PLACE Unsure", "PLACE Rejected",
        "COUNT Counted", "LIST Listed", "LIST_PART Listed", "FIND Found",
        "LETTER Acknowledged", "LETTER Unsure", "DELETE Acknowledged", "DELETE Unsure",
    }  # fmt: skip
    left = actions | modes | outcomes
    for seed in range(2_210, 4_210):
        left -= run_seeded(seed, lease=LEASE).visited
        if not left:
            return
    pytest.fail(f"never: {left}")


@pytest.mark.parametrize(
    ("guard", "first"),
    [
        ("fence", 265),
        ("same_token_first", 95),
        ("probe", 0),
        ("next_token", 0),
        ("stable_token", 1_480),
        ("stable_part_token", 5_810),
        ("delete_until", 1_200),
        ("look", 0),
        ("declare", 0),
        ("epoch", 0),
        ("wait_for_deletions", 27_900),
    ],
)
def test_without_a_guard_rows_are_lost_or_doubled(guard: str, first: int) -> None:
    """Each guard is needed: without it one of the same schedules ends badly.

    Args:
        first: the schedules to begin with; for some guards few end so.
    """
    guards = Guards(**{guard: False})
    for seed in range(first, first + 5_000):
        try:
            run_seeded(seed, guards)
        except Violation:
            run_seeded(seed)  # and well with the guard
            return
    pytest.fail(f"nothing goes wrong without {guard}")


SPAN = OffsetRange(10, 15)
OFFSETS = (10, 11, 13)


def started(mode: Mode, lease: float = 10.0) -> Delivery:
    return Delivery.start(SPAN, OFFSETS, mode, lease=lease, declared=0.0)


def test_a_new_batch_takes_one_insert_and_no_look() -> None:
    delivery = started(Mode.NEW)
    assert delivery.next_action(1.0) == steps.Insert(SPAN, OFFSETS, 0)
    assert delivery.after(steps.Acknowledged()).next_action(1.0) == steps.Done()


def test_a_pending_batch_takes_one_insert_and_one_count() -> None:
    """However large the table: what recovery costs."""
    delivery = started(Mode.RESUME)
    assert delivery.next_action(1.0) == steps.Insert(SPAN, OFFSETS, 0)
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
    assert delivery.next_action(1.0) == steps.Insert(SPAN, OFFSETS, 1)


def test_rows_that_kafka_has_no_message_for_are_left_alone() -> None:
    delivery = started(Mode.LOOK).after(steps.Counted(5, 4, 60))
    delivery = delivery.after(steps.Listed([10, 11, 12, 12, 13], [], 99))
    assert delivery.next_action(1.0) == steps.Done()


@pytest.mark.parametrize("phase", sorted(Phase, key=attrgetter("name")))
def test_an_old_intent_is_declared_again_before_anything_is_sent(phase: Phase) -> None:
    delivery = replace(started(Mode.NEW), phase=phase)
    asked = delivery.next_action(10.5)
    if phase in steps.WRITES:
        assert asked == steps.Declare(SPAN)
        assert delivery.after(steps.Declared(10.5)).next_action(10.5) != steps.Declare(SPAN)
    else:
        assert asked != steps.Declare(SPAN)


@pytest.mark.parametrize(("mode", "then"), [(Mode.NEW, steps.Insert), (Mode.LOOK, steps.Count)])
def test_what_was_never_declared_is_declared_before_anything_else(
    mode: Mode, then: type[steps.Action]
) -> None:
    delivery = Delivery.start(SPAN, OFFSETS, mode, lease=10.0)
    assert delivery.next_action(1.0) == steps.Declare(SPAN)
    assert isinstance(delivery.after(steps.Declared(1.0)).next_action(1.0), then)
    assert delivery.after(steps.Refused()).next_action(1.0) == steps.Quit()


def test_at_least_once_never_declares_and_looks_only_after_a_doubt() -> None:
    delivery = started(Mode.ONCE)
    assert delivery.next_action(1e9) == steps.Insert(SPAN, OFFSETS, 0)
    assert delivery.after(steps.Acknowledged()).next_action(1e9) == steps.Done()
    doubtful = delivery.after(steps.Unsure()).after(steps.Acknowledged())
    assert doubtful.next_action(1e9) == steps.Count(SPAN)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_batch_without_messages_is_done(mode: Mode) -> None:
    delivery = Delivery.start(SPAN, (), mode, lease=10.0)
    assert delivery.next_action(0.0) == steps.Done()


def test_what_the_sql_throws_on_is_left_out_once_it_is_found() -> None:
    """However many there are: the batch, the rest of it, and one insert of dead letters."""
    poison = range(0, 1024, 3)
    thrown = tuple(steps.Thrown(each, f"at {each}", "at") for each in poison)
    left = [each for each in range(1024) if each not in poison and each != 5]
    delivery = Delivery.start(OffsetRange(0, 1024), range(1024), Mode.NEW, lease=1e9, declared=0.0)
    delivery = delivery.after(steps.Rejected("throws"))
    assert delivery.next_action(0.0) == steps.List(OffsetRange(0, 1024))
    delivery = delivery.after(steps.Listed([5], [5], 0))
    assert delivery.next_action(0.0) == steps.Find([each for each in range(1024) if each != 5])
    delivery = delivery.after(steps.Found(thrown))
    assert delivery.next_action(0.0) == steps.Insert(OffsetRange(0, 1024), left, 0, tuple(poison))
    delivery = delivery.after(steps.Acknowledged())
    assert delivery.next_action(0.0) == steps.StoreDeadLetters(thrown, 0)
    assert delivery.after(steps.Acknowledged()).next_action(0.0) == steps.Count(
        OffsetRange(0, 1024)
    )


def test_a_batch_of_nothing_else_has_only_dead_letters() -> None:
    thrown = tuple(steps.Thrown(each, "throws") for each in OFFSETS)
    delivery = started(Mode.NEW).after(steps.Rejected("throws"))
    delivery = delivery.after(steps.Listed([], [], 0)).after(steps.Found(thrown))
    assert delivery.next_action(0.0) == steps.StoreDeadLetters(thrown, 0)


def test_a_message_that_nobody_finds_is_a_dead_letter_only_once_it_fails_alone() -> None:
    """What threw may be one of those that are no more to be sent."""
    delivery = started(Mode.NEW).after(steps.Rejected("throws"))
    delivery = delivery.after(steps.Listed([10, 11], [10, 11], 0))
    assert delivery.next_action(0.0) == steps.Find([13])
    delivery = delivery.after(steps.Found(()))
    assert delivery.next_action(0.0) == steps.Insert(OffsetRange(13, 14), [13], 0)
    assert delivery.after(steps.Acknowledged()).next_action(0.0) == steps.Count(SPAN)
    delivery = delivery.after(steps.Rejected("throws alone")).after(steps.Listed([], [], 0))
    letter = steps.Thrown(13, "throws alone")
    assert delivery.next_action(0.0) == steps.StoreDeadLetters((letter,), 0)


def test_a_message_whose_sql_throws_is_found_by_halving() -> None:
    """Where the server does not say: two inserts a level for one bad message, no more."""
    offsets = tuple(range(1024))
    delivery = Delivery.start(OffsetRange(0, 1024), offsets, Mode.NEW, lease=1e9, declared=0.0)
    stored: list[int] = []
    inserts = 0
    letters = []
    while not isinstance(action := delivery.next_action(0.0), steps.Done):
        match action:
            case steps.Find():
                delivery = delivery.after(steps.Found(()))
            case steps.Insert(_, wanted, _, _):
                inserts += 1
                if 700 in wanted:
                    delivery = delivery.after(steps.Rejected("throws"))
                else:
                    stored += wanted
                    delivery = delivery.after(steps.Acknowledged())
            case steps.List(span):
                inside = [each for each in stored if each in span]
                delivery = delivery.after(steps.Listed(inside, [], 0))
            case steps.StoreDeadLetters(thrown, _):
                letters += [(each.offset, each.error) for each in thrown]
                stored += [each.offset for each in thrown]
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
            case steps.Insert(_, wanted, _, _) if len(wanted) > 2 or 5 in wanted:
                delivery = delivery.after(steps.Rejected("the limit is 2", letter=False))
            case steps.Insert(_, wanted, _, _):
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
