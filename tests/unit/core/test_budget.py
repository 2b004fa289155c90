"""What the consumers of one process share."""

from __future__ import annotations

import random

from nrtctl.consumer.budget import Budget, alone


def test_the_only_consumer_has_all_of_it() -> None:
    share = alone(max_buffer=100, max_inserts=2)
    assert share.has_room(99)
    assert not share.has_room(100)
    assert [share.free_inserts(each) for each in range(4)] == [2, 1, 0, -1]


def test_one_that_holds_little_may_hold_more_whatever_the_others_hold() -> None:
    greedy, quiet = Budget(max_buffer=100, max_inserts=2, consumers=2).shares
    assert greedy.has_room(74)
    assert not greedy.has_room(75)  # 25 are kept for the other
    assert quiet.has_room(24)
    assert not quiet.has_room(25)
    greedy.give_back()
    assert quiet.has_room(74)


def test_together_they_hold_no_more_than_the_memory_and_a_message_each() -> None:
    chance = random.Random(1)
    for consumers in (1, 2, 3, 20):
        shares = Budget(max_buffer=1000, max_inserts=2, consumers=consumers).shares
        held = [0] * consumers
        for _ in range(5000):
            number = chance.randrange(consumers)
            if shares[number].has_room(held[number]):
                held[number] += 7
            elif chance.random() < 0.1:
                held[number] = 0
            assert sum(held) <= 1000 + 7 * consumers


def test_a_consumer_may_always_have_one_insert_under_way() -> None:
    one, two, three = Budget(max_buffer=100, max_inserts=2, consumers=3).shares
    assert one.free_inserts(0) == 2
    assert one.free_inserts(2) == 0
    assert two.free_inserts(0) == 1
    assert two.free_inserts(1) <= 0
    assert three.free_inserts(0) == 1
    one.give_back()
    assert two.free_inserts(1) == 1


def test_the_clients_queues_are_parts_of_one() -> None:
    assert alone(max_buffer=1, max_inserts=1).queue_kilobytes == 4096
    few, many = (Budget(max_buffer=1, max_inserts=1, consumers=each) for each in (4, 100))
    assert few.queue_kilobytes == 1024
    assert many.queue_kilobytes == 512


def test_who_joins_makes_the_parts_of_the_others_smaller() -> None:
    budget = Budget(max_buffer=100, max_inserts=2, consumers=0)
    first = budget.join()
    assert first.has_room(99)
    second = budget.join()
    assert not first.has_room(75)  # 25 are kept for the other
    assert second.has_room(24)
    assert (first.consumers, first.queue_kilobytes) == (2, 2048)
