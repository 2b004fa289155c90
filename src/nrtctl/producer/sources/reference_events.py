"""The reference events: e-commerce users going through sessions, from a seed. Called by `produce`.

The content of an event depends on the seed, the number of users and the event's position only,
never on how many were asked for at a time. Its time is the clock's, or counted from a fixed start.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from struct import iter_unpack
from typing import TYPE_CHECKING

from nrtctl.clock import Clock
from nrtctl.producer.sources import Record, Unsendable

if TYPE_CHECKING:
    from nrtctl.producer.sources.pools import Pools, Step

KEYS = frozenset({
    "event_id", "user_id", "session_id", "event_type", "event_timestamp", "request_latency_ms",
    "status", "error_code", "product_id",
})  # fmt: skip
"""What an event may carry."""

BLOCK = 1024
DEFAULT_USERS = 10_000
MAX_USERS = 2_000_000
ACTIVE_SHARE = 0.2
"""Share of the users that have a session open at any time."""

ID_BYTES = 15
ID_FORMAT = "8s4s3s3s12s"
"""30 random hexadecimal digits as the five groups of a version 4 UUID, less its fixed digits."""

_EVENT = b'{"event_id": "%b-%b-4%b-a%b-%b", %b%b%d, %b%b'
_SESSION = b'"user_id": "%b", "session_id": "%b-%b-4%b-a%b-%b", '

Session = tuple[int, bytes, bytes, Iterator["Step"]]
"""(user, message key, the JSON text that names user and session, the steps still to come)."""


class ReferenceEvents:
    """An endless source of reference events, as JSON, keyed by user.

    Args:
        seed: the same seed, users, start and count give the same bytes.
        clock: where event times come from; a call of `take` spreads its events over the time
            since the call before.
        users: how many users take part; about a fifth have a session open at a time.
        start_ms: milliseconds since the epoch of the first event; None: the clock's time.
        interval_ms: with `start_ms`, the time from one event to the next.
    """

    def __init__(
        self,
        seed: int,
        *,
        clock: Clock,
        users: int = DEFAULT_USERS,
        start_ms: int | None = None,
        interval_ms: float = 1.0,
    ) -> None:
        from nrtctl.producer.sources.pools import build

        self.unsendable = Unsendable()
        self.skipped = 0
        self._clock = clock
        self._start_ms = start_ms
        self._interval_ms = interval_ms
        self._produced = 0
        self._last_ms = int(clock.time() * 1000)
        self._rng = random.Random(f"nrtctl events {seed}")  # noqa: S311
        self._visits = random.Random(f"nrtctl visits {seed}")  # noqa: S311
        self._pools: Pools = build(seed, users)
        self._away = list(range(users))
        active = max(1, int(users * ACTIVE_SHARE))
        self._visits.shuffle(self._away)
        self._visit_ids = _ids(self._visits, BLOCK)
        self._sessions = [self._open(self._away.pop()) for _ in range(active)]
        self._block: list[tuple[tuple[bytes, ...], int, bytes]] = []
        self._position = BLOCK

    @property
    def exhausted(self) -> bool:
        return False

    @property
    def bulk(self) -> bool:
        return False

    def size_hint(self) -> tuple[int, int] | None:
        return None

    def close(self) -> None:
        return

    def take(self, limit: int) -> list[Record]:
        """The next `limit` events."""
        times = self._times(limit)
        sessions = self._sessions
        records: list[Record] = []
        append = records.append
        while limit:
            if self._position == BLOCK:
                self._block = self._draw_block()
                self._position = 0
            end = min(BLOCK, self._position + limit)
            block = self._block[self._position : end]
            for (event_id, chosen, outcome), time_ms in zip(block, times, strict=False):
                session = sessions[chosen]
                step = next(session[3], None)
                if step is None:
                    session = sessions[chosen] = self._come_back(session[0])
                    step = next(session[3])
                before, after = step
                append((
                    session[1],
                    _EVENT % (*event_id, session[2], before, time_ms, outcome, after),
                    None,
                    None,
                ))  # fmt: skip
            limit -= end - self._position
            self._position = end
        return records

    def _draw_block(self) -> list[tuple[tuple[bytes, ...], int, bytes]]:
        """Event id, session and outcome of the next BLOCK events."""
        rng = self._rng
        draws = array("I", rng.randbytes(4 * BLOCK))
        picks = array("H", rng.randbytes(2 * BLOCK))
        active = len(self._sessions)
        outcomes = self._pools.outcomes
        known = len(outcomes)
        return [
            (event_id, draw % active, outcomes[pick % known])
            for event_id, draw, pick in zip(_ids(rng, BLOCK), draws, picks, strict=True)
        ]

    def _times(self, count: int) -> Iterator[int]:
        """Event times in milliseconds, never going back."""
        first = self._produced
        self._produced += count
        if self._start_ms is not None:
            start, interval = self._start_ms, self._interval_ms
            return iter([start + int(number * interval) for number in range(first, first + count)])
        since = self._last_ms
        now = self._last_ms = max(since, int(self._clock.time() * 1000))
        if now == since:
            return iter([now] * count)
        span = now - since
        return iter([since + span * number // count for number in range(1, count + 1)])

    def _open(self, user: int) -> Session:
        visits = self._visits
        visit = next(self._visit_ids, None)
        if visit is None:
            self._visit_ids = _ids(visits, BLOCK)
            visit = next(self._visit_ids)
        key = self._pools.users[user]
        scripts = self._pools.scripts
        script = scripts[int(visits.random() * len(scripts))]
        return user, key, _SESSION % (key, *visit), iter(script)

    def _come_back(self, left: int) -> Session:
        """The session of whoever comes next, now that user `left` has gone."""
        away = self._away
        if not away:
            return self._open(left)
        index = int(self._visits.random() * len(away))
        comes, away[index] = away[index], left
        return self._open(comes)


def _ids(rng: random.Random, count: int) -> Iterator[tuple[bytes, ...]]:
    """`count` random UUIDs (version 4), each as its groups without the two fixed digits."""
    return iter_unpack(ID_FORMAT, rng.randbytes(ID_BYTES * count).hex().encode())
