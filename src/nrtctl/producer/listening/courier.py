"""Events to Kafka, and what became of each request's. Used by `app` and `serving`.

Events are handed over on the event loop's thread; a thread of its own hears Kafka's answers, and
asks now and then whether Kafka is there at all while something waits for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from nrtctl.clock import Clock
from nrtctl.kafka.error_codes import Meaning
from nrtctl.kafka.producing import Client, NotTaken, Refusal, serve
from nrtctl.kafka.silence import Silence

TURN_SECONDS = 0.1
FULL_QUEUE_WAIT = 0.01
SENT_AT_A_TIME = 500
"""Events that are handed over before other requests have a turn."""

Event = tuple[bytes | None, bytes, list[tuple[str, bytes]] | None]
"""(key, value, headers)"""


class Delivery:
    """What becomes of the events of one request. Its own callback, on the courier's thread."""

    __slots__ = (
        "_done",
        "_loop",
        "_told",
        "acknowledged",
        "failed",
        "not_sent",
        "reasons",
        "total",
    )

    def __init__(self, total: int, loop: asyncio.AbstractEventLoop) -> None:
        self.total = total
        self.acknowledged = 0
        self.failed = 0
        self.not_sent = 0
        self.reasons: Counter[tuple[str, Meaning | None]] = Counter()
        self._loop = loop
        self._done: asyncio.Future[None] = loop.create_future()
        self._told = False

    def __call__(self, error: Any, _message: Any) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self._count(Refusal.of(error))
            self.failed += 1
        self._look()

    def refuse(self, refusal: Refusal, count: int = 1) -> None:
        """The client has not taken so many of them. On the loop's thread."""
        self._count(refusal)
        self.not_sent += count
        self._look()

    async def over(self) -> None:
        """Once something is known of all of them."""
        await self._done

    def _count(self, refusal: Refusal) -> None:
        self.reasons[refusal.text, refusal.meaning] += 1

    def _look(self) -> None:
        """Each thread looks after its own count, so that one of them sees that it was the last."""
        if self.acknowledged + self.failed + self.not_sent == self.total and not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


class Courier:
    """
    Args:
        ask: why Kafka does not answer within these seconds; None: it does.
        waiting: told (reason, seconds until it is asked again) while it does not.
        note: told when it answers again.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        ask: Callable[[float], str | None],
        waiting: Callable[[str, float], None],
        note: Callable[[str], None],
    ) -> None:
        self._client = client
        self.away = False
        self.fatal: Refusal | None = None
        """Why the client cannot go on; a new process can."""
        self.acknowledged: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self._turns = 0
        self._ending = threading.Event()

        def gone(reason: str, seconds: float) -> None:
            self.away = True
            waiting(reason, seconds)

        def back(text: str) -> None:
            self.away = False
            note(text)

        self._silence = Silence(clock, ask, gone, back)
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Events that Kafka has not answered yet."""
        return len(self._client)

    async def send(self, topic: str, events: Sequence[Event]) -> Delivery:
        """Hand them over, in order, and wait until it is known what became of each."""
        delivery = Delivery(len(events), asyncio.get_running_loop())
        produce = self._client.produce
        self.sent[topic] += len(events)
        for number, (key, value, headers) in enumerate(events, 1):
            while True:
                try:
                    if headers is None:
                        produce(topic, value=value, key=key, on_delivery=delivery)
                    else:
                        produce(topic, value=value, key=key, on_delivery=delivery, headers=headers)
                except BufferError:
                    await asyncio.sleep(FULL_QUEUE_WAIT)
                    continue
                except NotTaken as error:
                    delivery.refuse(Refusal.raised(error))
                break
            if number % SENT_AT_A_TIME == 0:
                await asyncio.sleep(0)
        if events:
            await delivery.over()
        self.acknowledged[topic] += delivery.acknowledged
        self.failures[topic] += delivery.failed + delivery.not_sent
        self._turns += delivery.acknowledged
        return delivery

    def close(self) -> None:
        """Hear what there is to be heard, and end the thread."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        heard = 0
        while not self._ending.is_set():
            if (fatal := serve(self._client.poll, TURN_SECONDS)) is not None:
                self.fatal = fatal
            if self._turns != heard:
                heard = self._turns
                self._silence.ended()
            elif self.away or len(self._client):
                self._silence.lasts()
