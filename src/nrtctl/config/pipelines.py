"""Several pipelines in one configuration: `[pipelines.NAME]`. Called by `config.load`. Pure.

Such a table has the keys of `[pipeline]`, whose values are the defaults of all, and `batch`,
`group`, `start` and `delivery` of its own. It is laid over the other sections where it stands, as a
profile is, so that whoever works on one pipeline has a configuration of one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any

from nrtctl.config.flags import dotted
from nrtctl.config.layer import DEFAULT, Layer
from nrtctl.config.model import Config
from nrtctl.config.routing import unmatched_twice
from nrtctl.config.shape import KeyPath
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.suggest import identifier

SECTION = "pipelines"
OF_THE_CONSUMER = ("group", "start", "delivery")
"""Keys of `[consumer]` that each pipeline may have."""

_VARIABLES = "NRTCTL_PIPELINES"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def as_sections(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What `[pipelines.NAME]` says, as the sections that it changes."""
    rest = {name: each for name, each in tree.items() if name not in {"batch", *OF_THE_CONSUMER}}
    consumer = {name: tree[name] for name in OF_THE_CONSUMER if name in tree}
    found: dict[str, Any] = {"pipeline": rest}
    if "batch" in tree:
        found["batch"] = tree["batch"]
    if consumer:
        found["consumer"] = consumer
    return found


def section_path(path: KeyPath) -> KeyPath:
    """The key in the sections for a key of `[pipelines.NAME]`, which is not empty."""
    if path[0] == "batch":
        return path
    return ("consumer", *path) if path[0] in OF_THE_CONSUMER else ("pipeline", *path)


def own_path(name: str, path: KeyPath) -> KeyPath:
    """The key as the file has it for a key in the sections."""
    rest = path[1:] if path[0] in {"pipeline", "consumer"} else path
    return (SECTION, name, *rest)


def default_layer(name: str) -> Layer:
    """Topic and table are named after the pipeline; nothing of the reference pipeline is left."""
    layer = Layer()
    layer.dropped = [("pipeline",)]
    layer.say(("pipeline", "topic"), name, DEFAULT)
    layer.say(("pipeline", "table"), identifier(name), DEFAULT)
    return layer


def flags(overrides: Sequence[str], pipeline: str | None, names: Sequence[str]) -> Iterator[str]:
    """`--set` as it is for one pipeline: those of `pipelines.NAME` are its own, or left out."""
    for text in overrides:
        key, equals, value = text.partition("=")
        path = dotted(key)
        if path is None or path[0] != SECTION or len(path) < 3 or path[1] not in names:
            yield text
        elif path[1] == pipeline:
            yield f"{'.'.join(map(json.dumps, section_path(path[2:])))}{equals}{value}"


def variable(name: str, *, pipeline: str | None, names: Sequence[str]) -> str | None:
    """The variable that `NRTCTL_PIPELINES__NAME__KEY` stands for; None: it is another's.

    Raises:
        ConfigError: it may be that of several.
    """
    parts = name.split("__")
    if len(parts) < 3 or parts[0].upper() != _VARIABLES:
        return name
    meant = [each for each in names if _of_variable(each) == parts[1].upper()]
    if not meant:
        return name
    if len(meant) > 1:
        raise ConfigError(
            f"environment {name}: it could be for each of the pipelines {', '.join(meant)}",
            hint=f"use --set 'pipelines.\"{meant[0]}\".KEY=VALUE', or name one of them otherwise",
        )
    first, *rest = parts[2:]
    path = section_path((first.lower(),))
    return f"NRTCTL_{'__'.join([*path, *rest])}" if meant == [pipeline] else None


def _of_variable(name: str) -> str:
    """The name as a variable has it."""
    return re.sub("[^A-Za-z0-9]", "_", name).upper()


