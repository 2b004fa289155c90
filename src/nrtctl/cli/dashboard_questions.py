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
from typing import TYPE_CHECKING, Any

from nrtctl.cli.dashboard_fixes import Fixes, replay_words, selected
from nrtctl.cli.dashboard_rows import SECONDS, rows_of
from nrtctl.cli.session import LOOK_PATIENCE, Session
from nrtctl.clickhouse.error_codes import Cause, meaning_of
from nrtctl.errors import ConfigError, QueryError, WaitTimeout
from nrtctl.stats.connections import Pool
from nrtctl.stats.past import Range, look_back
from nrtctl.view.dashboard.questions import MOST_FIX, WHERE_IT_IS, Question

if TYPE_CHECKING:
    from nrtctl.cli.peek_command import Peeking
    from nrtctl.kafka.formats.decoder import ReadText

MOST_LETTERS = 100
MOST_MESSAGES = 200
PREVIEW = 200
LISTED = 4096
"""Of a message that is one of many: characters of its value, and bytes of its key and headers."""
SHOWING = 1.0
"""Of SECONDS, what is left for making the messages that were read readable."""
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
            "message": Question(self.message, guarded=True),
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
        """The newest messages of the topic, newest first, of large ones the beginning. Asked:
        `count`, and a regular expression `grep` that key, value or headers have."""
        from nrtctl.cli.pattern_search import Search

        began = time.monotonic()
        count = _count(asked.get("count", "50"), MOST_MESSAGES)
        peeking, read = self._peeking(pipeline, count)
        with Search(asked.get("grep") or None, SECONDS - SHOWING) as search:
            found = peeking.newest_within(search)
        until = began + SECONDS
        return {
            "topic": peeking.topic,
            "messages": [
                listed(each, read, late=time.monotonic() > until)
                for each in reversed(found.messages)
            ],
            "looked": found.looked,
            "whole": not search.stop.is_set(),
            "slow": search.slow,
            "seconds": time.monotonic() - began,
        }

    def message(self, pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """One of them whole, but for a value beyond `peeked.LONGEST`. Asked: `place`, as in
        0/1234."""
        from nrtctl.cli.pattern_search import Search

        place = asked.get("place", "")
        if not re.fullmatch(r"[0-9]{1,9}/[0-9]{1,18}", place):
            raise ConfigError(f"place: {place!r} is no partition and offset, as in 0/1234")
        partition, offset = map(int, place.split("/"))
        peeking, read = self._peeking(pipeline, 1)
        with Search(None, SECONDS) as search:
            found = peeking.one_within(partition, offset, search)
        if found is None and search.stop.is_set():
            raise WaitTimeout(f"Kafka has not sent message {place} within {SECONDS} s")
        if found is None:
            raise ConfigError(f"Kafka no longer has message {place}", hint="read the list again")
        return message_as_dict(found, read)

    def _peeking(self, pipeline: str, count: int) -> tuple[Peeking, ReadText | None]:
        """And what makes its values JSON."""
        from nrtctl.cli.peek_command import Peeking
        from nrtctl.cli.topics_command import topic_admin
        from nrtctl.kafka.formats.opening import text_reader

        session = self._sessions[pipeline]
        peeking = Peeking(
            session,
            topic_admin(session),
            session.config.pipeline.topic,
            count=count,
            all=False,
            follow=False,
            wanted=None,
        )
        return peeking, text_reader(session.addresses.with_registry(session.config))

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


def beginning(value: bytes | None, most: int = MOST_FIX) -> tuple[bytes | None, bool, str | None]:
    """`most` bytes of a value, not cut within a character; whether it has more; all of it, where
    it is text."""
    if value is None:
        return None, False, None
    cut = len(value) > most
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(value[:most], final=not cut)
    except UnicodeDecodeError:
        return value[:most], cut, None
    return text.encode(), cut, None if cut else text


def _count(text: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= most:
        raise ConfigError(f"count: {text!r} is not between 1 and {most}")
    return int(text)


def listed(message: Any, read: ReadText | None, *, late: bool) -> dict[str, Any]:
    """One of many messages; of a large one the beginning, and `cut` is true.

    Args: late: there is no time left to decode it by `read`.
    """
    from nrtctl.cli.peeked import short, value_lines

    value, headers = message.value(), message.headers() or ()
    beside = len(message.key() or b"") + sum(len(n) + len(each or b"") for n, each in headers)
    large = len(value or b"") > LISTED if read is None else late
    if large:
        text = "\n".join(value_lines(beginning(value, LISTED)[0], "auto"))
    else:
        text = "\n".join(value_lines(value, "auto", read, headers))
    cut = large or len(text) > LISTED or beside > LISTED
    return {
        **_place_of(message),
        "key": short(message.key())[:LISTED],
        "headers": [] if cut else _headers_of(message),
        "value": text[:LISTED],
        "cut": cut,
    }


def message_as_dict(message: Any, read: ReadText | None) -> dict[str, Any]:
    from nrtctl.cli.peeked import short, value_lines

    text = "\n".join(value_lines(message.value(), "auto", read, message.headers()))
    return {
        **_place_of(message),
        "key": short(message.key()),
        "headers": _headers_of(message),
        "value": text,
    }


def _place_of(message: Any) -> dict[str, Any]:
    kind, timestamp = message.timestamp()
    return {
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": timestamp if kind else None,
        "size": len(message.value() or b""),
    }


def _headers_of(message: Any) -> list[list[str]]:
    from nrtctl.cli.peeked import short

    return [[name, short(each)] for name, each in message.headers() or ()]
