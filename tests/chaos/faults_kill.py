"""A consumer killed with SIGKILL: at each fault point, at random times, many times in a row."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

from nrtctl.store.faultpoints import POINTS
from tests.chaos.arena import Arena
from tests.chaos.fault import Fault, Place, Recovery, recovered

Kill = Callable[[Arena, Random], None]
"""Brings a consumer to its death, with a producer beside it."""


def at(point: str) -> Kill:
    """In the middle of the stream, at the first to fourth time that it gets there."""

    def kill(arena: Arena, rng: Random) -> None:
        arena.load(rng)
        arena.member(fault=f"{point}={rng.randint(1, 4)}").wait_for_fault()

    return kill


def assigned(arena: Arena, rng: Random) -> None:
    """The second owner of a batch dies before it has begun with it."""
    at("insert-sending")(arena, rng)
    arena.member(fault="assigned=1").wait_for_fault()


def resolving(point: str) -> Kill:
    """A batch is left by a first victim; its successor dies as it resolves it."""

    def kill(arena: Arena, rng: Random) -> None:
        at(rng.choice(["insert-sending", "insert-answered"]))(arena, rng)
        arena.member(fault=f"{point}=1").wait_for_fault()

    return kill


def deleting(arena: Arena, rng: Random) -> None:
    """A batch is left stored, then doubled behind everybody's back; its successor clears it."""
    at("insert-answered")(arena, rng)
    for partition, start in arena.in_flight().items():
        arena.front.sql(
            "INSERT INTO nrt.events SELECT * FROM nrt.events "
            f"WHERE _partition = {partition} AND _offset >= {start} "
            "SETTINGS insert_deduplicate = 0"
        )
    arena.member(fault="delete-answered=1").wait_for_fault()


def trapped(point: str) -> Kill:
    """Among the messages are some on which the pipeline's SQL throws."""

    def kill(arena: Arena, rng: Random) -> None:
        arena.load(rng, traps=3)
        arena.member(fault=f"{point}={rng.randint(1, 2)}").wait_for_fault()

    return kill


def idle(point: str) -> Kill:
    """The stream pauses: nothing is under way, and that is what is committed."""

    def kill(arena: Arena, rng: Random) -> None:
        arena.load(rng, count=600)
        arena.member(fault=f"{point}=1").wait_for_fault()

    return kill


def revoking(point: str) -> Kill:
    """Another member joins, and the first dies as it hands over. The other stays."""

    def kill(arena: Arena, rng: Random) -> None:
        arena.load(rng, count=6000, rate=2000)
        victim = arena.member(fault=f"{point}=1")
        arena.wait_for_work(victim)
        arena.member()
        victim.wait_for_fault()

    return kill


def closing(arena: Arena, rng: Random) -> None:
    """It dies in the middle of its own orderly end."""
    arena.load(rng)
    victim = arena.member(fault="closing=1")
    arena.wait_for_work(victim)
    victim.interrupt()
    victim.wait_for_fault()


def at_random(arena: Arena, rng: Random) -> None:
    """It may not have joined yet, or be in the middle of anything."""
    arena.load(rng, count=6000, rate=2000)
    victim = arena.member()
    if rng.random() < 0.9:
        arena.wait_for_work(victim)
    time.sleep(rng.uniform(0, 0.8))
    victim.kill()


def eight_times(arena: Arena, rng: Random) -> None:
    """Killed at random, started again, eight times, with nobody looking in between."""
    arena.load(rng, count=8000)
    for _ in range(8):
        victim = arena.member()
        time.sleep(rng.uniform(0.8, 2.0))
        victim.kill()


SPECIAL: dict[str, Kill] = {
    "assigned": assigned,
    "probe-answered": resolving("probe-answered"),
    "repeat-sending": resolving("repeat-sending"),
    "delete-answered": deleting,
    "bisect-answered": trapped("bisect-answered"),
    "dead-letter-answered": trapped("dead-letter-answered"),
    "idle-commit-sent": idle("idle-commit-sent"),
    "idle-committed": idle("idle-committed"),
    "revoke-begun": revoking("revoke-begun"),
    "revoke-ended": revoking("revoke-ended"),
    "closing": closing,
}
TWO_VICTIMS = ("assigned", "probe-answered", "repeat-sending", "delete-answered")
KILLS: dict[str, Kill] = {point: SPECIAL.get(point) or at(point) for point in POINTS}


def then_recover(kill: Kill) -> Callable[[Arena, Random], Recovery]:
    """After the kill a successor is started, unless another member is there already."""

    def run(arena: Arena, rng: Random) -> Recovery:
        kill(arena, rng)
        began = time.monotonic()
        in_flight = bool(arena.in_flight())
        alive = [member for member in arena.members if member.alive]
        return recovered(arena, began, in_flight, *(alive or [arena.member()]))

    return run


def _fault(name: str, kill: Kill, place: Place, kills: int = 1) -> Fault:
    return Fault(name, place, then_recover(kill), kills)


def faults() -> list[Fault]:
    """With static members where one process follows another, and with dynamic ones too."""
    found = []
    for point, kill in KILLS.items():
        kills = 2 if point in TWO_VICTIMS else 1
        if not point.startswith("revoke"):
            found.append(_fault(f"kill at {point}", kill, "static", kills))
        found.append(_fault(f"kill at {point}, dynamic member", kill, "proxied", kills))
    return [
        *found,
        _fault("kill at random", at_random, "static"),
        _fault("kill at random, dynamic member", at_random, "proxied"),
        _fault("kill 8 times in a row", eight_times, "static", 8),
    ]
