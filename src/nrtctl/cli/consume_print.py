"""`nrtctl consume -o jsonl`: print the messages instead of storing them."""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.option_values import place_in_log
from nrtctl.cli.streams import stdout_failed
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.cli.consume_command import Limits
    from nrtctl.cli.session import Session


def print_topic(session: Session, offset: str, limits: Limits) -> None:
    """Raises ConfigError: a wrong offset; ConnectError, WaitTimeout, NrtctlError: from Kafka."""
    from nrtctl.clock import SystemClock
    from nrtctl.kafka import clients, positions
    from nrtctl.kafka.printing import print_messages

    config, address = session.config, session.addresses.bootstrap_servers
    topic = config.pipeline.topic
    admin = clients.make_admin(config.kafka, address=address)
    marks = positions.watermarks(
        admin,
        topic,
        address=address,
        timeout=config.kafka.connect_timeout,
    )
    starts = _starts(session, admin, offset, marks)
    ends = {number: high for number, (_, high) in marks.items()}
    stop = threading.Event()
    readers = select.poll()
    readers.register(sys.stdout.fileno(), 0)

    def write(lines: bytes) -> None:
        session.out.raw([lines])
        if stdout_failed():
            stop.set()

    def added(numbers: list[int]) -> None:
        session.say.note(f"{topic} has new partitions: {', '.join(map(str, numbers))}")

    with Interrupts(stop.set, session.say.note):
        done = print_messages(
            config.kafka,
            topic,
            starts,
            write,
            address=address,
            clock=SystemClock(),
            stop=stop,
            ends=ends if limits.until_end else None,
            count=limits.count,
            idle=lambda: not readers.poll(0),
            added=None if limits.until_end else added,
            skip_damaged=limits.skip_damaged,
            warn=session.say.warn,
        )
    session.say.note(
        "`nrtctl peek --offset start --all -o jsonl` prints messages now, or with --follow "
        "instead of --all goes on with new ones; from the next version on, `nrtctl consume "
        "-o jsonl` will store them"
    )
    session.say.note(f"printed {counted(done, 'message')} and stored none")


def _starts(
    session: Session, admin: Any, offset: str, marks: Mapping[int, tuple[int, int]]
) -> dict[int, int]:
    """Partition to the offset that printing begins at; outside the log, its nearer end."""
    from nrtctl.clock import SystemClock
    from nrtctl.kafka.group_offsets import GroupOffsets
    from nrtctl.kafka.offsets import Place
    from nrtctl.kafka.partitions import LogPartition
    from nrtctl.replay.plan import move

    clock, config = SystemClock(), session.config
    point = place_in_log(offset, "--offset", clock)
    at: Mapping[int, int | None] = {}
    if point.place is Place.TIME:
        log = GroupOffsets(
            admin,
            config.consumer.group,
            config.pipeline.topic,
            address=session.addresses.bootstrap_servers,
            timeout=config.kafka.connect_timeout,
            clock=clock,
        )
        at = log.at_time(list(marks), point.value)
    starts = {}
    for number, (low, high) in marks.items():
        entry = LogPartition(number, low, high, low)
        found = move(entry, point, at_time=at.get(number), start="earliest")
        starts[number] = low if found.after is None else found.after
        if found.note:
            session.say.note(f"partition {number}: {found.note}; printing from {starts[number]} on")
    return starts
