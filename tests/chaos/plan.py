"""Which faults are tried, in which arena, in which order. Pure, but for the list of faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.chaos import faults_group, faults_kill, faults_network, faults_servers
from tests.chaos.arena import BrokerKind
from tests.chaos.fault import Fault, Place

OTHERS_EVERY = 50
"""Kills for which each fault that kills nothing is tried once."""


@dataclass(frozen=True, slots=True)
class Try:
    """`seed` decides what the try leaves to chance."""

    fault: Fault
    broker: BrokerKind
    seed: str


Lane = tuple[BrokerKind, Place]


def all_faults() -> list[Fault]:
    modules = (faults_kill, faults_servers, faults_group, faults_network)
    return [fault for module in modules for fault in module.faults()]


def plan(
    kills: int, seed: int, brokers: Sequence[BrokerKind], only: str | None = None
) -> dict[Lane, list[Try]]:
    """The tries of each lane; a lane's share one arena, one after another.

    Every fault has its turn before any has a second one, until `kills` processes are killed. A
    fault that kills nothing is tried once for every 50 kills, at least once if it is asked for.

    Args:
        only: faults whose name contains this.

    Raises:
        ValueError: no fault has such a name.
    """
    known = [fault for fault in all_faults() if only is None or only in fault.name]
    if not known:
        raise ValueError(f"no fault's name contains {only!r}")
    lanes: dict[Lane, list[Try]] = {}
    for broker in brokers:
        rng = Random(f"{seed}/{broker}")
        share = -(-kills // len(brokers))
        chosen = _killers([fault for fault in known if fault.kills], share, rng)
        times = round(share / OTHERS_EVERY) or (1 if only else 0)
        chosen += [fault for fault in known if not fault.kills] * times
        for number, fault in enumerate(chosen):
            lane = lanes.setdefault((broker, fault.place), [])
            lane.append(Try(fault, broker, f"{seed}/{broker}/{number}"))
    return lanes


def _killers(known: Sequence[Fault], kills: int, rng: Random) -> list[Fault]:
    chosen: list[Fault] = []
    while known and kills > 0:
        for fault in rng.sample(known, len(known)):
            if kills <= 0:
                break
            chosen.append(fault)
            kills -= fault.kills
    return chosen
