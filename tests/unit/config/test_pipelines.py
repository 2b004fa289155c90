"""Several pipelines in one file: which is meant, and what each one's configuration is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from nrtctl.config.describe import json_schema
from nrtctl.config.load import Loaded, load_config, load_pipelines
from nrtctl.errors import ConfigError
from nrtctl.pipeline.routing import EVERYTHING, Others, Taking

THREE = """
[kafka]
bootstrap_servers = "127.0.0.1:19092"

[batch]
max_rows = 500

[pipeline]
partitions = 12
dead_letters = "rejected"

[pipelines.orders]
topic = "shop.orders"
fields = { id = "UInt64", amount = "Decimal(9, 2)" }
order_by = ["id"]
batch = { max_wait = "2s" }
group = "billing"

[pipelines.clicks]
fields = { url = "String" }
start = "latest"

[pipelines."eu-clicks"]
partitions = 3

[pipelines."eu-clicks".fields]
url = "String"
"""


class Files:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {"HOME": str(directory)}

    def write(self, text: str, name: str = "nrtctl.toml") -> None:
        (self.directory / name).write_text(text)

    def one(self, name: str | None = None, *overrides: str, profile: str | None = None) -> Loaded:
        return load_config(
            pipeline=name, profile=profile, overrides=overrides, environ=self.environ,
            cwd=self.directory,
        )  # fmt: skip

    def all(self, *patterns: str, overrides: tuple[str, ...] = ()) -> list[Loaded]:
        return load_pipelines(
            patterns, overrides=overrides, environ=self.environ, cwd=self.directory
        )

    def refused(self, *patterns: str) -> str:
        with pytest.raises(ConfigError) as caught:
            self.all(*patterns)
        return caught.value.message


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path)
    found.write(THREE)
    return found


def test_each_is_a_configuration_of_one_pipeline(files: Files) -> None:
    orders, clicks, eu = files.all()
    assert [each.pipeline for each in (orders, clicks, eu)] == ["orders", "clicks", "eu-clicks"]
    assert orders.pipelines == ("orders", "clicks", "eu-clicks")
    pipeline = orders.config.pipeline
    assert (pipeline.topic, pipeline.table, pipeline.partitions) == ("shop.orders", "orders", 12)
    assert (pipeline.dead_letters, pipeline.order_by) == ("rejected", ("id",))
    assert set(pipeline.fields) == {"id", "amount"}
    assert (pipeline.columns, pipeline.rollups, pipeline.key) == ({}, {}, None)
    assert orders.config.consumer.group == "billing"
    assert (orders.config.batch.max_rows, orders.config.batch.max_wait) == (500, 2.0)
    assert (clicks.config.batch.max_wait, clicks.config.consumer.start) == ("auto", "latest")
    assert (clicks.config.pipeline.topic, clicks.config.consumer.group) == (
        "clicks", "nrtctl-clicks",
    )  # fmt: skip
    assert (eu.config.pipeline.topic, eu.config.pipeline.table) == ("eu-clicks", "eu_clicks")
    assert eu.config.pipeline.partitions == 3
    assert {each.config.kafka.port() for each in (orders, clicks, eu)} == {19092}


def test_the_origin_is_the_line_of_the_pipeline(files: Files) -> None:
    orders = files.one("orders")
    path = files.directory / "nrtctl.toml"
    assert str(orders.origin("pipeline.topic")) == f"{path}:13 [pipelines.orders]"
    assert str(orders.origin("consumer.group")) == f"{path}:17 [pipelines.orders]"
    assert str(orders.origin("batch.max_wait")) == f"{path}:16 [pipelines.orders]"
    assert str(orders.origin("batch.max_rows")) == f"{path}:6"
    assert str(orders.origin("pipeline.partitions")) == f"{path}:9"
    assert str(orders.origin("pipeline.table")) == "default"


def test_the_schema_takes_it() -> None:
    schema = json_schema()
    jsonschema.validate(tomllib.loads(THREE), schema)
    wrong = tomllib.loads(THREE.replace("group =", "grup ="))
    with pytest.raises(jsonschema.ValidationError, match="grup"):
        jsonschema.validate(wrong, schema)


def test_names_and_patterns(files: Files) -> None:
    def named(*patterns: str) -> list[str | None]:
        return [each.pipeline for each in files.all(*patterns)]

    assert named("*clicks") == ["clicks", "eu-clicks"]
    assert named("eu-clicks", "orders") == ["orders", "eu-clicks"]
    assert "there are orders, clicks, eu-clicks" in files.refused("orders", "cliks")
    with pytest.raises(ConfigError, match="works on one pipeline, and there are 3: orders, clicks"):
        files.one()
    with pytest.raises(ConfigError, match="there is no such pipeline"):
        files.one("nothing")


def test_a_file_of_one_pipeline_is_as_before(files: Files) -> None:
    files.write("[pipeline]\ntopic = 'a'\n")
    (only,) = files.all()
    assert (only.pipeline, only.pipelines) == (None, ())
    assert only.config == files.one().config
    assert only.config.pipeline.table == "events"
    assert "the configuration names none" in files.refused("a")
    files.write("[pipelines.a]\nfields = { n = 'UInt8' }\n")
    assert files.one().pipeline == "a"
    assert files.one().config.pipeline.topic == "a"


def test_flags_and_variables_of_one_pipeline(files: Files) -> None:
    flags = (
        "pipelines.orders.topic=new",
        "pipelines.eu-clicks.batch.max_rows=7",
        "batch.max_rows=9",
    )
    orders, clicks, eu = files.all(overrides=flags)
    assert orders.config.pipeline.topic == "new"
    assert clicks.config.pipeline.topic == "clicks"
    assert (eu.config.batch.max_rows, clicks.config.batch.max_rows) == (9, 9)
    files.environ |= {
        "NRTCTL_PIPELINES__EU_CLICKS__TOPIC": "other", "NRTCTL_PIPELINES__ORDERS__GROUP": "books",
        "NRTCTL_PIPELINES__CLICKS__BATCH__MAX_ROWS": "3",
    }  # fmt: skip
    files.write("NRTCTL_PIPELINES__ORDERS__TABLE=o\nNRTCTL_PIPELINES__ORDERS__GROUP=x\n", ".env")
    orders, clicks, eu = files.all()
    assert (orders.config.consumer.group, orders.config.pipeline.table) == ("books", "o")
    assert (clicks.config.batch.max_rows, eu.config.batch.max_rows) == (3, 500)
    assert eu.config.pipeline.topic == "other"
    assert str(eu.origin("pipeline.topic")) == "environment NRTCTL_PIPELINES__EU_CLICKS__TOPIC"
    files.environ = {"HOME": "/", "NRTCTL_PIPELINES__NOTHING__TOPIC": "x"}
    assert "NRTCTL_PIPELINES__NOTHING__TOPIC: unknown variable" in files.refused()


def test_a_profile_lays_over_pipelines_that_there_are(files: Files) -> None:
    files.write(THREE + "\n[profile.prod.pipelines.ordres]\ntopic = 'prod.orders'\n")
    with pytest.raises(ConfigError) as refused:
        files.one("orders", profile="prod")
    assert re.search(
        r"nrtctl.toml:\d+: profile.prod.pipelines.ordres: there is no such pipeline; did you mean "
        "'orders'\\?",
        refused.value.message,
    )
    files.one("orders")
    files.write("[pipeline.fields]\nx = 'String'\n[profile.p.pipelines.orders]\ntopic = 't'\n")
    with pytest.raises(ConfigError, match="the configuration has no \\[pipelines"):
        files.one(profile="p")


def test_a_variable_that_may_mean_two_pipelines_is_refused(files: Files) -> None:
    fields = "fields = { x = 'String' }"
    files.write(f"[pipelines.a-b]\n{fields}\n[pipelines.a_b]\ntable = 'c'\n{fields}\n")
    files.environ["NRTCTL_PIPELINES__A_B__TOPIC"] = "t"
    for name in ("a-b", "a_b"):
        with pytest.raises(ConfigError, match="each of the pipelines a-b, a_b"):
            files.one(name)


def test_a_profile_lays_over_pipelines(files: Files) -> None:
    files.write(THREE + "\n[profile.prod.pipelines.orders]\npartitions = 64\n")
    assert files.one("orders", profile="prod").config.pipeline.partitions == 64
    assert files.one("orders").config.pipeline.partitions == 12
    assert files.one("clicks", profile="prod").config.pipeline.partitions == 12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pipelines]\norders = 1\n", "nrtctl.toml:2: pipelines.orders: must be a table"),
        ("pipelines = 3\n", "pipelines: must be a table of sections"),
        ("[pipelines.'a b']\n", "pipelines.a b: a pipeline's name consists of"),
        ("[pipelines.a]\ntopik = 'x'\nfields = { n = 'UInt8' }\n", "did you mean 'topic'?"),
        ("[pipelines.a]\ntopic = 'x'\n", "name at least one field"),
        ("[pipelines.a.batch]\nmax_wait = 5\n[pipelines.a.fields]\nn='UInt8'\n", "5 has no unit"),
        (
            "[pipeline]\ntable = 't'\n[pipelines.a.fields]\nn = 'UInt8'\n",
            "nrtctl.toml:2: pipeline.table: a table belongs to one pipeline",
        ),
        (
            "[pipelines.a]\ntable = 't'\nfields = { n = 'UInt8' }\n"
            "[pipelines.b]\ntable = 't'\nfields = { n = 'UInt8' }\n",
            "pipelines.b: the table or view 't' is that of pipelines.a",
        ),
        (
            "[pipelines.a]\nfields = { n = 'UInt8' }\n"
            "[pipelines.b]\ndead_letters = 'a'\nfields = { n = 'UInt8' }\n",
            "pipelines.b.dead_letters: 'a' is a table or view of pipelines.a",
        ),
        (
            "[pipelines.bad_log]\nfields = { n = 'UInt8' }\n"
            "[pipelines.b]\ndead_letters = 'bad'\nfields = { n = 'UInt8' }\n",
            "pipelines.b.dead_letters: 'bad_log' is a table or view of pipelines.bad_log",
        ),
        (
            "[consumer]\ngroup = 'g'\n[pipeline]\ntopic = 't'\n[pipelines.a.fields]\nn = 'UInt8'\n"
            "[pipelines.b.fields]\nn = 'UInt8'\n",
            "pipelines.b: reads the topic 't' with the group 'g', as pipelines.a does",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(files: Files, text: str, said: str) -> None:
    files.write(text)
    assert said in files.refused()


ROUTED = """
[pipeline]
topic = "shop"
fields = { kind = "String" }

