"""Where the dashboard's pages get what no snapshot has. Used by `dashboard_command`.

Everything only reads, and has an end: rows, bytes and seconds are limited here.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from threading import Event, Timer
from typing import TYPE_CHECKING, Any

from nrtctl.cli.query_command import AS_WRITTEN, CELLS, NUMBER
from nrtctl.cli.session import LOOK_PATIENCE, Session
from nrtctl.clickhouse.error_codes import Cause, meaning_of
from nrtctl.errors import ConfigError, QueryError
from nrtctl.stats.connections import Pool, connected
from nrtctl.stats.past import Range, look_back
from nrtctl.view.dashboard.questions import WHERE_IT_IS, Question

if TYPE_CHECKING:
    from nrtctl.clickhouse.client import ClickHouseClient
    from nrtctl.kafka.formats.decoder import ReadText

MOST_LETTERS = 100
MOST_MESSAGES = 200
MOST_TEXT = 64 * 1024
"""Characters of a value that are shown."""

PREVIEW = 200
SECONDS = 8
READING = {"readonly": 2, "max_execution_time": SECONDS, "timeout_overflow_mode": "throw"}
MOST_ROWS = 1000
MOST_BYTES = 4 * 2**20
RUNNING = {
    **AS_WRITTEN,
    "readonly": 1,
    "max_execution_time": SECONDS,
    "max_result_rows": MOST_ROWS + 1,
    "result_overflow_mode": "break",
    "max_memory_usage": 2 * 2**30,
}
"""readonly 1: the statement cannot lift a limit."""

ONLY_READS = "this page only reads, within its limits; `nrtctl query` in a terminal has none"


class Questions:
    """May be asked by several threads at once, each of the pipelines by its name."""

    def __init__(self, session: Session) -> None:
        loaded = session.pipelines
        first = loaded[0]
        self._sessions = {each.pipeline or "": session.of(each) for each in loaded}
        config, state_dir = first.config, first.state_dir
        self._clients = Pool(lambda: connected(config, state_dir, LOOK_PATIENCE))
        database = config.clickhouse.database
        self._within = Pool(lambda: connected(config, state_dir, LOOK_PATIENCE, database))

    def all(self) -> dict[str, Question]:
        """By the name that a page asks for; but for what the dashboard itself adds to."""
        return {
            "letters": Question(self.letters),
            "searched-letters": Question(self.searched_letters, guarded=True),
            "letter": Question(self.letter, guarded=True),
            "messages": Question(self.messages, guarded=True),
            "sql": Question(self.sql, guarded=True, takes_body=True),
        }

    def close(self) -> None:
        self._clients.close()
        self._within.close()

    def look_back(self, pipeline: str, range_: Range) -> dict[str, Any]:
        """As `stats.past.look_back`. Raises NrtctlError: ClickHouse does not say."""
        config = self._sessions[pipeline].config
        with self._clients.borrowed() as client:
            return look_back(client, config.pipeline, config.clickhouse.database, range_)

    def letters(self, pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """The newest dead letters, without what they hold."""
        if asked.get("text"):
            raise ConfigError("a search needs the token", hint=WHERE_IT_IS)
        found = self.searched_letters(pipeline, asked)
        for each in found["letters"]:
            del each["preview"]
        return found

    def searched_letters(self, pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """The newest dead letters with the beginning of their values. Asked: `reason`, and `text`
        that key or value contains."""
        from nrtctl.dead_letters.letters import count_by_reason, newest
        from nrtctl.dead_letters.selection import Selection

        config = self._sessions[pipeline].config
        where, database = config.pipeline, config.clickhouse.database
        reason = asked.get("reason")
        selection = Selection(
            reasons=(reason,) if reason else (), text=asked.get("text") or None, purged=True
        )
        with self._clients.borrowed() as client:
            found = newest(
                client, where, database, selection, MOST_LETTERS, preview=PREVIEW, settings=READING
            )
            reasons = count_by_reason(client, where, database, Selection(purged=True))
        return {"letters": [each.as_dict() for each in found], "reasons": reasons}

    def letter(self, pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """One of them whole, but for a value beyond MOST_TEXT bytes. Asked: `place`, as in
        1/0/1234: incarnation, partition, offset."""
        from nrtctl.cli.dlq_show import letter_as_dict
        from nrtctl.cli.peeked import short, value_lines
        from nrtctl.dead_letters.letters import contents, faults_of, history
        from nrtctl.dead_letters.selection import Selection, parse_letter

        config = self._sessions[pipeline].config
        of, database = config.pipeline, config.clickhouse.database
        try:
            incarnation, partition, offset = parse_letter(asked.get("place", ""))
        except ValueError as error:
            raise ConfigError(str(error)) from error
        here = Selection(partitions=(partition,), offsets=(offset, offset + 1), purged=True)
        where = replace(here, incarnation=incarnation).where(of)
        value = f"substring(value, 1, {MOST_TEXT})"
        with self._clients.borrowed() as client:
            found = contents(client, of, database, where, value=value)
            past = history(client, of, database, incarnation, partition, offset)
            if not found:
                raise ConfigError(
                    f"{partition}/{offset} is no dead letter any more",
                    hint="a replay has made it a row" if past else "look at the list again",
                )
            faults = faults_of(client, of, database, where)
        letter = found[0]
        return {
            **letter_as_dict(of.topic, letter, past, faults),
            "said": [str(each) for each in faults],
            "key": short(letter.key),
            "headers": [[short(name), short(each)] for name, each in letter.headers],
            "value": "\n".join(value_lines(letter.value, "auto")),
        }

    def messages(self, pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """The newest messages of the topic, newest first. Asked: `count`, and a regular expression
        `grep` that key, value or headers have."""
        from nrtctl.cli.peek_command import Peeking, wanted_by
        from nrtctl.cli.topics_command import topic_admin
        from nrtctl.kafka.formats.opening import text_reader

        session = self._sessions[pipeline]
        topic = session.config.pipeline.topic
        read = text_reader(session.addresses.with_registry(session.config))
        peeking = Peeking(
            session,
            topic_admin(session),
            topic,
            count=_count(asked.get("count", "50"), MOST_MESSAGES),
            all=False,
            follow=False,
            wanted=wanted_by(asked.get("grep") or None, [], read),
        )
        stop = Event()
        timer = Timer(SECONDS, stop.set)
        timer.start()
        began = time.monotonic()
        try:
            found = peeking.newest_until(stop)
        finally:
            timer.cancel()
        return {
            "topic": topic,
            "messages": [_message(each, read) for each in reversed(found.messages)],
            "looked": found.looked,
            "whole": not stop.is_set(),
            "seconds": time.monotonic() - began,
        }

    def sql(self, _pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """The rows of a reading statement, MOST_ROWS at most. Asked: the statement as `body`."""
        statement = asked.get("body", "").strip().rstrip(";").rstrip()
        if not statement:
            raise ConfigError("the statement is empty", hint="write one, as in SELECT 1")
        began = time.monotonic()
        try:
            with self._within.borrowed() as client:
                found = _rows(client, statement)
        except QueryError as error:  # of the statement, not of the service
            wanted_more = meaning_of(error).cause is Cause.READ_ONLY
            hint = ONLY_READS if wanted_more else error.hint
            raise ConfigError(error.message, hint=hint) from error
        return {**found, "seconds": time.monotonic() - began}


def _count(text: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= most:
        raise ConfigError(f"count: {text!r} is not between 1 and {most}")
    return int(text)


def _rows(client: ClickHouseClient, statement: str) -> dict[str, Any]:
    """Names, types and rows of its answer, each value as text; null: NULL."""
    blocks = client.stream(statement, CELLS, settings=RUNNING)
    try:
        first = next(blocks, b"")
        if first and first[:1] != b"[":
            raise ConfigError("a FORMAT of its own cannot be shown here", hint="leave it out")
        lines, more = _lines(itertools.chain([first], blocks))
    finally:
        blocks.close()  # type: ignore[attr-defined]
    if not lines:
        return {"names": [], "types": [], "numbers": [], "rows": [], "more": False}
    names, types, *rows = lines
    shown = [[None if each == "ᴺᵁᴸᴸ" else each for each in row] for row in rows[:MOST_ROWS]]
    return {
        "names": names,
        "types": types,
        "numbers": [bool(NUMBER.match(each)) for each in types],
        "rows": shown,
        "more": more or len(rows) > MOST_ROWS,
    }


def _lines(blocks: Iterator[bytes]) -> tuple[list[list[Any]], bool]:
    """Two of names and types, and the rows; whether there are more."""
    lines: list[list[Any]] = []
    size = 0
    for block in blocks:
        lines += map(json.loads, block.split(b"\n")[:-1])
        size += len(block)
        if len(lines) > MOST_ROWS + 2 or size > MOST_BYTES:
            return lines, True
    return lines, False


def _message(message: Any, read: ReadText | None) -> dict[str, Any]:
    from nrtctl.cli.peeked import short, value_lines

    kind, timestamp = message.timestamp()
    value = message.value()
    text = "\n".join(value_lines(value, "auto", read))
    return {
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": timestamp if kind else None,
        "key": short(message.key()),
        "headers": [[name, short(each)] for name, each in message.headers() or ()],
        "size": len(value or b""),
        "value": text,
    }
