"""What a command says while it waits: each reason at once, and again while it lasts."""

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
SAID_AGAIN_SECONDS = 10.0
FORGOTTEN_SECONDS = 30.0
"""Without the same reason, after which it is a new wait; two tries lie closer than that."""


@dataclass(slots=True)
class _Wait:
    """One reason; monotonic seconds. `said`: 0 for never."""

    began: float
    last: float
    said: float = 0.0


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
        wait = self._reasons.setdefault(DIGITS.sub("0", reason), _Wait(now, now))
        if now - wait.last > FORGOTTEN_SECONDS:
            wait.began, wait.said = now, 0.0
        wait.last = now
        if not wait.said or now - wait.said >= SAID_AGAIN_SECONDS:
            wait.said = now
            lasts = now - wait.began
            since = f" for {lasts:.0f} s" if lasts >= 1 else ""
            self._say.warn(
                f"waiting{since}, nothing is lost: {reason} (trying again in {seconds:.1f} s)"
            )

    def over(self) -> None:
        """What was waited for has come."""
        self._reasons.clear()


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
