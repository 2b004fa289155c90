"""The listener: who may connect, and how much memory and time all connections together may take.

Nothing here waits for a client. Once a second `tick` looks at every connection: half a request
that does not go on, answers that are not read, a login that does not come and long silence end it.
Seconds are counted in ticks, so that a broker that was stopped itself does not blame its clients.
Where there are too many connections, or too much memory is held, the ones that say least go first.
Called by `__main__`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nrtctl.local.broker.broker import Broker
from nrtctl.local.broker.connection import Connection
from nrtctl.local.broker.login import Credentials, Login
from nrtctl.local.broker.peers import Peers

logger = logging.getLogger(__name__)

MAX_LINES: int = 20
"""What is logged of connections that are closed, in each second."""
LEAST_ANSWER: int = 256 * 1024
QUIET_TO_GIVE_WAY: int = 10
"""Seconds of silence after which a connection gives way to a new one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client can make the broker hold. Times are seconds.

    Attributes:
        max_buffered_bytes: of all connections, received and not yet sent, together.
        half_sent: how long the rest of a request may not come.
        unread: how long a client may not read its answers.
        login: how long a login may take from the connection on.
        idle: how long a client may ask for nothing.
    """

    max_connections: int = 1_000
    max_request_bytes: int = 100 * 1024 * 1024
    max_buffered_bytes: int = 128 * 1024 * 1024
    half_sent: int = 30
    unread: int = 60
    login: int = 10
    idle: int = 600

    @property
    def max_before_login(self) -> int:
        return max(self.max_connections // 10, 1)


class Server:
    """The connections of one broker.

    Args:
        credentials: what a client has to know; None: everything is served to everybody.
        peers: tells whose the connections are; None: nobody is known.
        trusts_own_user: whether the user that this process runs as needs no login.
        still_ours: called before each answer; it does not return where the data directory is no
            longer the broker's own, so that nothing is acknowledged that is not kept there.
    """

    def __init__(
        self,
        broker: Broker,
        limits: Limits,
        *,
        advertised_host: str | None,
        credentials: Credentials | None = None,
        peers: Peers | None = None,
        trusts_own_user: bool = True,
        still_ours: Callable[[], None] = lambda: None,
    ) -> None:
        self.broker = broker
        self.limits = limits
        self.advertised_host = advertised_host
        self.still_ours = still_ours
        self.connections: set[Connection] = set()
        self._credentials = credentials
        self._peers = peers
        self._trusts_own_user = trusts_own_user
        self._server: asyncio.Server | None = None
        self._buffered = 0
        self._lines = 0
        self._made = 0

    async def listen(self, host: str, port: int) -> int:
        """Begin to accept connections; the port that is listened on. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self, loop), host, port, backlog=512
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.close()
        if self._peers is not None:
            self._peers.close()
        await asyncio.sleep(0)

    # ------------------------------------------------------------------ who comes in

    def login(self, connection: Connection) -> Login:
        """What the new connection may do without further words."""
        if self._credentials is None:
            return Login(None, is_in=True)
        known = (
            self._trusts_own_user
            and self._peers is not None
            and self._peers.is_own(connection.peer, connection.own)
        )
        return Login(self._credentials, is_in=known)

    def user_of(self, connection: Connection) -> int | None:
        return self._peers.user_of(connection.peer, connection.own) if self._peers else None

    def next_number(self) -> int:
        self._made += 1
        return self._made

    def admit(self, connection: Connection) -> bool:
        """Take a new connection in, in the place of another one if need be.

        Those that have not logged in are few, and never take another's place.
        """
        strangers = [each for each in self.connections if not each.login.is_in]
        is_full = len(self.connections) >= self.limits.max_connections
        if not connection.login.is_in:
            if is_full or len(strangers) >= self.limits.max_before_login:
                self._end_one(strangers)
        elif is_full:
            self._end_one(strangers or self._quiet())
        if len(self.connections) >= self.limits.max_connections:
            return False
        self.connections.add(connection)
        return True

    def _quiet(self) -> list[Connection]:
        """Those that may give way to a new one: first of all what has never asked for anything."""
        idle = [each for each in self.connections if each.silent_for > 0 and not each.has_asked]
        return idle or [each for each in self.connections if each.silent_for >= QUIET_TO_GIVE_WAY]

    def _end_one(self, some: Sequence[Connection]) -> None:
        """The one that has said nothing for longest, or the oldest."""
        if some:
            chosen = max(some, key=lambda each: (each.silent_for, -each.number))
            chosen.refuse("others want to connect, and this one has been the quietest")
            self.connections.discard(chosen)

    # ------------------------------------------------------------------ memory and time

    def may_hold(self, asking: Connection, more: int) -> bool:
        """Whether a connection may take `more` bytes now.

        If that is too much, memory comes from what is idle, then from those that are stuck, then
        from the largest unfinished request, if that is larger than what is asked for: small
        requests are always served. What is held is counted again here, not at every byte.
        """
        limit = self.limits.max_buffered_bytes
        if self._buffered + more > limit:
            self._count()
            others = sorted(self.connections - {asking}, key=lambda each: -each.held)
            least = asking.held + more
            for give_back in (
                Connection.shrink,
                Connection.end_if_stuck,
                lambda each: each.end_if_unfinished(least),
            ):
                for each in others:
                    if self._buffered + more <= limit:
                        break
                    before = each.held
                    give_back(each)
                    self._buffered -= before - each.held
        if self._buffered + more > limit:
            return False
        self._buffered += more
        return True

    def room_for_answer(self) -> int:
        """Bytes that one answer may have now: a share of what is left."""
        limit = self.limits.max_buffered_bytes
        if self._buffered > limit // 4:
            self._count()
        return max((limit - self._buffered) // 4, LEAST_ANSWER)

    def _count(self) -> None:
        self._buffered = sum(each.held for each in self.connections)

    def tick(self) -> None:
        """Called once a second."""
        for connection in tuple(self.connections):
            connection.tick(self.limits)
        self._count()
        if self._lines > MAX_LINES:
            logger.warning("%d more connections were closed", self._lines - MAX_LINES)
        self._lines = 0

    def log(self, say: Callable[..., None], words: str, *arguments: object) -> None:
        """Log what became of a connection: clients do not fill the log."""
        self._lines += 1
        if self._lines <= MAX_LINES:
            say(words, *arguments)
