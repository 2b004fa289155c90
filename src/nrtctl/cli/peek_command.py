"""`nrtctl peek`: look at the messages of a topic. Joins no group, commits and stores nothing."""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.common_options import Partitions, for_any_pipeline
from nrtctl.cli.results import Block, Result, Stream
from nrtctl.cli.session import Session
from nrtctl.cli.topics_command import Topic
from nrtctl.cli.whose import the_topic
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.cli.pattern_search import Search
    from nrtctl.kafka.formats.decoder import ReadText
    from nrtctl.kafka.formats.wire import Headers
    from nrtctl.kafka.newest import Found
    from nrtctl.kafka.topic_admin import TopicAdmin

NEWEST = 10
FORMS = ("auto", "json", "raw", "hex")
Marks = dict[int, tuple[int, int]]


@for_any_pipeline
def peek(
    session: Session,
    topic: Topic = None,
    count: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--count",
            metavar="COUNT",
            min=1,
            help=f"Show this many messages; otherwise {NEWEST}, or all of them with --all "
            "or --follow.",
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Show all messages up to the end of the log.")
    ] = False,
    offset: Annotated[
        str | None,
        typer.Option(
            "--offset",
            metavar="PLACE",
            help="Begin at this place: start, end, 47 (an offset), +3 (after the start), -3 "
            "(before the end), @-1h or @2026-01-01T00:00Z; otherwise show the newest.",
        ),
    ] = None,
    partition: Partitions = None,
    follow: Annotated[
        bool,
        typer.Option("-f", "--follow", help="Go on with messages as they arrive, until Ctrl-C."),
    ] = False,
    grep: Annotated[
        str | None,
        typer.Option(
            "--grep",
            metavar="PATTERN",
            help="Show only messages whose key, value or headers match this regular expression.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help='Show only messages for which this condition is true, as in "user.country = '
            "'DE'\"; may be repeated.",
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="FORM",
            help="In a table, show values as json, raw or hex; auto decides by their content.",
        ),
    ] = "auto",
) -> Result:
    """Show the newest messages of a topic, or those from a given place in the log.

    Joins no consumer group, commits no offset and stores nothing. With -o jsonl each line is a
    whole message, which `nrtctl produce --input -` sends again.
    """
    from nrtctl.cli.peeked import as_text
    from nrtctl.cli.topics_command import topic_admin
    from nrtctl.errors import ConfigError
    from nrtctl.kafka.formats.opening import text_reader
    from nrtctl.kafka.printing import line_of

    if form not in FORMS:
        raise ConfigError(f"--as {form!r} is not known", hint="it can be auto, json, raw or hex")
    if all_ and count is not None:
        raise ConfigError("--all and --count cannot be used together")
    name = the_topic(session, topic)
    reads = session.config.pipeline.reads(name)
    read = text_reader(session.addresses.with_registry(session.config)) if reads else None
    peeking = Peeking(
        session,
        topic_admin(session),
        name,
        count=count,
        all=all_,
        follow=follow,
        wanted=wanted_by(grep, where or [], read),
    )

    def lines() -> Iterator[bytes]:
        for messages in peeking.messages(offset, partition):
            yield b"".join(map(line_of, messages))

    def blocks() -> Iterator[Block]:
        for messages in peeking.messages(offset, partition):
            for message in messages:
                yield as_text(message, form, read if form in {"auto", "json"} else None)

    return Stream(lines, blocks)


def wanted_by(
    grep: str | None, where: list[str], read: ReadText | None
) -> Callable[[Any], bool] | None:
    """Args: read: makes a value JSON; None: it is.

    Raises ConfigError: a pattern or a condition that cannot be read.
    """
    from nrtctl.cli.pattern_search import compiled, searched
    from nrtctl.errors import ConfigError
    from nrtctl.pipeline.condition import Message, holds
    from nrtctl.pipeline.condition_text import parse_condition

    if grep is None and not where:
        return None
    try:
        pattern = None if grep is None else compiled(grep)
        conditions = [parse_condition(each) for each in where]
    except ValueError as error:
        raise ConfigError(str(error)) from error

    def wanted(message: Any) -> bool:
        if pattern is not None and not searched(message, pattern):
            return False
        if not conditions:
            return True
        headers = message.headers()
        value = _as_json(message.value(), headers, read)
        asked = Message.of(value, message.key(), headers or ())
        return all(holds(each, asked) for each in conditions)

    return wanted


def _as_json(value: bytes | None, headers: Headers, read: ReadText | None) -> bytes | None:
    """The value as it is where it cannot be decoded: no JSON, so no condition holds."""
    if read is None or not value:
        return value
    from nrtctl.kafka.formats.wire import Undecodable

    try:
        return read(value, headers)
    except Undecodable:
        return value


