"""Connections that are cut, slow, or silent, to Kafka and to ClickHouse."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Literal

from tests.chaos.arena import Arena
from tests.chaos.fault import Fault, Recovery, recovered
from tests.chaos.limits import NeverReached
from tests.plugins.proxy import Proxy

Side = Literal["Kafka", "ClickHouse"]
Misbehave = Callable[[Arena, Proxy, Random], None]


def cut(_arena: Arena, proxy: Proxy, rng: Random) -> None:
    """Several times, at any moment."""
    found = 0
    for _ in range(rng.randint(3, 6)):
        time.sleep(rng.uniform(0.05, 0.5))
        found += proxy.cut()
    if not found:
        raise NeverReached("there was no connection to cut")


def slow(_arena: Arena, proxy: Proxy, rng: Random) -> None:
    """Each piece of data is late, for some seconds."""
    proxy.delay(rng.uniform(0.05, 0.4))
    time.sleep(3)
    proxy.release()


def silent(seconds: tuple[float, float]) -> Misbehave:
    """Nothing gets through; then all of it, late."""

    def misbehave(_arena: Arena, proxy: Proxy, rng: Random) -> None:
        proxy.hold()
        time.sleep(rng.uniform(*seconds))
        proxy.release()

    return misbehave


def answers_lost(arena: Arena, proxy: Proxy, rng: Random) -> None:
    """Inserts land, but their answers do not come; then every connection is cut."""
    arena.wait_for_insert()
    proxy.hold("down")
    time.sleep(rng.uniform(0.5, 7))
    proxy.cut()
    proxy.release()


def requests_late(arena: Arena, proxy: Proxy, rng: Random) -> None:
    """Inserts are held until their senders have given them up, and land then."""
    proxy.hold("up")
    time.sleep(rng.uniform(5.5, 8))
    proxy.release()


def _run(side: Side, misbehave: Misbehave) -> Callable[[Arena, Random], Recovery]:
    def run(arena: Arena, rng: Random) -> Recovery:
        proxy = arena.kafka_proxy if side == "Kafka" else arena.front_proxy
        if proxy is None:
            raise NeverReached("Kafka has no proxy here")
        arena.load(rng, count=5000, rate=1500)
        member = arena.member()
        arena.wait_for_work(member)
        time.sleep(rng.uniform(0, 0.3))
        in_flight = bool(arena.in_flight())
        began = time.monotonic()
        try:
            misbehave(arena, proxy, rng)
        finally:
            proxy.release()
        return recovered(arena, began, in_flight, member)

    return run


def faults() -> list[Fault]:
    both: dict[str, Misbehave] = {
        "connections cut": cut,
        "connections slow": slow,
        "connections silent for 2 to 5 s": silent((2, 5)),
        "connections silent for 8 to 11 s": silent((8, 11)),
    }
    sides: tuple[Side, Side] = ("Kafka", "ClickHouse")
    return [
        *(
            Fault(f"{side}: {name}", "proxied", _run(side, misbehave))
            for side in sides
            for name, misbehave in both.items()
        ),
        Fault("ClickHouse: answers lost", "proxied", _run("ClickHouse", answers_lost)),
        Fault("ClickHouse: inserts late", "proxied", _run("ClickHouse", requests_late)),
    ]
