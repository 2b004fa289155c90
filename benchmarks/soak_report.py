"""What a soak has shown: slopes, bounds and the picture of its samples. Pure but for `picture`.

Called by `benchmarks.soak`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

MB = 1024 * 1024


class Sample(NamedTuple):
    """What is seen at one moment.

    Attributes:
        at: seconds since the start.
        memory: bytes that each process holds.
        descriptors: open files and sockets of each process.
        parts: active parts of the table.
        p99_ms: of the rows of the last seconds, from message to insert; None: there are none.
        rows: of the table.
    """

    at: float
    memory: Mapping[str, int]
    descriptors: Mapping[str, int]
    parts: int
    p99_ms: float | None
    rows: int


def slope(points: Iterable[tuple[float, float]]) -> float:
    """Of the straight line that lies closest to the points (least squares); 0 of fewer than two."""
    known = list(points)
    x, y = (sum(each[axis] for each in known) / max(1, len(known)) for axis in (0, 1))
    spread = sum((each[0] - x) ** 2 for each in known)
    return sum((at - x) * (value - y) for at, value in known) / spread if spread else 0.0


def report(samples: Sequence[Sample]) -> dict[str, Any]:
    """Figures of the last half, but for `p99_ms`: the median of each quarter. Processes that were
    not there in every sample of that half are left out."""
    half = samples[len(samples) // 2 :]
    lasting = [name for name in half[0].memory if all(name in each.memory for each in half)]
    seconds = half[-1].at - half[0].at
    return {
        "seconds": round(samples[-1].at, 1),
        "rows": samples[-1].rows,
        "memory_mb": {name: round(half[-1].memory[name] / MB, 1) for name in lasting},
        "memory_rise_mb": {
            name: round(slope((each.at, each.memory[name]) for each in half) * seconds / MB, 2)
            for name in lasting
        },
        "descriptors": {
            name: [
                min(each.descriptors[name] for each in half),
                max(each.descriptors[name] for each in half),
            ]
            for name in lasting
        },
        "most_parts": max(each.parts for each in samples),
        "p99_ms": [_p99(quarter) for quarter in _quarters(samples)],
    }


def _quarters(samples: Sequence[Sample]) -> list[Sequence[Sample]]:
    bounds = [len(samples) * quarter // 4 for quarter in range(5)]
    return [samples[start:end] for start, end in pairwise(bounds)]


def _p99(samples: Sequence[Sample]) -> float | None:
    known = [each.p99_ms for each in samples if each.p99_ms is not None]
    return round(median(known), 1) if known else None


def picture(samples: Sequence[Sample], kills: Sequence[float], file: Path) -> None:
    """Write an SVG: memory, p99 and parts over minutes, with a mark at each kill."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    memory, delay, parts = figure.subplots(3, 1, sharex=True)
    minutes = [each.at / 60 for each in samples]
    for name in dict.fromkeys(name for each in samples for name in each.memory):
        values = [each.memory.get(name, float("nan")) / MB for each in samples]
        memory.plot(minutes, values, label=name)
    memory.set_ylabel("memory, MB")
    memory.set_ylim(bottom=0)
    memory.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    nothing = float("nan")
    delay.plot(minutes, [nothing if each.p99_ms is None else each.p99_ms for each in samples])
    delay.set_ylabel("p99 to the insert, ms")
    delay.set_ylim(bottom=0)
    parts.plot(minutes, [each.parts for each in samples])
    parts.set_ylabel("active parts")
    parts.set_ylim(bottom=0)
    parts.set_xlabel("minutes; each grey line is a kill")
    for axes in (memory, delay, parts):
        for at in kills:
            axes.axvline(at / 60, color="0.85", linewidth=1, zorder=0)
    figure.savefig(file, format="svg", metadata={"Date": None})
