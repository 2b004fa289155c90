"""Run a consumer through what ends a single loop: a topic that is made again, a member of the same
id. Called by `consume` and the Python client.
"""

from __future__ import annotations

from collections.abc import Callable

from nrtctl.clock import Clock
from nrtctl.clock.stop import Stop
from nrtctl.config.model import Config
from nrtctl.consumer.loop import Loop
from nrtctl.consumer.observer import Observer, Summary
from nrtctl.consumer.run import Options, make_loop
from nrtctl.kafka import clients, topics
from nrtctl.kafka.error_codes import Fenced
from nrtctl.kafka.pause import PauseWatch, paused_since
from nrtctl.kafka.topic_identity import TopicGone, TopicMadeAgain
from nrtctl.stack.addresses import Addresses

FENCED_SECONDS = 60.0
"""After a second refusal within them the other member is there to stay, and we end."""

TOPIC_SECONDS = 0.5
"""Between two looks whether a topic is there again."""


class Consuming:
    """Runs a loop, and another one when the topic was deleted and made again, or when the group
    has another member under our id, which may be what an outage left of ourselves.

    Args:
        make: makes a loop for the topic that is there (`make_loop` with `stop` and `summary`).
        exists: whether there is a topic of the name.
        patient: a topic that was deleted is waited for; else that is an error.
        cure: what to say of such a topic.
        summary: of a run that this one continues.
        watch: looks whether the pipeline is paused, while it runs.
    """

    def __init__(
        self,
        make: Callable[[Stop, Summary | None], Loop],
        exists: Callable[[], bool],
        *,
        topic: str,
        patient: bool,
        cure: str,
        clock: Clock,
        waiting: Callable[[str, float], None],
        note: Callable[[str], None],
        stop: Stop | None = None,
        summary: Summary | None = None,
        watch: PauseWatch,
    ) -> None:
        self._make = make
        self._watch = watch
        self._exists = exists
        self._topic = topic
        self._patient = patient
        self._cure = cure
        self._clock = clock
        self._waiting = waiting
        self._note = note
        self._fenced_at = -FENCED_SECONDS
        self._stop = stop or Stop()
        self._loop = make(self._stop, summary)

    @property
    def summary(self) -> Summary:
        """Of what it has done so far, also after an error."""
        return self._loop.summary

    def stop(self) -> None:
        """As `Loop.stop`."""
        self._stop.set()

    def run(self) -> Summary:
        """As `Loop.run`."""
        self._watch.start()
        try:
            return self._run()
        finally:
            self._watch.close()

    def _run(self) -> Summary:
        while True:
            loop = self._loop
            try:
                return loop.run()
            except TopicMadeAgain:
                pass
            except TopicGone:
                if not self._patient:
                    raise
                self._wait()
            except Fenced:
                now = self._clock.monotonic()
                if now - self._fenced_at < FENCED_SECONDS:
                    raise
                self._fenced_at = now
                self._note(
                    "another member of the group has this consumer's group.instance.id, "
                    "perhaps left over from an outage; joining again once"
                )
            if self._stop.is_set():
                return loop.summary
            self._loop = self._make(self._stop, loop.summary)

    def _wait(self) -> None:
        while not self._stop.is_set() and not self._exists():
            self._waiting(f"topic {self._topic!r} was deleted; {self._cure}", TOPIC_SECONDS)
            self._clock.sleep(TOPIC_SECONDS)


def make_consumer(
    config: Config,
    addresses: Addresses,
    options: Options,
    *,
    clock: Clock,
    observer: Observer,
    waiting: Callable[[str, float], None],
    stop: Stop | None = None,
    summary: Summary | None = None,
) -> Consuming:
    """A consumer that is ready to `run`; arguments and errors as `make_loop`'s."""
    admin = clients.make_admin(config.kafka, address=addresses.bootstrap_servers)
    topic, timeout = config.pipeline.topic, config.kafka.connect_timeout
    watch = PauseWatch(
        config,
        paused_since(admin, config, address=addresses.bootstrap_servers, clock=clock),
        address=addresses.bootstrap_servers,
        note=observer.note,
    )

    def make(stop: Stop, summary: Summary | None) -> Loop:
        return make_loop(
            config,
            addresses,
            options,
            clock=clock,
            observer=observer,
            waiting=waiting,
            stop=stop,
            summary=summary,
            rests=lambda: watch.since is not None,
            admin=admin,
        )

    def exists() -> bool:
        return topics.exists(admin, topic, timeout=timeout)

    return Consuming(
        make,
        exists,
        topic=topic,
        patient=options.count is None and not options.until_end,
        cure="reading goes on when it exists again"
        if config.pipeline.has_pattern
        else "`nrtctl up` creates it again",
        clock=clock,
        waiting=waiting,
        note=observer.note,
        stop=stop,
        summary=summary,
        watch=watch,
    )
