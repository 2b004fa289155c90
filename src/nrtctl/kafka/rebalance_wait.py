"""A consumer that its group keeps waiting says for whom, and when that ends: it has no partitions,
or a commit of its is not answered while the group shares them again. Used by `membership`; asks on
its way, and waits for no answer.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaException

from nrtctl.clock import Clock
from nrtctl.config.counted import counted
from nrtctl.config.servers import Kafka
from nrtctl.kafka import clients
from nrtctl.kafka.error_codes import kafka_error

FIRST_SECONDS = 3.0
AGAIN_SECONDS = 10.0
MAX_NAMED = 3

Describe = Callable[[], "Future[Any]"]


def asking(settings: Kafka, group: str, *, address: str) -> Describe:
    """Asks the coordinator for the group, with a client that is made when it is first needed."""
    admin = cache(lambda: clients.make_admin(settings, address=address))
    return lambda: admin().describe_consumer_groups([group])[group]


class RebalanceWait:
    """Args:
    describe: asks the coordinator for the group; a future `ConsumerGroupDescription`.
    own: this member's id.
    session_timeout: seconds until a member that is not heard of is let go.
    waiting: told (reason, seconds until it is asked again); `note`: that all is well.
    """

    def __init__(
        self,
        topic: str,
        group: str,
        describe: Describe,
        *,
        own: Callable[[], str | None],
        session_timeout: float,
        clock: Clock,
        waiting: Callable[[str, float], None],
        note: Callable[[str], None],
    ) -> None:
        self._topic = topic
        self._group = group
        self._describe = describe
        self._own = own
        self._session_timeout = session_timeout
        self._clock = clock
        self._waiting = waiting
        self._note = note
        self._answer: Future[Any] | None = None
        self._is_spare = False
        self._next = clock.monotonic() + FIRST_SECONDS

    def ended(self) -> None:
        """There are partitions, and commits of them are answered."""
        self._answer = None
        self._is_spare = False
        self._next = self._clock.monotonic() + FIRST_SECONDS

    def lasts(self, *, commit: bool = False) -> None:
        """There are none; `commit`: there are, but a commit is not answered."""
        now = self._clock.monotonic()
        if self._answer is not None and self._answer.done():
            answer, self._answer = self._answer, None
            if (error := answer.exception()) is None:
                self._tell(answer.result(timeout=0), commit)
            else:
                self._is_spare = False
                found = kafka_error(error) if isinstance(error, KafkaException) else None
                said = found.str() if found is not None else error
                why = f"the coordinator of group {self._group} does not answer ({said})"
                self._waiting(f"{self._held(commit)}: {why}", AGAIN_SECONDS)
        elif self._answer is None and now >= self._next:
            self._next = now + AGAIN_SECONDS
            self._answer = self._describe()

    def _tell(self, found: Any, commit: bool) -> None:
        others = [each for each in found.members if each.member_id != self._own()]
        if found.state == ConsumerGroupState.STABLE and len(others) < len(found.members):
            if not self._is_spare and not commit:
                self._note(
                    f"no partition of {self._topic} is left for this consumer: group {self._group} "
                    f"has {counted(len(found.members), 'member')}; this one takes over when one of "
                    "them leaves"
                )
            self._is_spare = not commit
            return
        self._is_spare = False
        why = "its members are rebalancing"
        if others:
            why = (
                f"{len(others)} more in group {self._group} ({_named(others)}) must join "
                f"again, or be silent for {self._session_timeout:g} s "
                "(consumer.session_timeout)"
            )
        self._waiting(f"{self._held(commit)}: {why}", AGAIN_SECONDS)

    def _held(self, commit: bool) -> str:
        if commit:
            return f"no offset of {self._topic} is committed, so that no batch can begin"
        return f"the group has not assigned partitions of {self._topic} yet"


def _named(members: list[Any]) -> str:
    names = [f"{each.client_id} at {each.host.lstrip('/')}" for each in members[:MAX_NAMED]]
    return ", ".join(names) + (", …" if len(members) > MAX_NAMED else "")
