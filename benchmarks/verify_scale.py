"""What verify costs on a large table: `python -m benchmarks.verify_scale --rows 20000000`.

Starts a local stack in a temporary directory, sends that many small messages to Kafka, fills the
table with INSERT … SELECT FROM numbers(…) and commits the group's offsets, as if they had been
consumed. Then it verifies: as it is, with rows taken out and doubled, and repairs. Each line says
seconds, the peak memory of ClickHouse's process, and that of the command. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from confluent_kafka import Producer

from nrtctl.local.process import Endpoint
from tests.plugins import damage
from tests.plugins.stack import Project

PARTITIONS = 4
_FILL = """
INSERT INTO events (event_id, user_id, session_id, event_type, event_timestamp, request_latency_ms,
  status, error_code, product_id, event_time, _topic, _partition, _offset, _timestamp)
SELECT generateUUIDv4(1), generateUUIDv4(2), generateUUIDv4(3),
  ['SEARCH', 'VIEW_PRODUCT', 'ADD_TO_CART', 'CHECKOUT', 'PAYMENT'][1 + number % 5],
  1790000000000 + number, rand() % 500, 'SUCCESS', NULL, rand() % 10000,
  fromUnixTimestamp64Milli(toInt64(1790000000000 + number)),
  'user_events', number % {partitions}, intDiv(number, {partitions}),
  fromUnixTimestamp64Milli(toInt64(1790000000000 + number))
FROM numbers({start}, {count})
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=20_000_000)
    rows = options.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="nrtctl-scale-") as directory:
        project = Project(Path(directory))
        project.run("init")
        project.use_free_ports()
        project.environ["NRTCTL_CLICKHOUSE__REQUEST_TIMEOUT"] = "20m"
        try:
            project.run("up")
            fill(project, rows)
            _measure(project, "verify, nothing wrong", "verify")
            damage.delete(project, "events", "_partition = 1 AND _offset % 1000 = 7")
            _measure(project, "verify, gaps everywhere", "verify")
            damage.double(project, "events", "_partition = 2 AND _offset < 100000")
            _measure(project, "verify, 100,000 doubled too", "verify")
            _measure(project, "repair", "verify", "--repair", "--execute")
        finally:
            project.down()


def fill(project: Project, rows: int) -> None:
    """That many messages, their rows, and the group's offsets behind them."""
    producer = Producer({
        "bootstrap.servers": damage.bootstrap(project), "linger.ms": 50, "batch.size": 1_000_000,
        "queue.buffering.max.messages": 1_000_000,
    })  # fmt: skip
    value = json.dumps(_event()).encode()
    for number in range(rows):
        while True:
            try:
                producer.produce(damage.TOPIC, value, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()
    step = 1_000_000
    for start in range(0, rows, step):
        count = min(step, rows - start)
        project.run(
            "query", "--write", _FILL.format(partitions=PARTITIONS, start=start, count=count)
        )
    for number in range(PARTITIONS):
        damage.commit_offset(project, number, len(range(number, rows, PARTITIONS)))


def _event() -> dict[str, object]:
    same = "00000000-0000-4000-8000-000000000000"
    return {
        "event_id": same, "user_id": same, "session_id": same, "event_type": "SEARCH",
        "event_timestamp": 1790000000000, "request_latency_ms": 5, "status": "SUCCESS",
    }  # fmt: skip


def _measure(project: Project, name: str, *command: str) -> None:
    endpoint = Endpoint.read(project.directory / ".nrtctl" / "clickhouse")
    assert endpoint is not None
    status = Path(f"/proc/{endpoint.pid}/status")
    Path(f"/proc/{endpoint.pid}/clear_refs").write_text("5")
    before = _field(status, "VmRSS")
    began = time.monotonic()
    process = project.start(*command, "-o", "json")
    own = 0
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(process.communicate)
        while not answer.done():
            with contextlib.suppress(OSError, StopIteration):
                own = _field(Path(f"/proc/{process.pid}/status"), "VmHWM")
            time.sleep(0.01)
    seconds = time.monotonic() - began
    report = json.loads(answer.result()[0])
    found = {name: report[name] for name in ("stored", "missing", "duplicated", "lost")}
    print(
        f"{name}: {seconds:.1f} s, ClickHouse {before} MB before, {_field(status, 'VmHWM')} MB at "
        f"most, the command {own} MB; {found}",
        flush=True,
    )


def _field(status: Path, name: str) -> int:
    """In MB."""
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main()
