"""A pipeline of several topics, as a part for each of them. Called by `config.load`. Pure.

A part is the configuration of one pipeline, with the table, the dead letters and all else of the
whole, and with a group of its own. So whatever works on a pipeline works on a part, and several
topics are several pipelines. Its name is `NAME/TOPIC`, or the topic's where the whole has no name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from nrtctl.config.counted import counted
from nrtctl.config.layer import DEFAULT, Layer
from nrtctl.config.shape import KeyPath
from nrtctl.errors import ConfigError

if TYPE_CHECKING:
    from nrtctl.config.load import Loaded

TOPIC: KeyPath = ("pipeline", "topic")
TOPICS: KeyPath = ("pipeline", "topics")

MOST = 100
"""Topics of one pipeline: each has a consumer of its own."""

Matching = Callable[["Loaded"], Sequence[str]]
"""Given a pipeline with a pattern: the topics of Kafka that it matches; raises as asking does."""


def part_name(pipeline: str | None, topic: str) -> str:
    """Args: pipeline: of the whole; None: it has no name."""
    return f"{pipeline}/{topic}" if pipeline else topic


def whole_name(part: str) -> str:
    """The name of the pipeline that a part is of, where it has one; of a whole one its own."""
    return part.partition("/")[0]


def part(whole: Loaded, topic: str) -> Loaded:
    name = part_name(whole.pipeline, topic)
    return replace(whole, config=whole.config.of_topic(topic), pipeline=name)


def parts(whole: Loaded, matching: Matching) -> list[Loaded]:
    """Those of a pipeline, which is its own part if it has one topic; none where none matches."""
    topics = whole.config.pipeline.topics
    if topics is None:
        return [whole]
    found = matching(whole) if isinstance(topics, str) else topics
    return [part(whole, each) for each in found]


def described(whole: Loaded) -> str:
    """What the pipeline says of its topics."""
    key = f"pipelines.{whole.pipeline}.topics" if whole.pipeline else "pipeline.topics"
    topics = whole.config.pipeline.topics
    return f"{key} = '{topics}'" if isinstance(topics, str) else key


def meant(
    wholes: Sequence[Loaded], patterns: Sequence[str], matching: Matching
) -> dict[str | None, list[Loaded]]:
    """The parts that are meant of each pipeline: all, or those of a given name or pattern.

    Raises:
        ConfigError: a pattern fits none, or a pipeline has too many topics.
    """
    found = {whole.pipeline: parts(whole, matching) for whole in wholes}
    for whole in wholes:
        if (count := len(found[whole.pipeline])) > MOST:
            raise ConfigError(
                f"{described(whole)}: {counted(count, 'topic')}, and one pipeline may have {MOST}",
                hint="write a pattern that matches fewer, or several pipelines",
            )
    if not patterns:
        return found
    chosen: dict[str | None, list[Loaded]] = {}
    fitting = set()
    for name, each_part in found.items():
        chosen[name] = []
        for each in each_part:
            names = {str(each.pipeline), name or str(each.pipeline)}
            fits = [p for p in patterns if any(fnmatchcase(one, p) for one in names)]
            chosen[name] += [each] if fits else []
            fitting |= set(fits)
        # A whole that is named may have no part yet.
        fitting |= {p for p in patterns if name is not None and fnmatchcase(name, p)}
    for pattern in patterns:
        if pattern not in fitting:
            known = [str(each.pipeline) for some in found.values() for each in some]
            raise ConfigError(
                f"--pipeline {pattern}: there is no such pipeline, or no such topic of it; "
                f"there are {', '.join(known) or 'no topics that match'}"
            )
    return {
        name: some
        for name, some in chosen.items()
        if some or any(name is not None and fnmatchcase(name, p) for p in patterns)
    }


def the_part(whole: Loaded, topic: str) -> Loaded:
    """The configuration that a command works on which takes one topic.

    Args:
        topic: the one that is meant; empty: the only one.

    Raises:
        ConfigError: it is none of the pipeline's, or there are several.
    """
    topics = whole.config.pipeline.topics
    if topics is None and not topic:
        return whole
    if topics is None or (topic and not whole.config.pipeline.reads(topic)):
        name = part_name(whole.pipeline, topic)
        raise ConfigError(
            f"--pipeline {name}: there is no such pipeline"
            + ("" if topics is None else f": {described(whole)} does not have the topic {topic!r}")
        )
    if not topic and len(topics) == 1 and not isinstance(topics, str):
        topic = topics[0]
    if not topic:
        raise several(whole)
    return part(whole, topic)


def several(whole: Loaded) -> ConfigError:
    """That a command takes one topic, and how to name it."""
    topics = whole.config.pipeline.topics
    if topics is None or isinstance(topics, str):
        text, first = f"{described(whole)} is a pattern", "TOPIC"
    else:
        text, first = f"there are {len(topics)}: {', '.join(topics)}", topics[0]
    return ConfigError(
        f"this command works on one topic, and {text}",
        hint=f"choose one, as in --pipeline {part_name(whole.pipeline, first)}",
    )


def only_the_last(
    values: Mapping[KeyPath, tuple[Any, Any]], layer: Layer
) -> dict[KeyPath, tuple[Any, Any]]:
    """Without the topics of the layers below, where this one names any: `topic` and `topics` stand
    for each other."""
    if any(each.path in (TOPIC, TOPICS) for each in layer.values):
        return {path: value for path, value in values.items() if path not in (TOPIC, TOPICS)}
    return dict(values)


def twice(layer: Layer) -> Iterator[str]:
    """That one source names both a topic and several."""
    said = {each.path: each.origin for each in layer.values if each.path in (TOPIC, TOPICS)}
    if len(said) > 1 and said[TOPIC] is not DEFAULT:
        yield (
            f"{said[TOPICS]}: pipeline.topics: cannot be combined with topic: leave out one "
            "of the two"
        )
