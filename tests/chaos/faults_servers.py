"""The broker and the ClickHouse front: killed and started again, stopped, out of disk."""

from __future__ import annotations

import os
import signal
import time
from random import Random

from tests.chaos.arena import Arena
from tests.chaos.fault import Fault, Recovery, recovered
from tests.chaos.limits import Trouble
from tests.chaos.member import Member
from tests.plugins.several_shards import SeveralShards

FULL_SECONDS = 4.0


def _inserting(arena: Arena, rng: Random) -> Member:
    """A consumer in the middle of an insert, under a producer that goes on."""
    arena.load(rng, count=4000)
    member = arena.member()
    arena.wait_for_work(member)
    arena.wait_for_insert()
    return member


def front_killed(arena: Arena, rng: Random) -> Recovery:
    """In the middle of an insert, under a consumer and a producer that go on."""
    member = _inserting(arena, rng)
    time.sleep(rng.uniform(0, 0.03))
    began = time.monotonic()
    arena.front.kill()
    in_flight = bool(arena.in_flight())
    time.sleep(rng.uniform(0, 1.5))
    arena.front.start()
    return recovered(arena, began, in_flight, member)


def both_killed(arena: Arena, rng: Random) -> Recovery:
    """The front in the middle of an insert, and the consumer with it."""
    member = _inserting(arena, rng)
    time.sleep(rng.uniform(0, 0.03))
    began = time.monotonic()
    arena.front.kill()
    member.kill()
    in_flight = bool(arena.in_flight())
    arena.front.start()
    return recovered(arena, began, in_flight, arena.member())


def broker_killed(arena: Arena, rng: Random) -> Recovery:
    """Under a producer and a consumer that go on."""
    arena.load(rng, count=5000, rate=2000)
    member = arena.member()
    arena.wait_for_work(member)
    time.sleep(rng.uniform(0, 0.5))
    in_flight = bool(arena.in_flight())
    began = time.monotonic()
    arena.broker.kill()
    time.sleep(rng.uniform(0, 1.5))
    arena.broker.start()
    return recovered(arena, began, in_flight, member)


def disk_full(arena: Arena, rng: Random) -> Recovery:
    """Nothing can be written for a while: neither the log nor the tables. Then there is room."""
    arena.load(rng, count=8000, rate=1500)
    member = arena.member()
    arena.wait_for_work(member)
    in_flight = bool(arena.in_flight())
    filler = arena.data / "filler"
    began = time.monotonic()
    _fill(filler)
    try:
        time.sleep(FULL_SECONDS)
        _top_up(filler)
    finally:
        filler.unlink()
    if arena.kind == "apache" or not _broker_runs(arena):
        # Apache Kafka ends itself when its only log directory has failed, if not quite yet.
        arena.broker.kill()
        arena.broker.start()
    if arena.front.process is None or arena.front.process.poll() is not None:
        raise Trouble("the front did not survive a full disk")
    return recovered(arena, began, in_flight, member)


def _fill(path: os.PathLike[str]) -> None:
    with open(path, "wb", buffering=0) as file:
        block = bytes(1 << 20)
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(block[:size])
            except OSError:
                continue


def _top_up(path: os.PathLike[str]) -> None:
    """What has been deleted meanwhile does not help."""
    with open(path, "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 12))
        except OSError:
            return


def _broker_runs(arena: Arena) -> bool:
    process = arena.broker.process
    return process is not None and process.poll() is None


def shard_killed(arena: Arena, rng: Random) -> Recovery:
    """In the middle of an insert; the others go on."""
    member = _inserting(arena, rng)
    time.sleep(rng.uniform(0, 0.03))
    began = time.monotonic()
    shard = rng.choice(_cluster(arena).shards)
    shard.kill()
    in_flight = bool(arena.in_flight())
    time.sleep(rng.uniform(0, 3))
    shard.start()
    return recovered(arena, began, in_flight, member)


def shard_stopped(arena: Arena, rng: Random) -> Recovery:
    """One that answers nothing for longer than a request waits, and then goes on."""
    member = _inserting(arena, rng)
    began = time.monotonic()
    process = rng.choice(_cluster(arena).shards).process
    if process is None:
        raise Trouble("a shard does not run")
    process.send_signal(signal.SIGSTOP)
    in_flight = bool(arena.in_flight())
    time.sleep(rng.uniform(6, 8))
    process.send_signal(signal.SIGCONT)
    return recovered(arena, began, in_flight, member)


def _cluster(arena: Arena) -> SeveralShards:
    if arena.cluster is None:
        raise Trouble("there are no shards here")
    return arena.cluster


def of_shards() -> list[Fault]:
    """Where ClickHouse is a cluster."""
    return [
        Fault("a shard killed in mid-insert", "static", shard_killed, kills=1),
        Fault("a shard stopped", "static", shard_stopped),
    ]


def faults() -> list[Fault]:
    return [
        Fault("ClickHouse killed in mid-insert", "static", front_killed, kills=1),
        Fault("ClickHouse and consumer killed", "static", both_killed, kills=2),
        Fault("broker killed", "static", broker_killed, kills=1),
        Fault("the disk is full", "disk", disk_full),
    ]
