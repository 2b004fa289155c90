"""One broker, one ClickHouse front, proxies before them, and a project: what the faults break.

Made by `plan` for the command and by `test_matrix` for pytest; many faults go through one arena.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from tests.chaos.kafka_view import KafkaView
from tests.chaos.limits import LIMIT, Hang, Trouble, wait_until
from tests.chaos.member import Member
from tests.plugins.apache_kafka import ApacheKafka, available_jars
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.local_broker import LocalBroker
from tests.plugins.proxy import Proxy
from tests.plugins.several_shards import CLUSTER, SeveralShards
from tests.plugins.stack import Project

BrokerKind = Literal["embedded", "apache"]
PROXY_HOST = "127.0.0.2"
TRAP = 424_242
"""A latency on which the pipeline's own SQL throws; no generated event has it."""

ARRAYS = 600
"""Messages of up to six rows that go before each producer's events."""

BESIDE = ("clicks", "visits")
OF_EACH_BESIDE = 1500
"""Messages to each of them before each producer's events; every tenth is a dead letter."""

INSERT = b"insert_deduplication_token="
LATEST = """
[pipeline.latest.newest]
key = "user_id"
version = "intDiv(event_timestamp, 1000)"
deleted = "status = 'ERROR'"
"""


@dataclass(slots=True)
class Load:
    """A producer at work. `traps`: messages on which the pipeline's SQL throws."""

    process: subprocess.Popen[bytes]
    ledger: Path
    traps: int = 0


@dataclass(slots=True)
class Expected:
    """What the finished producers say. `unsure`: sent, but not acknowledged. `beside`: acknowledged
    of each of `BESIDE`."""

    acknowledged: int = 0
    unsure: int = 0
    dead: int = 0
    beside: int = 0


@dataclass(frozen=True, slots=True)
class Style:
    """How an arena is set up.

    Attributes:
        static: members have an instance id, so that a successor waits for no session timeout.
        proxied: Kafka too is reached through a proxy (ClickHouse always is).
        several: messages may be arrays, each element of which is a row.
        beside: the consumers' processes have two pipelines more, `BESIDE`.
        shards: ClickHouse is a cluster of so many (`plugins.several_shards`); 0: one server.
    """

    static: bool = True
    proxied: bool = False
    several: bool = False
    beside: bool = False
    shards: int = 0

    @property
    def latest(self) -> bool:
        """Whether there is a current state, `LATEST`, beside the rows."""
        return not self.proxied and not self.shards


