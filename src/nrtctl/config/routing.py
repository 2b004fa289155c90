"""Several pipelines that read one topic: who takes which messages. Called by `config.load` and
`config.pipelines`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nrtctl.config.model import Config
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.condition_text import parse_condition
from nrtctl.pipeline.fields import FieldSpec
from nrtctl.pipeline.routing import EVERYTHING, Others, Taking, mends, not_for_pipelines
from nrtctl.pipeline.topic_pattern import picks


def depends(pipeline: Pipeline) -> bool:
    """Whether what it takes depends on the other pipelines of its topic."""
    return pipeline.route == "first" or pipeline.unmatched == "dead letter"


def beside(config: Config, name: str, trees: Mapping[str, Mapping[str, Any]]) -> Config:
    """The configuration with the conditions of the other pipelines of the topic.

    Args:
        trees: what the configuration says of each pipeline, in the file's order; unchecked.

    Raises:
        ConfigError: one of the others has no condition that can be read, or this one takes nothing.
    """
    pipeline = config.pipeline
    same = [each for each in trees if _reads(trees[each], pipeline.topic)]
    takings = {each: _taking(each, trees[each]) for each in same if each != name}
    before = same[: same.index(name)] if pipeline.route == "first" else []
    for each in before:
        if takings[each].when is EVERYTHING:
            raise ConfigError(
                f"pipelines.{name}.route: nothing is left for it: pipelines.{each}, which comes "
                f"before it, takes every message of the topic {pipeline.topic!r}",
                hint=f"give pipelines.{each} a condition (when), or let it come last",
            )
    if before and pipeline.rows is not None:
        raise ConfigError(
            f"pipelines.{name}.route: a pipeline with `rows` takes every message of its topic",
            hint='write route = "every" there',
        )
    others = Others(
        earlier=tuple(takings[each] for each in before),
        every=tuple(takings.values()) if pipeline.unmatched == "dead letter" else (),
    )
    return config.model_copy(update={"pipeline": pipeline.beside(others)})


def _reads(tree: Mapping[str, Any], topic: str) -> bool:
    topics = tree.get("topics")
    if topics is None:
        return bool(tree.get("topic") == topic)
    try:
        return picks(topics if isinstance(topics, str) else tuple(topics), topic)
    except (TypeError, ValueError):
        return False  # its own configuration says what is wrong with it


def _taking(name: str, tree: Mapping[str, Any]) -> Taking:
    when = tree.get("when")
    if when is None:
        return Taking(EVERYTHING)
    try:
        wrong = not_for_pipelines(parse_condition(str(when)))
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise ConfigError(f"pipelines.{name}.when: {wrong}")
    return Taking(str(when), _mends(tree.get("fields")))


def _mends(fields: Any) -> frozenset[str]:
    try:
        return mends({name: FieldSpec.model_validate(each) for name, each in fields.items()})
    except (AttributeError, ValueError):
        return frozenset()  # its own configuration says what is wrong with it


def unmatched_twice(configs: Mapping[str, Config]) -> Iterator[str]:
    """Messages that no pipeline takes are the dead letters of one."""
    owners: dict[str, str] = {}
    for name, config in configs.items():
        if config.pipeline.unmatched == "dead letter":
            other = owners.setdefault(config.pipeline.topic, name)
            if other != name:
                yield (
                    f"pipelines.{name}.unmatched: pipelines.{other} makes dead letters of "
                    f"what no pipeline takes from the topic {config.pipeline.topic!r}; only "
                    "one pipeline may do so"
                )