[pipelines.orders]
when = "kind = 'order'"

[pipelines.other]
topic = "other"

[pipelines.clicks]
when = "kind = 'click'"
route = "first"

[pipelines.rest]
route = "first"
"""


def others(files: Files, name: str, *flags: str) -> Others:
    return files.one(name, *flags).config.pipeline.others


def test_what_a_pipeline_knows_of_the_others_of_its_topic(files: Files) -> None:
    files.write(ROUTED)
    assert others(files, "orders") == others(files, "other") == Others()
    assert others(files, "clicks") == Others(earlier=(Taking("kind = 'order'"),))
    assert others(files, "rest") == Others(
        earlier=(Taking("kind = 'order'"), Taking("kind = 'click'"))
    )
    assert [each.config.pipeline.others for each in files.all("rest")] == [others(files, "rest")]
    taken = [each.config.pipeline.takes_some for each in files.all()]
    assert taken == [True, False, True, True]
    moved = "pipelines.orders.topic=elsewhere"
    assert others(files, "rest", moved) == Others(earlier=(Taking("kind = 'click'"),))
    changed = "pipelines.orders.when=kind = 'sale'"
    assert others(files, "clicks", changed) == Others(earlier=(Taking("kind = 'sale'"),))
    dead = 'pipelines.clicks.unmatched="dead letter"'
    assert others(files, "clicks", dead).every == (
        Taking("kind = 'order'"), Taking(EVERYTHING),
    )  # fmt: skip
    fields = """pipelines.orders.fields={ n = { type = "Float64", accept = ["nan"] }, h = {
        type = "Float64", from = { header = "h" }, accept = ["broken text"] } }"""
    (taking,) = others(files, "clicks", fields.replace("\n", "")).earlier
    assert taking == Taking("kind = 'order'", frozenset({"nan"}))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind = 'order'", "kind = = 1", "nrtctl.toml:7 [pipelines.orders]: pipeline.when: "
         "'kind = = 1' is not a condition: at character 8 ('= 1') there should be a value"),
        ("kind = 'order'", "kind = [1]", "write texts, numbers, true, false or null"),
        ('when = "kind = \'order\'"', "", "pipelines.clicks.route: nothing is left for it: "
         "pipelines.orders, which comes before it, takes every message of the topic 'shop'"),
        ('[pipeline]\n', '[pipeline]\nunmatched = "dead letter"\n', "pipelines.clicks.unmatched: "
         "pipelines.orders makes dead letters of what no pipeline takes from the topic 'shop'"),
        ('[pipelines.rest]\n', '[pipelines.rest]\nrows = ["x"]\n', "pipelines.rest.route: a "
         "pipeline with `rows` takes every message"),
        ('[pipelines.orders]\n', '[pipelines.orders]\nrows = ["x"]\n', "pipeline.when: a "
         "pipeline with `rows` takes every message"),
        ('route = "first"', 'route = "last"', "pipeline.route"),
    ],
)  # fmt: skip
def test_what_cannot_be_routed_is_refused(files: Files, old: str, new: str, told: str) -> None:
    files.write(ROUTED.replace(old, new, 1))
    assert told in files.refused()


def test_a_pipeline_alone_may_leave_messages_out(files: Files) -> None:
    files.write("""[pipeline]\nfields = { n = "UInt8" }\nwhen = "n > 1"\nroute = "first"\n""")
    assert files.one().config.pipeline.takes_some
    assert files.one().config.pipeline.others == Others()
    files.write("[pipeline]\nwhen = \"n >\"\nfields = { n = 'UInt8' }\n")
    with pytest.raises(ConfigError, match=r"toml:2: pipeline\.when: 'n >' is not a condition"):
        files.one()


def test_one_pipeline_is_checked_with_the_others_that_are_sound(files: Files) -> None:
    """Of a program: it stored its rows into the table of another pipeline."""
    sound = "[pipelines.{}]\ntable = '{}'\nfields = {{ n = 'UInt8' }}\n"
    files.write(sound.format("a", "t") + sound.format("b", "t"))
    with pytest.raises(ConfigError, match=r"'t' is that of pipelines\.a"):
        files.one("b")
    files.write(sound.format("a", "t") + "[pipelines.b]\ntable = 't'\n")
    assert files.one("a").config.pipeline.table == "t"
