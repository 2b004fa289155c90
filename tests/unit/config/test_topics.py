"""Several topics of one pipeline: what is said of them, and the part for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nrtctl.config.describe import shown
from nrtctl.config.load import Loaded, load_config, load_pipelines
from nrtctl.config.parts import meant
from nrtctl.errors import ConfigError

FIELDS = 'fields = { id = "UInt64" }\n'
SHOP = f"""
[pipelines.shop]
topics = ["orders.eu", "orders.us"]
table = "orders"
{FIELDS}
[pipelines.every]
topics = '^shop\\.(eu|us)$'
group = "mine"
{FIELDS}
[pipelines.one]
{FIELDS}
"""
NAMES = ("shop.eu", "shop.us", "shop.cn", "__shop")


class File:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, text: str) -> None:
        (self.directory / "nrtctl.toml").write_text(text)

    def one(self, name: str | None = None, *overrides: str) -> Loaded:
        return load_config(
            pipeline=name, overrides=overrides, cwd=self.directory,
            environ={"HOME": str(self.directory)},
        )  # fmt: skip

    def whole(self, *patterns: str, overrides: Sequence[str] = ()) -> list[Loaded]:
        return load_pipelines(
            patterns, overrides=overrides, cwd=self.directory,
            environ={"HOME": str(self.directory)},
        )  # fmt: skip

    def parts(self, *patterns: str) -> list[str]:
        def matching(whole: Loaded) -> list[str]:
            return [name for name in NAMES if whole.config.pipeline.reads(name)]

        found = meant(self.whole(*patterns), patterns, matching)
        return [str(each.pipeline) for some in found.values() for each in some]

    def refused(self, text: str) -> str:
        self.write(text)
        with pytest.raises(ConfigError) as caught:
            self.whole()
        return caught.value.message


@pytest.fixture
def file(tmp_path: Path) -> File:
    found = File(tmp_path)
    found.write(SHOP)
    return found


def test_a_part_has_a_group_of_its_own_and_all_else_of_the_whole(file: File) -> None:
    shop, every, _ = file.whole()
    assert shop.config.pipeline.unsplit
    assert "topic" not in shown(shop.config)["pipeline"]
    part = file.one("shop/orders.us")
    assert (part.pipeline, part.config.pipeline.topic) == ("shop/orders.us", "orders.us")
    assert part.config.consumer.group == "nrtctl-orders/orders.us"
    assert part.config.group_of_all == "nrtctl-orders"
    assert part.config.pipeline.table == "orders"
    assert part.config.of_topic("orders.eu").pipeline == shop.config.of_topic("orders.eu").pipeline
    assert every.config.of_topic("shop.eu").consumer.group == "mine/shop.eu"
    assert file.one("one").config.group_of_all is None


def test_parts_are_chosen_by_the_names_of_both(file: File) -> None:
    shop, every = ["shop/orders.eu", "shop/orders.us"], ["every/shop.eu", "every/shop.us"]
    assert file.parts() == [*shop, *every, "one"]
    assert file.parts("shop") == file.parts("shop/*") == shop
    assert file.parts("one", "every/*.us") == ["every/shop.us", "one"]
    for wrong in ("nope", "shop/nope", "one/nope", "every/shop.cn"):
        with pytest.raises(ConfigError, match="there is no such pipeline"):
            file.parts(wrong)
    with pytest.raises(ConfigError, match=r"does not have the topic 'nope'"):
        file.one("shop/nope")
    with pytest.raises(ConfigError, match=r"there is no such pipeline"):
        file.one("one/nope")


def test_a_pipeline_without_a_name_has_parts_named_after_the_topics(file: File) -> None:
    file.write(f'[pipeline]\ntopics = ["a", "b"]\n{FIELDS}')
    assert file.parts() == ["a", "b"]
    assert file.parts("b") == ["b"]
    assert file.one("b").config.pipeline.topic == "b"
    with pytest.raises(ConfigError, match=r"works on one topic, and there are 2: a, b") as caught:
        file.one()
    assert caught.value.hint == "choose one, as in --pipeline a"
    file.write(f'[pipeline]\ntopics = ["a"]\n{FIELDS}')
    assert file.one().config.pipeline.topic == "a"
    file.write(f'[pipeline]\ntopics = "a|b"\n{FIELDS}')
    with pytest.raises(ConfigError, match=r"pipeline.topics = 'a\|b' is a pattern"):
        file.one()


def test_a_topic_stands_for_topics_of_the_layers_below_and_the_other_way_round(file: File) -> None:
    said = "pipelines.shop.topic=x", 'pipelines.one.topics=["y", "z"]'
    shop, _, one = file.whole(overrides=said)
    assert (shop.config.pipeline.topic, shop.config.pipeline.topics) == ("x", None)
    assert one.config.pipeline.topics == ("y", "z")
    assert file.one("shop", *said).config.consumer.group == "nrtctl-orders"
    (all_of_them,) = {
        each.config.pipeline.topics for each in file.whole(overrides=["pipeline.topics=^q.*"])
    }
    assert all_of_them == "^q.*"
    both = file.refused(f'[pipeline]\ntopic = "a"\ntopics = ["b"]\n{FIELDS}')
    assert "nrtctl.toml:3: pipeline.topics: cannot be combined with topic" in both


@pytest.mark.parametrize(
    ("topics", "wrong"),
    [
        ("[]", "name at least one topic"),
        ('["a", "a"]', "'a' is named twice"),
        ('["a b"]', "'a b' is not a topic name"),
        ('["__consumer_offsets"]', "one of Kafka's own topics"),
        ("3", 'must be a list of names, as in ["a", "b"], or a pattern in quotes'),
        ("[3]", 'must be a list of names, as in ["a", "b"], or a pattern in quotes'),
        ('"("', "is not a regular expression"),
        ('"a"\nroute = "first"', "leave out route and unmatched"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(file: File, topics: str, wrong: str) -> None:
    said = file.refused(f"[pipelines.a]\ntopics = {topics}\n{FIELDS}")
    assert "pipeline.topics: " in said
    assert wrong in said


def test_two_that_may_read_a_topic_do_not_share_a_group(file: File) -> None:
    def two(one: str, other: str) -> str:
        return (
            f'[consumer]\ngroup = "g"\n[pipelines.a]\ntopics = {one}\n{FIELDS}'
            f"[pipelines.b]\ntopics = {other}\n{FIELDS}"
        )

    for one, other in (('["x", "y"]', '["y"]'), ('["x"]', '".*"'), ('"a"', '"b"')):
        assert "with the group 'g', as pipelines.a does" in file.refused(two(one, other))
    file.write(two('["x"]', '["y"]'))
    assert len(file.whole()) == 2


def test_a_pipeline_of_several_topics_counts_among_those_of_each(file: File) -> None:
    text = (
        f"[pipelines.a]\ntopics = TOPICS\nwhen = \"k = 'a'\"\n{FIELDS}"
        f'[pipelines.rest]\ntopic = "x"\nroute = "first"\n{FIELDS}'
    )
    for topics, known in (('["x", "y"]', True), ('"^x$"', True), ('["y"]', False)):
        file.write(text.replace("TOPICS", topics))
        assert file.one("rest").config.pipeline.takes_some is known


def test_there_may_be_too_many(file: File) -> None:
    file.write(f'[pipeline]\ntopics = ".*"\n{FIELDS}')
    with pytest.raises(ConfigError, match=r"pipeline.topics = '.\*': 101 topics, and one .* 100"):
        meant(file.whole(), (), lambda whole: [str(number) for number in range(101)])
