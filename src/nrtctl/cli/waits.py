"""What a command says while it waits: each reason once, and that it goes on."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nrtctl.cli.diagnostics import Diagnostics

if TYPE_CHECKING:
    from nrtctl.cli.session import Session
    from nrtctl.clickhouse.patience import Patient
    from nrtctl.store.throwing import Throwing

DIGITS = re.compile(r"\d+")
AWAY = re.compile("(Kafka does not|ClickHouse at .* does not answer).*")
"""One reason, however it shows that nobody answers."""

FORGOTTEN_SECONDS = 30.0
"""After the next try, without the same reason: then it is a new wait."""

TOLD_SECONDS = 1.0
"""That a wait has lasted, so that its end is told."""
LAPSES_SECONDS = 5.0
"""After the next try, without a word: it has not failed."""


@dataclass(slots=True)
class _Wait:
    """One reason, in the words in which it was said; monotonic seconds. `next`: of the next try."""

    reason: str
    began: float
    next: float


class Waits:
    """`count`: of the waits so far."""

    def __init__(self, say: Diagnostics) -> None:
        self._say = say
        self._reasons: dict[str, _Wait] = {}
        self.count = 0

    def waiting(self, reason: str, seconds: float) -> None:
        """Numbers in the reason may change while it lasts."""
        self.count += 1
        now = time.monotonic()
        key = AWAY.sub(r"\1", DIGITS.sub("0", reason))
        wait = self._reasons.get(key)
        if wait is None or now > wait.next + FORGOTTEN_SECONDS:
            self._reasons[key] = _Wait(reason, now, now + seconds)
            self._say.warn(f"waiting, nothing is lost: {reason} (trying again in {seconds:.1f} s)")
        else:
            wait.next = now + seconds

    @property
    def lasting(self) -> tuple[str, float] | None:
        """The reason of the longest wait, and since when (monotonic seconds); None: there is none,
        or the next try was not heard to fail."""
        now = time.monotonic()
        open_ = [each for each in self._reasons.values() if now <= each.next + LAPSES_SECONDS]
        first = min(open_, key=lambda each: each.began, default=None)
        return None if first is None else (first.reason, first.began)

    def over(self) -> None:
        """What was waited for has come. Of Kafka, whoever asks it has said so."""
        if not self._reasons:
            return
        now = time.monotonic()
        waits, self._reasons = self._reasons, {}
        for key, wait in waits.items():
            if not key.startswith("Kafka does not") and now - wait.began >= TOLD_SECONDS:
                who = "ClickHouse answers again" if key.startswith("ClickHouse") else "it goes on"
                self._say.note(f"{who}, after {now - wait.began:.0f} s")
                return


def throwing_of(session: Session) -> Throwing:
    """Finds the messages that the pipeline's SQL fails on, for a command that says so."""
    from nrtctl.store.throwing import Throwing

    config = session.config
    return Throwing(
        config.pipeline,
        config.clickhouse.database,
        cluster=config.clickhouse.cluster,
        clock=session.clock,
        tell=session.say.note,
    )


def patient(session: Session) -> Patient:
    """ClickHouse, for a command that says what it waits for and goes on."""
    from nrtctl.clickhouse.patience import Patient

    return Patient(session.clickhouse(), waiting=Waits(session.say).waiting, sleep=time.sleep)