@dataclass
class Peeking:
    """One look at a topic."""

    session: Session
    admin: TopicAdmin
    topic: str
    count: int | None
    all: bool
    follow: bool
    wanted: Callable[[Any], bool] | None

    def newest_within(self, search: Search) -> Found:
        """The newest messages that have its pattern, or what there is of them within its time."""
        self._stop = search.stop
        return self._found(self._marks(None), search.having, lambda: True)

    def one_within(self, partition: int, offset: int, search: Search) -> Any:
        """The message there. None: there is none any more, or it has not come within the time.

        Raises ConfigError: the topic has no such partition.
        """
        self._stop = search.stop
        low, high = self._marks([partition])[partition]
        if low <= offset < high:
            starts, ends = {partition: offset}, {partition: offset + 1}
            for messages in self._read(starts, ends, count=1, idle=lambda: True):
                return messages[0]
        return None

    def messages(self, offset: str | None, partitions: list[int] | None) -> Iterator[list[Any]]:
        """Blocks of confluent-kafka's messages; Ctrl-C ends them in order.

        Raises:
            ConfigError: a place or a partition that is none.
        """
        from nrtctl.cli.diagnostics import Interrupts

        marks = self._marks(partitions)
        starts = None if offset is None else self._starts(offset, marks)
        self._stop = threading.Event()
        shown = 0
        with Interrupts(self._stop.set, lambda text: None):
            if starts is not None:
                source = self._forward(starts, marks)
            elif self.all:
                source = self._forward({n: low for n, (low, _) in marks.items()}, marks)
            else:
                source = self._newest(marks)
            for messages in source:
                shown += len(messages)
                yield messages
        matching = " that matches" if self.wanted is not None else ""
        if not shown:
            self.session.say.note(f"topic {self.topic} has no message{matching} there")

    def _marks(self, partitions: list[int] | None) -> Marks:
        from nrtctl.errors import ConfigError

        level = self.session.config.kafka.properties.get("isolation.level", "read_committed")
        marks = self.admin.marks(self.topic, stable=level == "read_committed")
        for number in partitions or ():
            if number not in marks:
                raise ConfigError(
                    f"there is no partition {number}: topic {self.topic!r} has "
                    f"{counted(len(marks), 'partition')}"
                )
        return {number: marks[number] for number in sorted(partitions or marks)}

    def _starts(self, offset: str, marks: Marks) -> dict[int, int]:
        from nrtctl.cli.option_values import place_in_log
        from nrtctl.kafka.offsets import Place, in_log

        point = place_in_log(offset, "--offset", self.session.clock)
        at = {}
        if point.place is Place.TIME:
            at = self.admin.at_time(self.topic, marks, point.value)
        return {n: in_log(point, low, high, at.get(n)) for n, (low, high) in marks.items()}

    def _read(
        self,
        starts: dict[int, int],
        ends: dict[int, int] | None,
        *,
        count: int | None = None,
        wanted: Callable[[Any], bool] | None = None,
        idle: Callable[[], bool] | None = None,
    ) -> Iterator[list[Any]]:
        """Args: idle: as of `read_topic`; None: whether somebody reads stdout."""
        from nrtctl.kafka.printing import read_topic

        session = self.session
        readers = select.poll()
        readers.register(sys.stdout.fileno(), 0)

        def added(numbers: list[int]) -> None:
            session.say.note(f"{self.topic} has new partitions: {', '.join(map(str, numbers))}")

        return read_topic(
            session.config.kafka,
            self.topic,
            starts,
            address=session.addresses.bootstrap_servers,
            clock=session.clock,
            stop=self._stop,
            ends=ends,
            count=count,
            wanted=wanted,
            idle=idle or (lambda: not readers.poll(0)),
            skip_damaged=True,
            warn=session.say.warn,
            added=added if ends is None else None,
        )

    def _forward(self, starts: dict[int, int], marks: Marks) -> Iterator[list[Any]]:
        ends = None if self.follow else {number: high for number, (_, high) in marks.items()}
        count = self.count
        if count is None and not self.follow and not self.all:
            count = NEWEST
        return self._read(starts, ends, count=count, wanted=self.wanted)

    def _found(
        self,
        marks: Marks,
        having: Callable[[list[Any]], list[Any]],
        idle: Callable[[], bool] | None = None,
    ) -> Found:
        from nrtctl.kafka.newest import newest

        return newest(
            marks,
            self.count or NEWEST,
            lambda starts, ends: self._read(dict(starts), dict(ends), idle=idle),
            having,
            stopped=self._stop.is_set,
        )

    def _newest(self, marks: Marks) -> Iterator[list[Any]]:
        wanted = self.wanted or (lambda message: True)
        found = self._found(marks, lambda messages: [each for each in messages if wanted(each)])
        if found.dropped:
            self.session.say.warn(
                "some messages are left out, because the newest ones are too large to hold "
                "in memory together; -n 1 shows one of them, --all all of them"
            )
        if found.messages:
            yield found.messages
        if self.follow and not self._stop.is_set():
            ends = {number: high for number, (_, high) in marks.items()}
            yield from self._read(ends, None, wanted=self.wanted)
