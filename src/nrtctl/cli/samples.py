"""Messages for `nrtctl try` and `nrtctl init`: of files, and of a topic without a group."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.cli.file_options import HowToRead
    from nrtctl.cli.session import Session
    from nrtctl.producer.sample import Taken
    from nrtctl.producer.sources.files import Read, Records
    from nrtctl.producer.sources.files.kinds import Types


def opened(
    session: Session,
    paths: Sequence[str],
    how: HowToRead,
    types: Mapping[str, str] | None = None,
) -> Records:
    """Raises ConfigError: a file cannot be read."""
    import sys

    from nrtctl.producer.sources.files import open_records

    if "-" in paths and sys.stdin.isatty():
        session.say.note("reading messages from the terminal, one per line; press Ctrl-D to finish")
    return open_records(paths, how.reading(), types=types)


def sampled(session: Session, records: Records) -> Taken:
    """The first messages, with a word on what was left out."""
    from nrtctl.cli.reading_progress import ReadingProgress
    from nrtctl.producer.sample import take

    def cells() -> bool:
        return any(found.kind in {"csv", "tsv"} for found in records.found)

    def types() -> Types:
        return {path: kind for found in records.found for path, kind in found.types.items()}

    progress = ReadingProgress(session.say, "reading a sample", records)
    with progress.shown():
        taken = take(progress.of(records), is_cells=cells, types=types)
    if not taken.whole:
        session.say.note(f"the sample is the first {counted(len(taken.messages), 'message')}")
    for example in records.unsendable.examples:
        session.say.warn(example)
    return taken


def newest(session: Session, topic: str, most: int) -> list[Read]:
    """The newest messages of a topic, read without a group; nothing is committed.

    Raises:
        ConfigError: the topic holds no message.
        ConnectError, WaitTimeout, NrtctlError: from Kafka.
    """
    from nrtctl.clock import SystemClock
    from nrtctl.errors import ConfigError
    from nrtctl.kafka import clients, messages, positions
    from nrtctl.kafka.printing import print_messages
    from nrtctl.producer.sources.files import Read

    config, address = session.config, session.addresses.bootstrap_servers
    admin = clients.make_admin(config.kafka, address=address)
    marks = positions.watermarks(
        admin, topic, address=address, timeout=config.kafka.connect_timeout
    )
    share = max(1, most // max(1, len(marks)))
    starts = {number: max(low, high - share) for number, (low, high) in marks.items()}
    found: list[Read] = []

    def keep(lines: bytes) -> None:
        for line in lines.splitlines():
            key, value, extra = messages.decode(line)
            headers, moment = extra.get("headers", ()), extra.get("timestamp")
            found.append(Read(value, key, tuple(headers), moment, topic))  # type: ignore[arg-type]

    print_messages(
        config.kafka,
        topic,
        starts,
        keep,
        address=address,
        clock=SystemClock(),
        stop=threading.Event(),
        ends={number: high for number, (_, high) in marks.items()},
        skip_damaged=True,
        warn=session.say.warn,
    )
    if not found:
        raise ConfigError(
            f"the topic {topic} holds no messages", hint="`nrtctl init --from FILE` reads a file"
        )
    return found
