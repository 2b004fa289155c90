"""`nrtctl consume` of several pipelines, or of a pattern of topics, in one process."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

from nrtctl.cli.consume_result import summarized
from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.each_pipeline import of_each
from nrtctl.cli.new_topics import Topics
from nrtctl.cli.progress import ConsumerProgress, Stored
from nrtctl.cli.results import Result

if TYPE_CHECKING:
    from nrtctl.cli.consume_command import Limits
    from nrtctl.cli.session import Session
    from nrtctl.clock.stop import Stop
    from nrtctl.config.load import Loaded
    from nrtctl.consumer.budget import Share
    from nrtctl.consumer.consuming import Consuming
    from nrtctl.consumer.observer import Summary
    from nrtctl.consumer.side_by_side import Ended, Make
    from nrtctl.errors import NrtctlError
    from nrtctl.metrics.consumers import ConsumersMetrics


def consume_several(
    session: Session,
    limits: Limits,
    *,
    waits: bool,
    host: str,
    port: int | None,
    stop: Stop,
    member: bool,
    instance: str,
) -> Result:
    """Run a consumer for each pipeline, and say of each what it did.

    Args:
        waits: topics that a pattern matches are read also if they come later.
        member: a process that `--workers` has started.
        instance: as of `consumer.run.Options`.

    Raises:
        ConfigError: --count, which cannot be said of several.
    """
    from nrtctl.consumer.budget import Budget
    from nrtctl.consumer.side_by_side import SideBySide

    topics, common = Topics(session, waits=waits), session.whole[0].config.consumer
    budget = Budget(max_buffer=common.max_buffer, max_inserts=common.max_inserts, consumers=0)
    pipelines: dict[str, _Pipeline] = {}
    with ExitStack() as stack:
        stack.enter_context(Interrupts(stop.set, session.say.note))
        first = topics.first(stack)
        _refuse(limits, [str(each.pipeline) for each in first])
        metrics = None if port is None else stack.enter_context(_served(session, host, port))
        total = Stored()

        def makers(found: Iterable[Loaded], *, came: bool = False) -> dict[str, Make]:
            made = {
                str(each.pipeline): _Pipeline(
                    session.of(each), budget.join(), limits, stop, metrics, total, instance, came
                )
                for each in found
            }
            pipelines.update(made)
            return {name: each.make for name, each in made.items()}

        def failed(name: str, error: Exception, pause: float | None) -> None:
            pipelines[name].failed(error, pause)

        ended = SideBySide(
            makers(first),
            stop=stop,
            again=not limits.until_end,
            clock=session.clock,
            failed=failed,
            more=(lambda: makers(topics.new(), came=True)) if waits else None,
        ).run()
        total.done(session.say)
    result = of_each(
        session,
        lambda one: pipelines[one.pipeline].result(ended[one.pipeline], warn=not member),
        topics.all,
    )
    if member and not all(each.failure for each in ended.values()):
        result.failure = None  # what failed is in the document, and is not a reason to end them all
    return result


class _Pipeline:
    """One of them: its consumer, and what is said of it."""

    def __init__(
        self,
        session: Session,
        share: Share,
        limits: Limits,
        stop: Stop,
        metrics: ConsumersMetrics | None,
        total: Stored,
        instance: str,
        came: bool,
    ) -> None:
        self._session = session
        self._name = name = session.pipeline
        self._limits = limits
        self._share = share
        self._stop = stop
        self._metrics = metrics
        self._instance = instance
        self._came = came
        session.say = session.say.about(name)
        self._progress = ConsumerProgress(
            session.say, total, lasting=session.say.lives and not limits.until_end
        )

    def make(self, summary: Summary | None) -> Consuming:
        """Raises as `make_consumer`."""
        from nrtctl.consumer.consuming import make_consumer
        from nrtctl.consumer.run import Options
        from nrtctl.stack.current_topic import current_topic

        session = self._session
        served = None
        if self._metrics is not None:
            served = self._metrics.of(
                self._name,
                session.config,
                lambda: current_topic(session.config, session.addresses, session.clickhouse()),
                session.clickhouse,
                self._progress,
            )
        observer = served or self._progress
        return make_consumer(
            session.config,
            session.addresses,
            Options(
                **vars(self._limits),
                statistics=served.statistics if served else None,
                share=self._share,
                came=self._came,
                instance=self._instance,
            ),
            clock=session.clock,
            observer=observer,
            waiting=observer.waiting,
            stop=self._stop,
            summary=summary,
        )

    def failed(self, error: Exception, pause: float | None) -> None:
        """Say that its consumer ended with an error. A topic that is not there yet is read from
        its start once it is, as one that comes later."""
        from nrtctl.kafka.error_codes import UnknownTopic

        self._came = self._came or isinstance(error, UnknownTopic)
        self._share.give_back()
        if self._metrics is not None:
            self._metrics.failed(self._name, str(error))
        if pause is None:
            return  # the result says it
        found = _explained(error)
        self._session.say.warn(
            f"stopped: {found.message} (it is started again in {pause:g} s; the other pipelines go "
            "on)"
        )
        if found.hint:
            self._session.say.note(f"hint: {found.hint}")

    def result(self, ended: Ended, *, warn: bool) -> Result:
        """Raises NrtctlError: there is none."""
        from nrtctl.consumer.result import NotStored, consumed
        from nrtctl.errors import NrtctlError

        failure = None if ended.failure is None else _explained(ended.failure)
        if ended.summary is None:
            raise failure or NrtctlError("it never started")
        session = self._session
        done = consumed(
            session.config,
            session.addresses,
            ended.summary,
            seconds=ended.seconds,
            waits=self._progress.waits,
        )
        if failure is None:
            failure = NotStored.of(done)
        data = {**done.as_dict(), "restarts": ended.restarts}
        if failure is not None:
            data["error"] = failure.message
        return summarized(session, data, warn=warn, failure=failure)


def _explained(error: Exception) -> NrtctlError:
    from nrtctl.cli.system_errors import explained, short_of
    from nrtctl.errors import NrtctlError

    if isinstance(error, NrtctlError):
        return error
    if isinstance(error, OSError):
        return explained(error)
    return short_of(error) or NrtctlError(f"unexpected {type(error).__name__}: {error}")


def _served(session: Session, host: str, port: int) -> AbstractContextManager[ConsumersMetrics]:
    from nrtctl.metrics.serving import consumers_metrics

    return consumers_metrics(session.say.note, clock=session.clock, host=host, port=port)


def _refuse(limits: Limits, names: list[str]) -> None:
    from nrtctl.errors import ConfigError

    if limits.count is not None:
        raise ConfigError(
            f"--count is a number of messages of one pipeline, and there are {len(names)}: "
            f"{', '.join(names)}",
            hint=f"choose one, as in --pipeline {names[0]}, or use --until-end",
        )