def refuse_a_shared_table(layer: Layer) -> None:
    """A table among the defaults of all pipelines is a problem: it was that of a single one."""
    at = ("pipeline", "table")
    if at in layer.mentioned:
        layer.problems.append(
            f"{layer.mentioned[at]}: pipeline.table: a table belongs to one pipeline; beside "
            "[pipelines.NAME], [pipeline] has the defaults of all pipelines: name a pipeline "
            "for the table"
        )


def wrong_names(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, what is wrong with it)."""
    for name in names:
        if not _NAME.fullmatch(name):
            yield name, "a pipeline's name consists of letters, digits, '.', '_' and '-'"


def chosen(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The pipelines that are meant: of the given names or patterns (`*`, `?`), in the file's order.

    Raises:
        ConfigError: a pattern fits none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            known = f"there are {', '.join(names)}" if names else "the configuration names none"
            raise ConfigError(
                f"--pipeline {pattern}: there is no such pipeline; {known}",
                hint="[pipelines.NAME] tables in nrtctl.toml name pipelines",
            )
    if not patterns:
        return list(names)
    return [name for name in names if any(fnmatchcase(name, each) for each in patterns)]


def the_one(names: Sequence[str]) -> str | None:
    """The pipeline that a command works on; None: the configuration names none.

    Raises:
        ConfigError: there are several.
    """
    if len(names) > 1:
        raise ConfigError(
            f"this command works on one pipeline, and there are {len(names)}: {', '.join(names)}",
            hint=f"choose one, as in --pipeline {names[0]}",
        )
    return names[0] if names else None


def refuse_sharing(configs: Mapping[str, Config]) -> None:
    """Raises ConfigError: two pipelines write one table, or take each other's messages."""
    problems = [*_tables_twice(configs), *_groups_twice(configs), *unmatched_twice(configs)]
    if problems:
        raise ConfigError("\n".join(problems))


def _tables_twice(configs: Mapping[str, Config]) -> Iterator[str]:
    owners: dict[str, str] = {}
    letters: dict[str, str] = {}
    for name, config in configs.items():
        pipeline = config.pipeline
        letters.setdefault(pipeline.dead_letters, name)
        letters.setdefault(pipeline.letter_log, name)
        own = [
            pipeline.table,
            pipeline.landing,
            pipeline.parsed,
            *pipeline.rollups,
            *pipeline.latest,
        ]
        for table in own:
            other = owners.setdefault(table, name)
            if other != name:
                yield (
                    f"pipelines.{name}: the table or view {table!r} is that of pipelines.{other}; "
                    "give each pipeline its own table"
                )
    for table, name in letters.items():
        if table in owners:
            yield (
                f"pipelines.{name}.dead_letters: {table!r} is a table or view of "
                f"pipelines.{owners[table]}; choose another name"
            )


def _may_share(one: Pipeline, two: Pipeline) -> bool:
    """Whether two pipelines of several topics may have one in common; of a pattern, what it matches
    is not known here."""
    if one.topics is None or isinstance(one.topics, str):
        return True
    return isinstance(two.topics, str) or any(map(two.reads, one.topics))


def _groups_twice(configs: Mapping[str, Config]) -> Iterator[str]:
    owners: dict[tuple[str, str], str] = {}
    of_several = {name: each for name, each in configs.items() if each.pipeline.topics is not None}
    for (name, one), (other, two) in combinations(of_several.items(), 2):
        if one.consumer.group == two.consumer.group and _may_share(one.pipeline, two.pipeline):
            yield (
                f"pipelines.{other}: may read a topic with the group {two.consumer.group!r}, "
                f"as pipelines.{name} does, so each would get only a part of it; leave out "
                "consumer.group"
            )
    for name, config in configs.items():
        if name in of_several:
            continue
        pair = config.consumer.group, config.pipeline.topic
        other = owners.setdefault(pair, name)
        if other != name:
            yield (
                f"pipelines.{name}: reads the topic {pair[1]!r} with the group {pair[0]!r}, as "
                f"pipelines.{other} does, so each would get a part of it; leave out consumer.group"
            )