class Arena:
    """Close it.

    Args:
        directory: for the project, and what the processes say.
        data: for what broker and front keep.
    """

    def __init__(self, directory: Path, data: Path, kind: BrokerKind, style: Style) -> None:
        self.kind = kind
        self.style = style
        self.directory = directory
        self.data = data
        self.expected = Expected()
        self.members: list[Member] = []
        self._loads: list[Load] = []
        self._number = 0
        self._share = 1.0
        self._insert_seen = threading.Event()
        self.watched = False
        directory.mkdir(parents=True, exist_ok=True)
        data.mkdir(exist_ok=True)
        advertised = PROXY_HOST if style.proxied else "127.0.0.1"
        if kind == "apache":
            self.broker: LocalBroker | ApacheKafka = ApacheKafka(
                data, available_jars(), advertised=advertised
            )
        else:
            self.broker = LocalBroker(data, "--advertised-host", advertised)
        self.cluster: SeveralShards | None = None
        self.front = ClickHouseFront(data / "clickhouse")
        self.kafka_proxy: Proxy | None = None
        try:
            self.broker.start()
            if style.shards:
                self.cluster = SeveralShards(data, style.shards)
                self.front = self.cluster.server
            else:
                self.front.start()
            broker, front = ("127.0.0.1", self.broker.port), ("127.0.0.1", self.front.port)
            if style.proxied:
                self.kafka_proxy = Proxy(broker, listen=(PROXY_HOST, self.broker.port))
            self.front_proxy = Proxy(front, seen=self._seen)
            self.project = self._make_project()
            self.run("up")
            self.kafka = KafkaView(self.broker.bootstrap, "user_events", "nrtctl-events")
        except BaseException:
            self._stop()
            raise

    def _make_project(self) -> Project:
        directory = self.directory / "project"
        directory.mkdir()
        project = Project(directory)
        project.run("init")
        path = directory / "nrtctl.toml"
        text = path.read_text()
        for old, new in {
            '# bootstrap_servers = "127.0.0.1:9092"': (
                f'bootstrap_servers = "{self.broker.bootstrap}"'
            ),
            '# url = "http://127.0.0.1:8123"': f'url = "http://127.0.0.1:{self.front_proxy.port}"',
            'database = "nrt"': 'database = "nrt"\nrequest_timeout = "5s"',
            "max_rows = 100000": "max_rows = 200",
            'max_wait = "auto"': 'max_wait = "100ms"',
            'delivery = "exactly-once"': 'delivery = "exactly-once"\nsession_timeout = "6s"',
            "[pipeline.columns] ": f"[pipeline.columns]\n"
            f"trap = \"throwIf(request_latency_ms = {TRAP}, 'it is a trap')\"\n# ",
        }.items():
            if old not in text:
                raise Trouble(f"the template of nrtctl.toml has no {old!r}")
            text = text.replace(old, new, 1)
        if self.style.several:
            rows = 'rows = { from = ["*"], single = true }'
            text = text.replace("[pipeline]\n", f"[pipeline]\n{rows}\n", 1)
            text = re.sub(r"^key = .*\n", "", text, flags=re.MULTILINE)
        if self.style.latest:
            text += LATEST
        if self.style.beside:
            text = text.replace("[pipeline", "[pipelines.events")
            text += "".join(f'\n[pipelines.{name}.fields]\nid = "UInt64"\n' for name in BESIDE)
        path.write_text(f'{text}\n[stack]\nkind = "external"\n')
        if self.style.shards:
            project.environ["NRTCTL_CLICKHOUSE__CLUSTER"] = CLUSTER
        project.environ["NRTCTL_CLICKHOUSE__PASSWORD"] = self.front.password.strip()
        return project

    def _seen(self, data: bytes) -> None:
        if self.watched and INSERT in data:
            self._insert_seen.set()

    def slow_down(self, share: float) -> None:
        """From now on loads have this share of their messages, sent at this share of their rate,
        and consumers insert as much less often: as long, for less CPU."""
        self._share = share
        self.project.environ["NRTCTL_BATCH__MAX_WAIT"] = f"{100 / share:.0f}ms"

    # Commands.

    def run(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[bytes]:
        """`nrtctl …`. Raises Hang, Trouble: it ended with another code."""
        try:
            done = self.project.run(*self._of_one(arguments), code=None, timeout=LIMIT)
        except subprocess.TimeoutExpired as error:
            raise Hang(f"nrtctl {' '.join(arguments)} does not end") from error
        if code is not None and done.returncode != code:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise Trouble(f"nrtctl {' '.join(arguments)} ended with {done.returncode}\n{said}")
        return done

    def _of_one(self, arguments: Sequence[str]) -> Sequence[str]:
        """All but `up` and `consume` are about one pipeline: the events, or a named one."""
        if not self.style.beside or arguments[0] in {"up", "consume"} or "--pipeline" in arguments:
            return arguments
        return [*arguments, "--pipeline", "events"]

    def verify(self, *arguments: str) -> tuple[int, Any]:
        """The exit code of `nrtctl verify -o json`, and its object."""
        done = self.run("verify", "-o", "json", *arguments, code=None)
        if done.returncode not in {0, 5}:
            raise Trouble(f"verify ended with {done.returncode}: {done.stderr.decode()}")
        return done.returncode, json.loads(done.stdout)

    # Producers.

    def load(self, rng: Random, *, count: int = 3000, rate: int = 2500, traps: int = 0) -> Load:
        """Start a producer: generated events, two in a hundred of them bad.

        With `traps`, that many messages are sent first on which the pipeline's SQL throws. Where
        messages may be arrays, some that are go first, too.
        """
        count, rate = round(count * self._share), round(rate * self._share)
        if traps:
            self._send_traps(rng, traps)
        if self.style.several:
            self._send(rng, ARRAYS)
        if self.style.beside:
            self._send_beside()
        ledger = self._new("ledger")
        load = Load(
            self.project.start(
                *self._of_one(
                    [
                        *("produce", "--count", str(count), "--rate", str(rate), "--invalid", "2"),
                        *("--seed", str(rng.randrange(2**31)), "--ledger", str(ledger)),
                    ]
                )
            ),
            ledger,
        )
        self._loads.append(load)
        return load

    def _send_beside(self) -> None:
        lines = self._new("beside.jsonl")
        messages = [f'{{"id": {"null" if at % 10 == 3 else at}}}' for at in range(OF_EACH_BESIDE)]
        lines.write_text("\n".join(messages) + "\n")
        for name in BESIDE:
            self.run("produce", "--input", str(lines), "--pipeline", name)
        self.expected.beside += OF_EACH_BESIDE

    def _send_traps(self, rng: Random, traps: int) -> None:
        self._send(rng, traps * 5, traps)

    def _send(self, rng: Random, messages: int, traps: int = 0) -> None:
        """Messages of a file, every fifth a trap if there are to be any."""
        lines, ledger = self._new("messages.jsonl"), self._new("ledger")
        latencies = [TRAP if traps and at % 5 == 2 else 10 for at in range(messages)]
        with lines.open("w") as file:
            for number, latency in enumerate(latencies):
                message: Any = _event(rng, latency)
                if self.style.several and number:  # the first says that it is a text a line
                    more = [_event(rng, 10) for _ in range(rng.randrange(6))]
                    message = rng.sample([message, *more], len(more) + 1)
                file.write(json.dumps(message) + "\n")
        load = Load(
            self.project.start(
                *self._of_one(["produce", "--input", str(lines), "--ledger", str(ledger)])
            ),
            ledger,
            traps,
        )
        self._loads.append(load)
        self._finish(load)

    def loaded(self) -> None:
        """Wait for every producer's end, and take in what it says."""
        for load in list(self._loads):
            self._finish(load)

    def _finish(self, load: Load) -> None:
        try:
            _, errors = load.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            load.process.kill()
            raise Hang("the producer does not end") from None
        self._loads.remove(load)
        if load.process.returncode not in {0, 1}:
            raise Trouble(f"produce ended with {load.process.returncode}: {errors.decode()}")
        self.expected.dead += load.traps
        for line in load.ledger.read_text().splitlines()[1:]:
            entry = json.loads(line)
            if "failed" in entry:
                self.expected.unsure += 1
            else:
                self.expected.acknowledged += 1
                self.expected.dead += entry["expect"] == "dead_letter"

    # Consumers.

    def member(self, *arguments: str, fault: str | None = None, instance: str = "first") -> Member:
        """Start a consumer."""
        member = Member(
            self.project,
            self._new("consumer.log"),
            *arguments,
            fault=fault,
            instance=instance if self.style.static else None,
        )
        self.members.append(member)
        return member

    def in_flight(self) -> dict[int, int]:
        """The start of each declared batch that the group has not said to be stored."""
        return {n: each.offset for n, each in self.kafka.committed().items() if each.pending}

    def past(self, ends: dict[int, tuple[int, int]]) -> bool:
        """Whether the group has committed everything below `ends`."""
        committed = self.kafka.committed()
        return all(committed[number].offset >= high for number, (_, high) in ends.items())

    def drained(self) -> bool:
        """Whether everything is committed, and nothing is under way."""
        return self.past(self.kafka.ends()) and not self.in_flight()

    def wait_for_insert(self) -> None:
        """Return when a consumer's insert is on its way to ClickHouse."""
        self._insert_seen.clear()
        self.watched = True
        try:
            if not self._insert_seen.wait(LIMIT):
                raise Hang("no consumer inserts anything")
        finally:
            self.watched = False

    def wait_for_work(self, member: Member) -> None:
        """Return when the group has committed something since now."""
        before = {n: each.offset for n, each in self.kafka.committed().items()}

        def moved() -> bool:
            if not member.alive:
                raise Trouble(
                    f"the consumer ended with {member.process.returncode}\n{member.said()}"
                )
            return {n: each.offset for n, each in self.kafka.committed().items()} != before

        wait_until(moved, "the consumer commits its first batch")

    def close(self) -> None:
        self.kafka.close()
        self._stop()

    def end_members(self) -> None:
        for member in self.members:
            member.close()
        self.members.clear()

    def _stop(self) -> None:
        self.end_members()
        for load in self._loads:
            load.process.kill()
            load.process.communicate()
        for proxy in (self.kafka_proxy, getattr(self, "front_proxy", None)):
            if proxy is not None:
                proxy.close()
        self.front.kill()
        if self.cluster is not None:
            self.cluster.close()
        self.broker.kill()

    def _new(self, name: str) -> Path:
        self._number += 1
        return self.directory / f"{self._number:04}-{name}"


def _event(rng: Random, latency: int) -> dict[str, Any]:
    def make_id() -> str:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    return {
        "event_id": make_id(),
        "user_id": make_id(),
        "session_id": make_id(),
        "event_type": "SEARCH",
        "event_timestamp": 1_790_000_000_000 + rng.randrange(10**9),
        "request_latency_ms": latency,
        "status": "SUCCESS",
    }
