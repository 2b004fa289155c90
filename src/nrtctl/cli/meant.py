"""Which pipelines a command works on, and which of their topics. Called by `session`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nrtctl.cli.session import Session
    from nrtctl.config.load import Loaded
    from nrtctl.errors import NrtctlError


def load(session: Session, patterns: Sequence[str]) -> list[Loaded]:
    """As `load_pipelines`, of what the session's options say."""
    from nrtctl.config.load import load_pipelines

    return load_pipelines(
        patterns,
        file=session.options["config"],
        profile=session.options["profile"],
        overrides=session.options["set"] or (),
        environ=session.environ,
    )


def only_one(session: Session, *, whole: bool) -> Loaded:
    """Args: whole: with all its topics.

    Raises:
        ConfigError: several pipelines are meant, or several topics.
    """
    from nrtctl.config.parts import the_part
    from nrtctl.config.pipelines import the_one

    the_one([str(each.pipeline) for each in session.whole])
    found = session.whole[0]
    if whole:
        return found
    patterns = session.options.get("pipeline") or ()
    topics = {each.partition("/")[2] if found.pipeline else each for each in patterns}
    return the_part(found, topics.pop() if len(topics) == 1 else "")


def the_topic(session: Session) -> str:
    """The topic of the one pipeline that is meant. Raises as `only_one`."""
    return only_one(session, whole=False).config.pipeline.topic


def by_whole(session: Session) -> dict[str | None, list[Loaded]]:
    """The parts that are meant of each pipeline; none where no topic matches.

    Raises:
        ConnectError: Kafka does not say which topics it has.
    """
    from nrtctl.config.parts import meant

    return meant(session.whole, session.options.get("pipeline") or (), _matching(session))


def _matching(session: Session) -> Callable[[Loaded], Sequence[str]]:
    from nrtctl.kafka.matching import all_topics, matching

    @cache
    def names() -> list[str]:
        one = session.of(session.whole[0])
        return all_topics(one.config.kafka, address=one.addresses.bootstrap_servers)

    return lambda whole: matching(whole.config.pipeline, names())


def with_topics(session: Session) -> list[Loaded]:
    """As `Session.pipelines`."""
    found = by_whole(session)
    lacking = [whole for whole in session.whole if not found.get(whole.pipeline, True)]
    parts = [each for some in found.values() for each in some]
    if not parts:
        raise without_topic(lacking[0])
    for whole in lacking:
        session.say.warn(without_topic(whole).message)
    return parts


def without_topic(whole: Loaded) -> NrtctlError:
    from nrtctl.config.parts import described
    from nrtctl.errors import NrtctlError

    return NrtctlError(
        f"Kafka has no topic that matches {described(whole)}",
        hint="`nrtctl topics list` shows the topics that exist; `nrtctl consume` waits for "
        "one that matches",
    )


def every_part(session: Session) -> list[Loaded]:
    """Those of the file, whichever are meant. Raises as `by_whole`."""
    from nrtctl.config.parts import parts

    ask = _matching(session)
    return [each for whole in load(session, ()) for each in parts(whole, ask)]
