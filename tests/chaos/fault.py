"""What a fault is to the rest: a name, what it needs, and what is done in one try."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.chaos.arena import Arena
from tests.chaos.limits import Hang, wait_until
from tests.chaos.member import Member

Place = Literal["static", "proxied", "disk"]
"""The arena a fault needs: with static members; with dynamic ones and proxies; on a small disk."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What came of a try.

    Attributes:
        seconds: from the fault until everything that Kafka held when the fault was over was
            stored and its offsets committed.
        in_flight: whether a declared batch was under way right after the fault.
    """

    seconds: float
    in_flight: bool


@dataclass(frozen=True, slots=True)
class Fault:
    """`kills`: processes that one try kills with SIGKILL."""

    name: str
    place: Place
    run: Callable[[Arena, Random], Recovery]
    kills: int = 0


Log = Mapping[int, tuple[int, int]]


def recovered(arena: Arena, began: float, in_flight: bool, *members: Member) -> Recovery:
    """Wait until `members` have stored what Kafka holds now, then let them finish all of it.

    Args:
        began: when the fault was (monotonic seconds).

    Raises:
        Hang: with the stack of every thread of every member.
        Trouble: a member or a producer did not end as it should.
    """
    ends = arena.kafka.ends()
    try:
        wait_until(lambda: arena.past(ends), "the batches before the fault are stored")
        seconds = time.monotonic() - began
        arena.loaded()
        wait_until(arena.drained, "everything is stored")
    except Hang as error:
        said = "\n".join(member.dump() for member in members)
        state = f"committed {arena.kafka.committed()}\nlog {arena.kafka.ends()}"
        raise Hang(f"{error}\n{state}\n{said}") from None
    for member in members:
        member.interrupt()
    for member in members:
        member.wait_for_end()
    return Recovery(seconds, in_flight)
