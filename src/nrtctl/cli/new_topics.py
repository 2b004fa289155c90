"""Topics that come while `consume` runs, and that a pipeline's pattern matches. Called by
`consume_several`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from nrtctl.cli.meant import by_whole, without_topic

if TYPE_CHECKING:
    from nrtctl.cli.session import Session
    from nrtctl.config.load import Loaded
    from nrtctl.kafka.matching import TopicsWatch


class Topics:
    """The pipelines that `consume` runs: those that are there, and those that come.

    Args:
        waits: topics that come are read, too; else those that are there are all.
    """

    def __init__(self, session: Session, *, waits: bool) -> None:
        self._session = session
        self._waits = waits
        self._watch: TopicsWatch | None = None
        self._looked_at: list[str] = []
        self._refused = ""
        self.all: list[Loaded] = []

    def first(self, stack: ExitStack) -> list[Loaded]:
        """Those that are there. Args: stack: ends the looking for others.

        Raises:
            NrtctlError: there is none, and none is waited for.
        """
        session = self._session
        if not self._waits:
            self.all = list(session.pipelines)
            return self.all
        from nrtctl.kafka.matching import TopicsWatch

        found = by_whole(session)
        self._say_what_lacks(found)
        one = session.of(session.whole[0])
        address = one.addresses.bootstrap_servers
        self._watch = stack.enter_context(TopicsWatch(one.config.kafka, address=address))
        self.all = [each for some in found.values() for each in some]
        return self.all

    def _say_what_lacks(self, found: Mapping[str | None, Sequence[Loaded]]) -> None:
        for whole in self._session.whole:
            if not found.get(whole.pipeline, True):
                self._session.say.note(f"{without_topic(whole).message}; waiting for one")

    def new(self) -> Iterable[Loaded]:
        """Those that have come since, each of which is told; to be read from the start whatever
        consumer.start says, since the whole topic is new."""
        watch, session = self._watch, self._session
        if watch is None or watch.names == self._looked_at:
            return
        names = self._looked_at = watch.names
        from nrtctl.config.parts import described, meant
        from nrtctl.errors import ConfigError
        from nrtctl.kafka.matching import matching

        known = {each.pipeline for each in self.all}
        wholes = [each for each in session.whole if each.has_pattern]
        try:
            found = meant(
                wholes,
                session.options.get("pipeline") or (),
                lambda whole: matching(whole.config.pipeline, names),
            )
        except ConfigError as error:
            if error.message != self._refused:
                session.say.warn(error.message)
            self._refused = error.message
            return
        for whole in wholes:
            for each in found.get(whole.pipeline, ()):
                if each.pipeline not in known:
                    topic = each.config.pipeline.topic
                    session.say.note(
                        f"{each.pipeline}: topic {topic} is new and matches "
                        f"{described(whole)}, so it is read as well"
                    )
                    self.all.append(each)
                    yield each
