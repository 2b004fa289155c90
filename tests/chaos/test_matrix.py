"""A short part of the crash matrix, with a fixed seed, against both brokers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.chaos import faults_group, faults_kill, faults_network, faults_servers
from tests.chaos.arena import Arena, BrokerKind
from tests.chaos.audit import audit
from tests.chaos.fault import Fault, Place
from tests.chaos.lane import attempt, make_arena
from tests.chaos.plan import Try, plan
from tests.plugins.apache_kafka import Unavailable, available_jars, unavailable

SEED = 20_261_124
BROKERS: tuple[BrokerKind, ...] = ("embedded", "apache")

pytestmark = pytest.mark.timeout(600)
BOTH_IN_LONG = pytest.mark.parametrize(
    "broker", ["embedded", pytest.param("apache", marks=pytest.mark.long)], indirect=True
)


@pytest.fixture(scope="module", params=BROKERS)
def broker(request: pytest.FixtureRequest) -> BrokerKind:
    kind: BrokerKind = request.param
    if kind == "apache":
        try:
            available_jars()
        except Unavailable as reason:
            unavailable(reason)
    return kind


def _arena(broker: BrokerKind, place: Place, factory: pytest.TempPathFactory) -> Iterator[Arena]:
    directory = factory.mktemp("chaos") / place
    arena = make_arena(directory, broker, place)
    yield arena
    arena.close()


@pytest.fixture(scope="module")
def direct(broker: BrokerKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """Members have an instance id, so that a successor need not wait for a session to end."""
    yield from _arena(broker, "static", tmp_path_factory)


@pytest.fixture(scope="module")
def proxied(broker: BrokerKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    yield from _arena(broker, "proxied", tmp_path_factory)


@pytest.fixture(autouse=True)
def pace(request: pytest.FixtureRequest) -> None:
    """Half as much is sent and inserted in a second where a test is not `long`."""
    for name in {"direct", "proxied"}.intersection(request.fixturenames):
        arena: Arena = request.getfixturevalue(name)
        arena.slow_down(1 if request.node.get_closest_marker("long") else 0.5)


def _check(arena: Arena, fault: Fault) -> None:
    outcome = attempt(arena, Try(fault, arena.kind, f"{SEED}/{fault.name}"))
    assert outcome.problem == ""
    assert outcome.finding is not None
    assert (outcome.finding.lost, outcome.finding.duplicated) == (0, 0)


def _named(faults: list[Fault], name: str) -> Fault:
    return next(fault for fault in faults if fault.name == name)


@pytest.mark.parametrize(
    ("broker", "every"),
    [
        ("embedded", 4),
        pytest.param("embedded", 1, marks=pytest.mark.long),
        pytest.param("apache", 1, marks=pytest.mark.long),
    ],
    indirect=["broker"],
)
def test_killed_at_every_point_in_a_row(
    direct: Arena, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each victim inherits from the one before: no order is restored in between."""
    rng = Random(SEED)
    points = [point for point in faults_kill.KILLS if not point.startswith("revoke")]
    rng.shuffle(points)
    points = points[::every]
    in_flight = 0
    larger = (direct.project.environ, "NRTCTL_BATCH__MAX_ROWS", "2000")
    for point in points:
        with monkeypatch.context() as here:
            if point.startswith("idle"):  # once all that has piled up is stored
                here.setitem(*larger)
            faults_kill.KILLS[point](direct, rng)
        in_flight += bool(direct.in_flight())
    monkeypatch.setitem(*larger)
    _check(direct, _named(faults_kill.faults(), "kill at random"))
    assert in_flight >= len(points) // 2


@pytest.mark.long
@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
@pytest.mark.parametrize("point", ["insert-answered", "insert-sending", "dead-letter-answered"])
def test_messages_of_several_rows(broker: BrokerKind, point: str, tmp_path: Path) -> None:
    """`tests/e2e/test_several_rows.py` has the short form."""
    arena = make_arena(tmp_path / "arena", broker, "static", several=True)
    try:
        _check(arena, _named(faults_kill.faults(), f"kill at {point}"))
    finally:
        arena.close()


@pytest.mark.long
@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
@pytest.mark.parametrize("point", ["intent-declared", "insert-answered"])
def test_three_pipelines_in_one_process(broker: BrokerKind, point: str, tmp_path: Path) -> None:
    """`tests/e2e/test_several_topics.py` has the short form: a process of two, killed."""
    arena = make_arena(tmp_path / "arena", broker, "static", beside=True)
    try:
        _check(arena, _named(faults_kill.faults(), f"kill at {point}"))
    finally:
        arena.close()


