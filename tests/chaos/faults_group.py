"""Members that come and go, and members that sleep until the group believes them dead."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from tests.chaos.arena import Arena
from tests.chaos.fault import Fault, Recovery, recovered
from tests.chaos.limits import wait_until
from tests.chaos.member import Member

SESSION = 6.0
ASLEEP = SESSION + 3.0


def zombie(point: str | None) -> Callable[[Arena, Random], Recovery]:
    """A member is stopped (at `point`, or anywhere), another takes over and finishes; then the
    first wakes up, with whatever it had in hand."""

    def run(arena: Arena, rng: Random) -> Recovery:
        arena.load(rng, count=4000)
        fault = None if point is None else f"{point}={rng.randint(1, 4)}:stop"
        sleeper = arena.member(fault=fault)
        if fault is None:
            arena.wait_for_work(sleeper)
            time.sleep(rng.uniform(0, 0.5))
            sleeper.stop()
        else:
            sleeper.wait_until_stopped()
        began = time.monotonic()
        in_flight = bool(arena.in_flight())
        other = arena.member(instance="second")
        ends = arena.kafka.ends()
        wait_until(lambda: arena.past(ends), "the other member takes over and stores everything")
        seconds = time.monotonic() - began
        time.sleep(max(0.0, began + ASLEEP - time.monotonic()))
        arena.load(rng, count=1000)
        sleeper.go_on()
        time.sleep(rng.uniform(0, 2))
        recovered(arena, began, in_flight, sleeper, other)
        return Recovery(seconds, in_flight)

    return run


def drowsy(arena: Arena, rng: Random) -> Recovery:
    """A member sleeps between its intent and its insert for longer than its session."""
    arena.load(rng, count=4000)
    fault = f"intent-declared={rng.randint(1, 4)}:sleep:{ASLEEP}"
    sleeper = arena.member(fault=fault)
    arena.wait_for_work(sleeper)
    began = time.monotonic()
    in_flight = bool(arena.in_flight())
    return recovered(arena, began, in_flight, sleeper, arena.member(instance="second"))


def coming_and_going(arena: Arena, rng: Random) -> Recovery:
    """One to three members under load: each second one joins, leaves, or is killed."""
    arena.load(rng, count=15_000, rate=1500)
    members = [arena.member(instance="0")]
    arena.wait_for_work(members[0])
    leaving: list[Member] = []
    for number in range(1, 9):
        what = rng.choice(["join", "join", "leave", "kill"])
        if what == "join" or len(members) == 1:
            if len(members) < 3:
                members.append(arena.member(instance=str(number)))
        else:
            gone = members.pop(rng.randrange(len(members)))
            if what == "kill":
                gone.kill()
            else:
                gone.interrupt()
                leaving.append(gone)
        time.sleep(rng.uniform(0.5, 1.5))
    began = time.monotonic()
    in_flight = bool(arena.in_flight())
    for member in leaving:
        member.wait_for_end()
    return recovered(arena, began, in_flight, *members)


def faults() -> list[Fault]:
    points = ("intent-sent", "intent-declared", "insert-sending", "insert-answered")
    return [
        Fault("stopped until a zombie", "proxied", zombie(None)),
        *(Fault(f"stopped at {each} until a zombie", "proxied", zombie(each)) for each in points),
        Fault("asleep between intent and insert", "proxied", drowsy),
        Fault("members join and leave", "proxied", coming_and_going),
    ]
