"""Several topics into one table, listed or by a pattern: each is exact by itself, and one that
comes while `consume` runs is read."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nrtctl.local.process import Endpoint
from tests.plugins import damage
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

LIMITS = """
[batch]
max_rows = 20
max_wait = "50ms"
[consumer]
session_timeout = "6s"
"""
SHOP = """
[pipelines.shop]
table = "orders"
partitions = 2
fields = { id = "UInt64" }
"""


def send(project: Project, topic: str, first: int, last: int) -> None:
    """Orders with the numbers [first, last), and one that is broken."""
    lines = b"".join(b'{"id":%d}\n' % number for number in range(first, last))
    project.run("produce", "--topic", topic, "--input", "-", stdin=lines + b"broken\n")


def stored(project: Project, topic: str) -> list[int]:
    rows = project.rows(f"SELECT id FROM orders WHERE _topic = '{topic}' ORDER BY id")
    return [int(row["id"]) for row in rows]


def verified(project: Project, *, code: int = 0) -> dict[str, tuple[int, int, int, int]]:
    """Stored, dead letters, missing and duplicated of each part."""
    report = project.json("verify", code=code)["pipelines"]
    names = ("stored", "dead_letters", "missing", "duplicated")
    return {part: tuple(each[name] for name in names) for part, each in report.items()}


@pytest.fixture
def shop(request: pytest.FixtureRequest, stack: Project) -> Iterator[Project]:
    """A project whose pipeline reads what matches a pattern, on either broker."""
    local = dict(stack.environ)
    if request.param == "apache":
        front = Endpoint.read(stack.directory / ".nrtctl" / "clickhouse")
        assert front is not None
        password = (stack.directory / ".nrtctl" / "clickhouse" / "password").read_text().strip()
        stack.environ |= {
            "NRTCTL_STACK__KIND": "external",
            "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": request.getfixturevalue("apache_kafka").bootstrap,
            "NRTCTL_CLICKHOUSE__URL": f"http://{front.host}:{front.port}",
            "NRTCTL_CLICKHOUSE__PASSWORD": password,
        }
    yield stack
    stack.environ = local  # so that `down` ends the local stack


@pytest.fixture
def named(shop: Project) -> Callable[[str], str]:
    """Makes the names of the topics: those of other tests do not match."""
    mark = f"t{uuid.uuid4().hex[:8]}"
    pattern = rf"^{mark}\.(eu|us|cn)\.orders$"
    shop.use_pipelines(f"{LIMITS}{SHOP}topics = '{pattern}'\n")
    return lambda land: f"{mark}.{land}.orders"


@pytest.mark.parametrize(
    ("shop", "whole"),
    [
        ("embedded", False),
        pytest.param("embedded", True, marks=pytest.mark.long),
        pytest.param("apache", True, marks=pytest.mark.long),
    ],
    indirect=["shop"],
)
def test_what_matches_is_exact_by_itself_and_what_comes_is_read(
    shop: Project, named: Callable[[str], str], tmp_path: Path, whole: bool
) -> None:
    """The whole has a damage, a repair and replays."""
    eu, us, cn, other = (named(land) for land in ("eu", "us", "cn", "de"))
    assert b"none matches yet" in shop.run("up").stdout
    nothing = shop.run("verify", code=1)
    assert b"Kafka has no topic that matches pipelines.shop.topics" in nothing.stderr
    for topic in (eu, us, other):
        shop.run("topics", "create", topic, "--partitions", "2")
    eventually(lambda: shop.run("up").stdout.count(b"  matches") == 2, "both match")
    for topic in (eu, us):
        send(shop, topic, 0, 100)
    send(shop, other, 0, 10)

    shop.environ["NRTCTL_FAULT"] = "insert-answered=3"
    assert shop.run("consume", "--until-end", code=None).returncode == -9
    del shop.environ["NRTCTL_FAULT"]

    log = tmp_path / "said"
    with shop.consuming(log) as consumer:
        eventually(lambda: len(stored(shop, eu) + stored(shop, us)) == 200, "what was there")
        shop.run("produce", "--topic", eu, "--input", "-", stdin=b'{"id":100}\n')
        eventually(lambda: len(stored(shop, eu)) == 101, "the next order")
        shop.run("topics", "create", cn, "--partitions", "1")
        send(shop, cn, 0, 30)
        eventually(lambda: len(stored(shop, cn)) == 30, "the topic that has come")
        assert f"topic {cn} is new and matches pipelines.shop.topics" in log.read_text()
        consumer.terminate()
        consumer.communicate(timeout=60)
    assert consumer.returncode == 0
    shop.run("consume", "--until-end")
    parts = {f"shop/{topic}": rows for topic, rows in ((cn, 30), (eu, 101), (us, 100))}
    exact = {part: (rows, 1, 0, 0) for part, rows in parts.items()}
    assert verified(shop) == exact
    assert [stored(shop, topic) for topic in (eu, us)] == [list(range(101)), list(range(100))]
    if not whole:
        return
    shots = shop.json("stats", "--once")["pipelines"]
    assert {part: each["stored"] for part, each in shots.items()} == parts

    damage.delete(shop, "orders", f"_topic = '{eu}' AND id = 50")
    damage.double(shop, "orders", f"_topic = '{us}' AND id IN (3, 4)")
    assert verified(shop, code=5) == exact | {
        f"shop/{eu}": (100, 1, 1, 0),
        f"shop/{us}": (102, 1, 0, 2),
    }
    shop.run("verify", "--repair", "--execute")
    assert verified(shop) == exact

    us_only = ("--pipeline", f"shop/{us}")
    shop.run("replay", "offsets", "--to-earliest", *us_only, "--execute")
    done = shop.json("consume", "--until-end")["pipelines"]
    assert {part: each["records"] + each["resolved"] for part, each in done.items()} == {
        part: 101 if part == f"shop/{us}" else 0 for part in parts
    }
    shop.run("replay", "load", *us_only, "--execute")
    assert verified(shop) == exact


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_topics_that_are_listed(stack: Project, workers: int) -> None:
    one = f'{LIMITS}{SHOP}topic = "eu"\n'
    stack.use_pipelines(one)
    stack.run("up")
    send(stack, "eu", 0, 50)
    stack.run("consume", "--until-end")
    (stack.directory / "metrics.json").touch()
    stack.use_pipelines(f'{LIMITS}{SHOP}topics = ["eu", "us"]\n')
    up = stack.run("up").stdout.decode()
    assert "group       nrtctl-orders/eu  changed: each topic has a group of its own" in up
    assert "topic       us  created" in up

    refused = stack.run("produce", "--input", "-", stdin=b"", code=2)
    assert b"there are 2: eu, us" in refused.stderr
    stack.run("produce", "--pipeline", "shop/us", "--input", "-", stdin=b'{"id":1}\n')
    send(stack, "us", 2, 40)
    send(stack, "eu", 50, 60)
    several = ("--workers", str(workers)) if workers > 1 else ()
    done = stack.json("consume", "--until-end", *several)["pipelines"]
    assert {part: (each["records"], each.get("workers", 1)) for part, each in done.items()} == {
        "shop/eu": (11, workers),
        "shop/us": (40, workers),
    }
    assert verified(stack) == {"shop/eu": (60, 2, 0, 0), "shop/us": (39, 1, 0, 0)}
    table = ("--into", "others", "--pipeline", "shop/eu")
    assert b"has the rows of several topics" in stack.run("replay", "load", *table, code=2).stderr
    again = ("dlq", "replay", "--to-topic", "us", "--pipeline", "shop/eu")
    assert b"the pipeline reads this topic as well" in stack.run(*again, code=2).stderr
    pattern = ("--set", "pipelines.shop.topics=eu|us")
    assert (
        b"--workers cannot be used"
        in stack.run("consume", "--workers", "2", *pattern, code=2).stderr
    )
    assert stack.run("doctor", *pattern).stdout.count(b"ok    topic ") == 2


def test_a_listed_topic_that_comes_later_is_read_from_its_start(
    stack: Project, tmp_path: Path
) -> None:
    """Whatever consumer.start says: nothing of it was there when it was asked for."""
    latest = LIMITS + 'start = "latest"\n'
    stack.use_pipelines(f'{latest}{SHOP}topic = "eu"\n')
    stack.run("up")
    (stack.directory / "metrics.json").touch()
    stack.use_pipelines(f'{latest}{SHOP}topics = ["eu", "us"]\n')
    log = tmp_path / "said"
    with stack.consuming(log) as consumer:
        eventually(lambda: "topic 'us' does not exist" in log.read_text(), "it is missed")
        stack.run("topics", "create", "us", "--partitions", "2")
        send(stack, "us", 0, 30)
        eventually(lambda: len(stored(stack, "us")) == 30, "all of it is stored")
        consumer.terminate()
        consumer.communicate(timeout=60)
    assert verified(stack)["shop/us"] == (30, 1, 0, 0)
