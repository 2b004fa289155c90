"""Carry out the tries of one lane, in one arena while it is sound, in a new one after trouble."""

from __future__ import annotations

import shutil
import subprocess
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Event

from tests.chaos.arena import Arena, BrokerKind, Style
from tests.chaos.audit import Finding, audit
from tests.chaos.fault import Place, Recovery
from tests.chaos.limits import NeverReached
from tests.chaos.plan import Try

SMALL_DISK = "768m"
"""Of a tmpfs: ClickHouse, Kafka and some segments, and little to fill."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try. `problem`: why it is a failure, beside losses and duplicates."""

    of: Try
    recovery: Recovery | None
    finding: Finding | None
    problem: str = ""

    @property
    def good(self) -> bool:
        return not self.problem and self.finding is not None and self.finding.good


def make_arena(
    directory: Path,
    broker: BrokerKind,
    place: Place,
    *,
    several: bool = False,
    beside: bool = False,
    shards: int = 0,
) -> Arena:
    """Args: several, beside, shards: as of `Style`.

    Raises:
        OSError: the small disk cannot be mounted here (needs root and tmpfs).
    """
    data = directory / "data"
    data.mkdir(parents=True)
    if place == "disk":
        options = f"size={SMALL_DISK}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "nrtctl-chaos", str(data)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise OSError(f"no small disk can be mounted: {done.stderr.strip()}")
    style = Style(
        static=place == "static",
        proxied=place == "proxied",
        several=several,
        beside=beside,
        shards=shards,
    )
    return Arena(directory, data, broker, style)


def remove_arena(directory: Path) -> None:
    """Delete it, and the small disk if it was on one."""
    if (directory / "data").is_mount():
        subprocess.run(["umount", str(directory / "data")], check=False)
    shutil.rmtree(directory, ignore_errors=True)


def attempt(arena: Arena, of: Try) -> Outcome:
    """One try, and the check of everything after it."""
    recovery = None
    try:
        recovery = of.fault.run(arena, Random(of.seed))
        finding = audit(arena)
    except NeverReached as error:
        return Outcome(of, recovery, None, f"the fault never happened: {error}")
    except Exception as error:  # noqa: BLE001
        return Outcome(of, recovery, None, f"{error}\n{traceback.format_exc(limit=4)}")
    finally:
        arena.end_members()
    return Outcome(of, recovery, finding, finding.wrong)


def run_lane(
    root: Path,
    name: str,
    tries: Sequence[Try],
    tell: Callable[[Outcome], None],
    stop: Event,
    *,
    several: bool = False,
    beside: bool = False,
) -> list[Outcome]:
    """The tries of a lane until `stop`, each told when it is done. A bad one leaves its files."""
    outcomes: list[Outcome] = []
    arena: Arena | None = None
    directory = root
    try:
        for number, each in enumerate(tries):
            if stop.is_set():
                break
            if arena is None:
                directory = root / f"{name}-{number}"
                try:
                    arena = make_arena(
                        directory,
                        each.broker,
                        each.fault.place,
                        several=several,
                        beside=beside,
                    )
                except Exception as error:  # noqa: BLE001
                    outcomes.append(Outcome(each, None, None, f"no arena: {error}"))
                    tell(outcomes[-1])
                    remove_arena(directory)
                    continue
            outcomes.append(attempt(arena, each))
            tell(outcomes[-1])
            if not outcomes[-1].good:
                arena.close()
                arena = None
    finally:
        if arena is not None:
            arena.close()
            remove_arena(directory)
    return outcomes
