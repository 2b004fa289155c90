"""One backlog after the other into a table of its own, each larger in one respect.

Called by `__main__`. Each function returns a `Growth`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.growth.shown import (
    CLICKHOUSE,
    CONSUMER,
    ENGINE_MEMORY,
    MEMORY,
    RATE,
    TOGETHER,
    Growth,
)
from nrtctl.bench.children import Child, peak_memory
from nrtctl.bench.ingest import store_backlog
from nrtctl.bench.scratch import Pipeline, Scratch, scratch_stack
from nrtctl.stack.spawn import FRONT

TOPIC = "growth"
KINDS = ("UInt64", "String", "Float64", "LowCardinality(String)", "DateTime64(3)")
TEXT = '[pipeline]\nfields = { id = "UInt64", text = "String" }\n'
LEAST = 20
"""Messages of a run, however large each is."""
TOLD = {
    TOGETHER: "the CPU each",
    CLICKHOUSE: "ClickHouse's part",
    CONSUMER: "the consumer's",
    MEMORY: "its memory",
}
Say = Callable[[str], None]


def events(amounts: Sequence[int], say: Say) -> Growth:
    """More reference events in the backlog."""
    with scratch_stack(()) as stack:
        points = [(each, _generated(stack, f"events_{each}", each, say)) for each in amounts]
    return Growth("events", points, TOLD)


def fields(amounts: Sequence[int], count: int, say: Say) -> Growth:
    """More fields in each message; a topic, table and stack of their own."""
    points = []
    for amount in amounts:
        kinds = (f'f{n} = "{KINDS[n % len(KINDS)]}"' for n in range(amount))
        with scratch_stack((), f"[pipeline]\nfields = {{ {', '.join(kinds)} }}\n") as stack:
            points.append((amount, _generated(stack, f"fields_{amount}", count, say)))
    return Growth("fields", points, TOLD)


def sizes(amounts: Sequence[int], count: int, volume: int, say: Say) -> Growth:
    """Larger messages: `count`, or as many as `volume` bytes are."""
    points = []
    with scratch_stack((), TEXT) as stack:
        for amount in amounts:
            messages = max(LEAST, min(count, volume // amount))
            lines = stack.directory / "lines.jsonl"
            _write(lines, amount, messages)
            arguments = ("--input", str(lines))
            points.append((amount, _stored(stack, f"bytes_{amount}", messages, arguments, say)))
    return Growth("bytes", points, TOLD)


def workers(amounts: Sequence[int], count: int, say: Say) -> Growth:
    """More processes of the consumer, on the same backlog."""
    with scratch_stack(()) as stack:
        points = []
        for amount in amounts:
            how = ("--workers", str(amount))
            points.append((amount, _generated(stack, f"workers_{amount}", count, say, *how)))
    return Growth("workers", points, {**TOLD, RATE: "the rate"})


def _generated(stack: Scratch, name: str, count: int, say: Say, *how: str) -> dict[str, float]:
    arguments = ("--count", str(count), "--seed", "1")
    return _stored(stack, name, count, arguments, say, *how)


def _stored(
    stack: Scratch, name: str, count: int, arguments: Sequence[str], say: Say, *how: str
) -> dict[str, float]:
    say(f"{name}: sending {count:,} messages")
    with stack.pipeline(topic=f"{TOPIC}_{name}", database=f"growth_{name}") as pipeline:
        pipeline.run("produce", *arguments)
        say(f"{name}: storing them")
        return consumed(pipeline, count, *(how or ("--member",)))


def consumed(pipeline: Pipeline, count: int, *how: str) -> dict[str, float]:
    """What storing the topic's `count` messages costs. The consumer's CPU is without its start."""
    engine = pipeline.scratch.processes[FRONT.name]
    forget_peak(engine)
    memory = 0

    def look(child: Child) -> None:
        nonlocal memory
        memory = max(memory, sum(map(peak_memory, family(child.pid))))

    found = store_backlog(pipeline, count, *how, meanwhile=look)
    own = 1e6 / found["consumer_messages_per_cpu_second"]
    theirs = found["clickhouse_cpu_seconds_per_million"]
    return {
        CLICKHOUSE: theirs,
        CONSUMER: own,
        TOGETHER: theirs + own,
        RATE: found["rate"],
        "rows an insert": found["rows_per_insert"],
        MEMORY: memory / 2**20,
        ENGINE_MEMORY: peak_memory(engine) / 2**20,
    }


def forget_peak(pid: int) -> None:
    """`peak_memory` of the process begins anew."""
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def family(pid: int) -> Iterator[int]:
    """A process and those that it has started, and so on."""
    yield pid
    with suppress(OSError):
        for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from family(int(each))


def _write(path: Path, size: int, count: int) -> None:
    """`count` lines of `size` bytes: a number, and text that compresses as hexadecimal does."""
    rng = random.Random(1)
    pool = rng.randbytes(2 * size + 4096).hex()
    with path.open("w", encoding="ascii") as file:
        for number in range(count):
            line = json.dumps({"id": number, "text": ""})
            start = rng.randrange(len(pool) - size)
            text = pool[start : start + max(0, size - len(line))]
            file.write(f'{line[:-2]}{text}"}}\n')
