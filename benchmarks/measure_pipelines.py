"""Many pipelines in one process beside one with the same traffic:
`python -m benchmarks.measure_pipelines --pipelines 20 --partitions 100 --rate 20000 --rounds 3`.

In turns: one pipeline with all partitions, and so many pipelines that share the partitions and the
traffic. Milliseconds from a message's time to the insert of its row (by the table), the memory of
the consumer's process, and the CPU of the consumer, of Kafka and of ClickHouse. With `--busy` all
but one message in a hundred go to the first pipeline, which has a backlog of 20 seconds at the
start, and the times are those of the others.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator

from confluent_kafka import Producer

from nrtctl.bench.children import NRTCTL
from nrtctl.bench.figures import quantile
from nrtctl.bench.scratch import Scratch, scratch_stack
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.kafka import clients

WARM_UP = 5.0
VALUE = b'{"id":%d,"name":"a name of some length","amount":12.5,"kind":"SEARCH","at":%d}'
FIELDS = (
    'fields = { id = "UInt64", name = "String", amount = "Float64", '
    'kind = "LowCardinality(String)", at = "Int64" }'
)


class Round:
    """One way, once. Args: topics: how many pipelines."""

    def __init__(self, stack: Scratch, name: str, topics: int, partitions: int) -> None:
        self._stack = stack
        self._name = name
        self.topics = [f"{name}_{number}" for number in range(topics)]
        self._file = stack.directory / f"{name}.toml"
        own = "\n".join(f"[pipelines.{each}]\n{FIELDS}" for each in self.topics)
        addresses = stack.addresses()
        self._file.write_text(
            f'[kafka]\nbootstrap_servers = "{addresses.bootstrap_servers}"\n'
            f'[clickhouse]\nurl = "{addresses.clickhouse_url}"\ndatabase = "{name}"\n'
            f"[pipeline]\npartitions = {partitions // topics}\n{own}\n"
        )

    def _command(self, *arguments: str) -> list[str]:
        return [*NRTCTL, *arguments, "-q", "-o", "json", "--config", str(self._file)]

    def run(self, rate: int, seconds: float, *, backlog: int, busy: bool) -> dict[str, float]:
        stack = self._stack
        with stack.child("up", self._command("up")) as child:
            child.wait()
        producer = clients.make_producer(
            stack.config().kafka, address=stack.addresses().bootstrap_servers
        )
        for _ in range(backlog):
            _send(producer, self.topics[0])
        producer.flush()
        before = stack.cpu_seconds()
        with stack.child("consume", self._command("consume", "--member")) as consumer:
            time.sleep(WARM_UP)
            began = time.time()
            sent = _produce(producer, self._choice(busy), rate, seconds)
            client = stack.client(self._name)
            self._until(client, sent + backlog)
            consumer.close_stdin()
            used = consumer.wait()
        after = stack.cpu_seconds()
        times = self._times(client, self.topics[1:] if busy else self.topics, began)
        client.command(f"DROP DATABASE {self._name} SYNC")
        client.close()
        return {
            "p50 ms": quantile(times, 0.5),
            "p99 ms": quantile(times, 0.99),
            "max ms": times[-1],
            "memory MiB": used.peak_memory / 2**20,
            "consumer CPU s": used.cpu,
            **{f"{part} CPU s": after[part] - before[part] for part in after},
        }

    def _choice(self, busy: bool) -> Iterator[str]:
        if not busy:
            return itertools.cycle(self.topics)
        quiet = itertools.cycle(self.topics[1:])
        return (next(quiet) if at % 100 == 0 else self.topics[0] for at in itertools.count())

    def _until(self, client: ClickHouseClient, rows: int) -> None:
        deadline = time.monotonic() + 300
        counts = " + ".join(f"(SELECT count() FROM {each})" for each in self.topics)
        while int(client.query(f"SELECT {counts}")[0][0]) < rows:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self._name}: not all rows came")
            time.sleep(0.2)

    def _times(self, client: ClickHouseClient, topics: list[str], began: float) -> list[float]:
        since = int((began + WARM_UP) * 1000)
        return sorted(
            float(row[0])
            for each in topics
            for row in client.query(
                f"SELECT toUnixTimestamp64Milli(_inserted_at) - at FROM {each} WHERE at > {since}"
            )
        )


def _send(producer: Producer, topic: str) -> None:
    now = time.time_ns()
    while True:
        try:
            producer.produce(topic, VALUE % (now, now // 1_000_000))
        except BufferError:
            producer.poll(0.1)
        else:
            return


def _produce(producer: Producer, topics: Iterator[str], rate: int, seconds: float) -> int:
    """How many were sent, evenly, in that time and in that of the warm-up before."""
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds + WARM_UP:
        for _ in range(int(passed * rate) - sent):
            _send(producer, next(topics))
            sent += 1
        producer.poll(0)
        time.sleep(0.005)
    producer.flush()
    return sent


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pipelines", type=int, default=20)
    options.add_argument("--partitions", type=int, default=100)
    options.add_argument("--rate", type=int, default=20_000)
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--busy", action="store_true")
    given = options.parse_args()
    ways = {"several": given.pipelines} if given.busy else {"one": 1, "several": given.pipelines}
    figures: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with scratch_stack(["batch.max_wait=500ms"]) as stack:
        for number in range(given.rounds):
            for way, topics in ways.items():
                name = f"{way}_{number}"
                backlog = 20 * given.rate if given.busy else 0
                one = Round(stack, name, topics, given.partitions)
                found = one.run(given.rate, given.seconds, backlog=backlog, busy=given.busy)
                figures[way].append(found)
                print(name, {key: round(value, 1) for key, value in found.items()}, flush=True)
    for way, rounds in figures.items():
        middle = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        print(f"{way:8}", ", ".join(f"{key} {value:.1f}" for key, value in middle.items()))
    if not given.busy:
        ratios = [s["p99 ms"] / o["p99 ms"] for o, s in zip(*figures.values(), strict=True)]
        print("p99, several / one:", ", ".join(f"{each:.2f}" for each in ratios))


if __name__ == "__main__":
    main()