@pytest.mark.long
@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
def test_three_shards(broker: BrokerKind, tmp_path: Path) -> None:
    """`tests/contract/cluster/test_several_shards.py` has two, one of which goes away, once."""
    arena = make_arena(tmp_path / "arena", broker, "static", shards=3)
    points = ("intent-declared", "insert-answered", "probe-answered", "delete-answered",
              "dead-letter-answered")  # fmt: skip
    try:
        for point in points:
            _check(arena, _named(faults_kill.faults(), f"kill at {point}"))
        _check(arena, _named(faults_servers.faults(), "ClickHouse and consumer killed"))
        for fault in faults_servers.of_shards() * 2:
            _check(arena, fault)
    finally:
        arena.close()


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
def test_killed_as_it_hands_over(proxied: Arena) -> None:
    _check(proxied, _named(faults_kill.faults(), "kill at revoke-ended, dynamic member"))


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
@pytest.mark.parametrize(
    "name",
    [
        "ClickHouse killed in mid-insert",
        pytest.param("ClickHouse and consumer killed", marks=pytest.mark.long),
    ],
)
def test_clickhouse_killed(direct: Arena, name: str) -> None:
    _check(direct, _named(faults_servers.faults(), name))


@BOTH_IN_LONG
def test_the_broker_killed(direct: Arena) -> None:
    _check(direct, _named(faults_servers.faults(), "broker killed"))


@BOTH_IN_LONG
def test_a_zombie_wakes_up(proxied: Arena) -> None:
    name = "stopped at insert-sending until a zombie"
    _check(proxied, _named(faults_group.faults(), name))


@pytest.mark.long
@pytest.mark.parametrize("name", ["Kafka: connections cut", "ClickHouse: answers lost"])
def test_the_network_fails(proxied: Arena, name: str) -> None:
    """`tests/contract/consumer/test_together.py` and `test_too_much.py` lose answers to inserts."""
    _check(proxied, _named(faults_network.faults(), name))


@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
def test_the_audit_sees_what_is_lost_and_what_is_doubled(direct: Arena) -> None:
    """Made wrong behind everybody's back, then mended."""
    direct.load(Random(1), count=200)
    direct.loaded()
    direct.run("consume", "--until-end")
    direct.end_members()
    assert audit(direct).good
    offset = direct.front.sql("SELECT max(_offset) FROM nrt.events WHERE _partition = 0")
    one = f"_partition = 0 AND _offset = {offset}"
    direct.front.sql("CREATE TABLE nrt.kept AS nrt.events")
    direct.front.sql(f"INSERT INTO nrt.kept SELECT * FROM nrt.events WHERE {one}")
    copy = "INSERT INTO nrt.events SELECT * FROM nrt.kept SETTINGS insert_deduplicate = 0"
    direct.front.sql(copy)
    doubled = audit(direct)
    assert (doubled.lost, doubled.duplicated) == (0, 1)
    direct.front.sql(f"ALTER TABLE nrt.events DELETE WHERE {one} SETTINGS mutations_sync = 2")
    lost = audit(direct)
    assert (lost.lost, lost.duplicated) == (1, 0)
    direct.front.sql(copy)
    assert audit(direct).good


@pytest.mark.long
@pytest.mark.parametrize("broker", ["embedded"], indirect=True)
def test_kills_show_where_nothing_guards_against_them(broker: BrokerKind, tmp_path: Path) -> None:
    """The same kills with `delivery = at-least-once` do double rows: the matrix can fail.

    `tests/unit/exactly_once` has the same without processes.
    """
    directory = tmp_path / "arena"
    arena = make_arena(directory, broker, "static")
    try:
        once = ("--set", "consumer.delivery=at-least-once")
        for rows in (200, 170, 140):
            arena.load(Random(SEED), count=1200)
            member = arena.member(
                *once, "--set", f"batch.max_rows={rows}", fault="insert-answered=3"
            )
            member.wait_for_fault()
        arena.loaded()
        arena.run("consume", "--until-end", *once)
        found = audit(arena)
        assert found.lost == 0
        assert found.duplicated > 0
    finally:
        arena.close()


def test_the_plan_is_the_seed_s() -> None:
    def names(seed: int) -> list[list[str]]:
        return [[each.fault.name for each in tries] for tries in plan(40, seed, BROKERS).values()]

    assert names(7) == names(7) != names(8)
    lanes = plan(40, 7, BROKERS).values()
    assert sum(each.fault.kills for tries in lanes for each in tries) >= 40
