"""Topics that come while `consume` runs: which of them, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nrtctl.cli.consume_command import Limits
from nrtctl.cli.consume_several import _Pipeline
from nrtctl.cli.new_topics import Topics
from nrtctl.cli.progress import Stored
from nrtctl.cli.session import Session
from nrtctl.clock import SystemClock
from nrtctl.clock.stop import Stop
from nrtctl.config.load import Loaded, load_pipelines
from nrtctl.consumer.run import Options
from nrtctl.kafka.matching import TopicsWatch
from nrtctl.pipeline import Pipeline

SHOP = """
[consumer]
start = "latest"
[pipelines.shop]
topics = 'shop\\..*'
fields = { id = "UInt64" }
[pipelines.one.fields]
id = "UInt64"
"""


class World:
    def __init__(self, directory: Path, *patterns: str) -> None:
        (directory / "nrtctl.toml").write_text(SHOP)
        self.said: list[str] = []
        whole = load_pipelines(patterns, cwd=directory, environ={"HOME": str(directory)})
        say = SimpleNamespace(note=self.said.append, warn=self.said.append)
        session = SimpleNamespace(whole=whole, options={"pipeline": list(patterns)}, say=say)
        self._topics = Topics(cast(Session, session), waits=True)
        self._watch = SimpleNamespace(names=[])
        self._topics._watch = cast(TopicsWatch, self._watch)

    def new(self, names: Sequence[str]) -> list[Loaded]:
        self._watch.names = list(names)
        return list(self._topics.new())


def test_each_is_told_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.new([]) == []
    assert world.new(["one", "other"]) == []
    (first,) = world.new(["one", "shop.a", "other"])
    assert (first.pipeline, first.config.pipeline.topic) == ("shop/shop.a", "shop.a")
    assert first.config.consumer.group == "nrtctl-shop/shop.a"
    (second,) = world.new(["shop.a", "shop.b"])
    assert second.pipeline == "shop/shop.b"
    assert world.new(["shop.a", "shop.b"]) == world.new(["shop.b"]) == []
    assert world.said == [
        f"shop/shop.{each}: topic shop.{each} is new and matches pipelines.shop.topics = "
        r"'shop\..*', so it is read as well"
        for each in "ab"
    ]


@pytest.mark.parametrize(("pattern", "found"), [("shop", 2), ("shop/*.b", 1), ("shop/shop.c", 0)])
def test_only_those_that_are_meant(tmp_path: Path, pattern: str, found: int) -> None:
    assert len(World(tmp_path, pattern).new(["shop.a", "shop.b"])) == found


def test_names_that_are_known_are_not_matched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked ten times a second, and a cluster may have thousands of topics."""
    world, asked = World(tmp_path), []

    def matching(pipeline: Pipeline, names: Sequence[str]) -> list[str]:
        asked.append(names)
        return [name for name in names if pipeline.reads(name)]

    monkeypatch.setattr("nrtctl.kafka.matching.matching", matching)
    for names in (["shop.a"], ["shop.a"], ["shop.a", "shop.b"], ["shop.a", "shop.b"]):
        world.new(names)
    assert asked == [["shop.a"], ["shop.a", "shop.b"]]


def test_a_consumer_is_told_that_its_topic_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by its start alone, who starts later would begin elsewhere."""
    (one,) = World(tmp_path).new(["shop.a"])
    told: list[Options] = []
    monkeypatch.setattr(
        "nrtctl.consumer.consuming.make_consumer",
        lambda config, at, options, **_: told.append(options),
    )
    say = SimpleNamespace(lives=False)
    say.about = lambda name: say
    session = SimpleNamespace(pipeline=one.pipeline, say=say, config=one.config, addresses=None)
    session.clock = SystemClock()
    for came in (True, False):
        _Pipeline(
            cast(Session, session), cast(Any, None), Limits(), Stop(), None, Stored(), "", came
        ).make(None)
    assert [each.came for each in told] == [True, False]
    assert one.config.consumer.start == "latest"


def test_too_many_are_told_once_and_none_is_read(tmp_path: Path) -> None:
    world = World(tmp_path)
    for _ in range(2):
        assert world.new([f"shop.{number}" for number in range(101)]) == []
    assert len(world.said) == 1
    assert "101 topics" in world.said[0]
