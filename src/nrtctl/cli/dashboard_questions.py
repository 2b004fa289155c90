"""Where the dashboard's pages get what no snapshot has. Used by `dashboard_command`.

Everything has an end: rows, bytes and seconds are limited. What is asked here only reads; what
changes something is in `dashboard_fixes`.
"""

from __future__ import annotations

import codecs
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from threading import Event, Timer
from typing import TYPE_CHECKING, Any

from nrtctl.cli.dashboard_fixes import Fixes, replay_words, selected
from nrtctl.cli.dashboard_rows import SECONDS, rows_of
from nrtctl.cli.session import LOOK_PATIENCE, Session
from nrtctl.clickhouse.error_codes import Cause, meaning_of
from nrtctl.errors import ConfigError, QueryError
from nrtctl.stats.connections import Pool
from nrtctl.stats.past import Range, look_back
from nrtctl.view.dashboard.questions import MOST_FIX, WHERE_IT_IS, Question

if TYPE_CHECKING:
    from nrtctl.kafka.formats.decoder import ReadText

MOST_LETTERS = 100
MOST_MESSAGES = 200
PREVIEW = 200
READING = {"readonly": 2, "max_execution_time": SECONDS, "timeout_overflow_mode": "throw"}
ONLY_READS = "this page is read-only and limited; `nrtctl query` in a terminal is not"


class Questions:
    """May be asked by several threads at once, each of the pipelines by its name."""

    def __init__(self, session: Session) -> None:
        loaded = session.pipelines
        first = loaded[0]
        self._sessions = {each.pipeline or "": session.of(each) for each in loaded}
        asked, database = session.of(first), first.config.clickhouse.database
        self._clients = Pool(lambda: asked.clickhouse(timeout=LOOK_PATIENCE))
        self._within = Pool(lambda: asked.clickhouse(database, timeout=LOOK_PATIENCE))
        self._fixes = Fixes(self._sessions)

    def all(self) -> dict[str, Question]:
        """By the name that a page asks for; but for what the dashboard itself adds to."""
        return {
            "letters": Question(self.letters),
            "searched-letters": Question(self.searched_letters, guarded=True),
            "letter": Question(self.letter, guarded=True),
            "messages": Question(self.messages, guarded=True),
            "sql": Question(self.sql, guarded=True, takes_body=True),
            **self._fixes.all(),
        }

    def close(self) -> None:
        self._clients.close()
        self._within.close()
        self._fixes.close()

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
        """One of them whole, but for a value beyond MOST_FIX bytes. Asked: `place`, as in
        1/0/1234: incarnation, partition, offset."""
        from nrtctl.cli.dlq_show import letter_as_dict
        from nrtctl.cli.peeked import short, value_lines
        from nrtctl.dead_letters.letters import contents, faults_of, history, incarnations_of

        config = self._sessions[pipeline].config
        of, database = config.pipeline, config.clickhouse.database
        here = selected(asked, purged=True)
        where, partition, offset = here.where(of), here.partitions[0], (here.offsets or (0,))[0]
        value = f"substring(value, 1, {MOST_FIX + 1})"
        with self._clients.borrowed() as client:
            found = contents(client, of, database, where, value=value)
            past = history(client, of, database, here.incarnation, partition, offset)
            alike = replace(here, incarnation=None, purged=False)
            topics = incarnations_of(client, of, database, alike)
            if not found:
                raise ConfigError(
                    f"{partition}/{offset} is no longer a dead letter",
                    hint="a replay turned it into a row" if past else "look at the list again",
                )
            faults = faults_of(client, of, database, where)
        letter = found[0]
        shown, cut, text = beginning(letter.value)
        name = pipeline if len(self._sessions) > 1 else ""
        return {
            **letter_as_dict(of.topic, letter, past, faults),
            "said": [str(each) for each in faults],
            "key": short(letter.key),
            "headers": [[short(name), short(each)] for name, each in letter.headers],
            "value": "\n".join(value_lines(shown, "auto")),
            "cut": cut,
            "text": text,
            "replay": shlex.join(replay_words(here, name, several=len(topics) > 1)),
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
                found = rows_of(client, statement)
        except QueryError as error:  # of the statement, not of the service
            wanted_more = meaning_of(error).cause is Cause.READ_ONLY
            hint = ONLY_READS if wanted_more else error.hint
            raise ConfigError(error.message, hint=hint) from error
        return {**found, "seconds": time.monotonic() - began}


def beginning(value: bytes | None) -> tuple[bytes | None, bool, str | None]:
    """MOST_FIX bytes of a value, not cut within a character; whether it has more; all of it, where
    it is text."""
    if value is None:
        return None, False, None
    cut = len(value) > MOST_FIX
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(value[:MOST_FIX], final=not cut)
    except UnicodeDecodeError:
        return value[:MOST_FIX], cut, None
    return text.encode(), cut, None if cut else text


def _count(text: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= most:
        raise ConfigError(f"count: {text!r} is not between 1 and {most}")
    return int(text)


def _message(message: Any, read: ReadText | None) -> dict[str, Any]:
    from nrtctl.cli.peeked import short, value_lines

    kind, timestamp = message.timestamp()
    value = message.value()
    text = "\n".join(value_lines(value, "auto", read, message.headers()))
    return {
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": timestamp if kind else None,
        "key": short(message.key()),
        "headers": [[name, short(each)] for name, each in message.headers() or ()],
        "size": len(value or b""),
        "value": text,
    }
