"""`nrtctl consume -o jsonl`: print the messages instead of storing them."""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nrtctl.cli.diagnostics import Interrupts

if TYPE_CHECKING:
    from nrtctl.cli.options import Session


def print_topic(session: Session, offset: str, count: int | None, *, until_end: bool) -> None:
    """Raises ConfigError: a wrong offset; ConnectError, WaitTimeout, NrtctlError: from Kafka."""
    from nrtctl import kafka
    from nrtctl.clock import SystemClock
    from nrtctl.printing import print_messages

    config, address = session.config, session.addresses.bootstrap_servers
    topic = config.pipeline.topic
    marks = kafka.watermarks(
        kafka.make_admin(config.kafka, address=address),
        topic,
        address=address,
        timeout=config.kafka.connect_timeout,
    )
    starts = _starts(session, offset, marks)
    stop = threading.Event()
    readers = select.poll()
    readers.register(sys.stdout.fileno(), 0)

    def write(lines: bytes) -> None:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()

    with Interrupts(stop.set, session.say.note):
        done = print_messages(
            config.kafka,
            topic,
            starts,
            write,
            address=address,
            clock=SystemClock(),
            stop=stop,
            ends={number: high for number, (_, high) in marks.items()} if until_end else None,
            count=count,
            idle=lambda: not readers.poll(0),
        )
    session.say.note(f"{done:,} messages printed, none stored")


def _starts(session: Session, offset: str, marks: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """Partition to the offset that printing begins at; where the log begins later, there."""
    from nrtctl.errors import ConfigError

    if offset in {"start", "end"}:
        return {number: low if offset == "start" else high for number, (low, high) in marks.items()}
    if not offset.isascii() or not offset.isdigit():
        raise ConfigError(
            f"--offset {offset!r} is none", hint="write start, end, or a number, as in --offset 17"
        )
    wanted = int(offset)
    for number, (low, high) in marks.items():
        if wanted < low:
            session.say.note(f"partition {number} begins at offset {low}: what was before is gone")
        elif wanted > high:
            session.say.note(f"partition {number} ends at offset {high}: printing what comes then")
    return {number: min(max(wanted, low), high) for number, (low, high) in marks.items()}
