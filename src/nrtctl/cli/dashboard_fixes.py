"""A dead letter mended on its page: the fix is tried, and then the letter is sent again. Used by
`dashboard_questions`.

Both are what `nrtctl dlq replay` does with the one letter, without and with `--execute`. A replay
that a page does not wait for any longer ends as one that is killed: nothing is lost or doubled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from nrtctl.cli.dashboard_rows import RUNNING, SECONDS, rows_of
from nrtctl.cli.dlq_replaying import alone, replayed
from nrtctl.cli.session import LOOK_PATIENCE, Session
from nrtctl.errors import ConfigError, WaitTimeout
from nrtctl.stack.addresses import Addresses
from nrtctl.stats.connections import Pool
from nrtctl.view.dashboard.questions import MOST_FIX, Question

if TYPE_CHECKING:
    from nrtctl.clickhouse.client import ClickHouseClient
    from nrtctl.dead_letters.replay import Report
    from nrtctl.dead_letters.selection import Selection

REPLAY_SECONDS = 30.0
MOST_ROWS = 20
"""Of one message that are shown."""

NOTHING_LOST = "nothing is lost: try again, and `nrtctl dlq list` says what there is"


class Fixes:
    """May be asked by several threads at once. Args: sessions: of the pipelines by their names."""

    def __init__(self, sessions: Mapping[str, Session]) -> None:
        self._sessions = sessions
        session = next(iter(sessions.values()))
        config, limits = session.config, {"max_execution_time": SECONDS}
        settings = {**config.clickhouse.settings, **limits}
        clickhouse = config.clickhouse.model_copy(update={"settings": settings})
        limited = config.model_copy(update={"clickhouse": clickhouse})
        state_dir = session.loaded.state_dir
        self._clients = Pool(
            lambda: Addresses(limited, state_dir).clickhouse_client(timeout=LOOK_PATIENCE)
        )

    def all(self) -> dict[str, Question]:
        """By the name that a page asks for."""
        return {
            "try-letter": Question(self.tried, guarded=True, takes_body=True),
            "replay-letter": Question(self.replayed, guarded=True, takes_body=True),
        }

    def close(self) -> None:
        self._clients.close()

    def tried(self, pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """What the pipeline would make of a letter. Asked: `place`, as in 1/0/1234: incarnation,
        partition, offset; `how` and `body`: the fix, as `fix_of` has it."""
        from nrtctl.dead_letters.judging import SETTINGS
        from nrtctl.dead_letters.outlook import outlook
        from nrtctl.kafka.formats.opening import patient_decoder

        session, here = self._sessions[pipeline], selected(asked)
        fix, note = fix_of(asked)
        config, patience = session.config, Patience(SECONDS)
        with self._clients.borrowed() as client:
            report = self._replayed(session, here, fix, note, client, patience, execute=False)
            told: dict[str, Any] = {"fate": fate(report), "table": config.pipeline.table}
            if told["fate"] not in {"stored", "rejected"}:
                return told
            found = outlook(
                client,
                config.pipeline,
                config.clickhouse.database,
                here,
                fix=fix,
                cluster=config.clickhouse.cluster,
                decode=patient_decoder(
                    session.addresses.with_registry(config), session.clock, patience.waiting
                ),
            )
            if found is None:
                return {**told, "fate": "gone"}
            if (why := found.rejection) is not None:
                faults = [str(each) for each in found.faults]
                shown = {"reason": why.reason, "field": why.field, "error": why.error}
                return {**told, "fate": "rejected", **shown, "faults": faults}
            rows = rows_of(client, found.rows, {**SETTINGS, **RUNNING})
        more = rows["more"] or len(rows["rows"]) > MOST_ROWS
        told |= {"names": rows["names"], "rows": rows["rows"][:MOST_ROWS], "more": more}
        return {**told, "varying": found.varying}

    def replayed(self, pipeline: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """Send a letter through the pipeline again, and say what has become of it. Asked: as of
        `tried`."""
        session, here = self._sessions[pipeline], selected(asked)
        fix, note = fix_of(asked)
        patience = Patience(REPLAY_SECONDS)
        with alone(session), closing(session.clickhouse()) as client:
            report = self._replayed(session, here, fix, note, client, patience, execute=True)
        reason = next(iter(report.rejected), "")
        return {"fate": fate(report), "table": session.config.pipeline.table, "reason": reason}

    def _replayed(
        self,
        session: Session,
        here: Selection,
        fix: str,
        note: str,
        client: ClickHouseClient,
        patience: Patience,
        *,
        execute: bool,
    ) -> Report:
        from nrtctl.dead_letters.letters import check_tables

        check_tables(client, session.config.pipeline, session.config.clickhouse.database)
        try:
            return replayed(
                session,
                here,
                fix,
                note,
                execute=execute,
                storage=client,
                waiting=patience.waiting,
                sleep=patience.sleep,
            )
        except ConfigError as error:  # a page has no options
            raise ConfigError(error.message.removeprefix("--fix: "), hint=error.hint) from error


class Patience:
    """What a page waits for, for some seconds from now."""

    def __init__(
        self,
        seconds: float,
        *,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds = seconds
        self._now = now
        self._pause = pause
        self._end = now() + seconds

    def waiting(self, reason: str, seconds: float) -> None:
        """Before a wait. Raises WaitTimeout: it would be too long."""
        if self._now() + seconds > self._end:
            raise WaitTimeout(f"not done within {self._seconds:g} s: {reason}", hint=NOTHING_LOST)

    def sleep(self, seconds: float) -> None:
        """Raises WaitTimeout, as `waiting`."""
        self.waiting("ClickHouse still removes the dead letter", seconds)
        self._pause(seconds)


def selected(asked: Mapping[str, str], *, purged: bool = False) -> Selection:
    """The letter of `place`. Raises ConfigError: it names none."""
    from nrtctl.dead_letters.selection import one_letter, parse_letter

    try:
        place = parse_letter(asked.get("place", ""))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return one_letter(*place, purged=purged)


def replay_words(letter: Selection, pipeline: str, *, several: bool) -> list[str]:
    """The command that replays one letter and no other, without what mends it.

    Args:
        pipeline: its name, where there are several; else empty.
        several: topics of the name have a dead letter at its place.
    """
    words = ["nrtctl", "dlq", "replay", *(["--pipeline", pipeline] if pipeline else [])]
    if several:
        words += ["--incarnation", str(letter.incarnation)]
    (partition,), (offset, _) = letter.partitions, letter.offsets or (0, 0)
    return [*words, "--partition", str(partition), "--offset", str(offset)]


def fix_of(asked: Mapping[str, str]) -> tuple[str, str]:
    """SQL that makes the value, and what the log says of it. Asked: `how`: `value`, as it is;
    `text`: `body` instead; `sql`: what `body` makes of it.

    Raises:
        ConfigError: none of them, or too long.
    """
    from nrtctl.dead_letters.selection import as_fix

    body, how = asked.get("body", ""), asked.get("how", "")
    if len(body.encode()) > MOST_FIX:
        limit = f"more than {MOST_FIX // 1024} KiB"
        raise ConfigError(f"{limit} cannot be edited here", hint="`nrtctl dlq replay --edit` can")
    if how == "value":
        return "value", ""
    if how == "text":
        return as_fix(body.encode()), "edited"
    if how != "sql":
        raise ConfigError(f"{how!r} is not a way to mend a letter", hint="one of value, text, sql")
    if not body.strip():
        raise ConfigError("the expression is empty", hint="write one; value is the value as it is")
    return body, body


def fate(report: Report) -> str:
    """Of the one letter that was meant."""
    if report.later:
        return "later"
    if report.already:
        return "already"
    if report.stored:
        return "stored"
    if report.rejected or report.undecided:
        return "rejected"
    return "beside" if report.beside else "gone"
