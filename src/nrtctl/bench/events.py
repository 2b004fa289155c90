"""The reference events that a benchmark sends, made once.

Used by `bench.ingest` and `bench.produce`.
"""

from __future__ import annotations

from pathlib import Path

from nrtctl.clock import SystemClock
from nrtctl.producer.sources.reference_events import ReferenceEvents

AT_ONCE = 1000


def write_lines(path: Path, count: int, *, keyed: bool = False, seed: int = 1) -> int:
    """`count` events as lines; with `keyed`, each after its key and a tab. Returns the bytes."""
    source = ReferenceEvents(seed, clock=SystemClock())
    with path.open("wb") as file:
        for first in range(0, count, AT_ONCE):
            file.writelines(
                (key or b"") + b"\t" + (value or b"") + b"\n" if keyed else (value or b"") + b"\n"
                for key, value, _, _ in source.take(min(AT_ONCE, count - first))
            )
    return path.stat().st_size
