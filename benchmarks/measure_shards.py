"""What the consumer pays for a message where ClickHouse is a cluster: messages a CPU-second over
one server and over 1, 2 and 3 shards.

    python -m benchmarks.measure_shards --messages 200000

The shards are those of the tests (`tests/plugins/several_shards.py`). Counted is the CPU of the
process that consumes, from its start to its end, less that of one that finds nothing. What the
servers take is told, too, but says nothing of ClickHouse's own Distributed tables.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.local_broker import LocalBroker
from tests.plugins.several_shards import CLUSTER, SeveralShards

NRTCTL = (sys.executable, "-m", "nrtctl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--shards", type=int, nargs="*", default=[0, 1, 2, 3])
    given = parser.parse_args()
    for shards in given.shards:
        with tempfile.TemporaryDirectory() as directory:
            _measure(Path(directory), shards, given.messages)


def _measure(directory: Path, shards: int, messages: int) -> None:
    broker = LocalBroker(directory)
    cluster = SeveralShards(directory, shards) if shards else None
    asked = ClickHouseFront(directory / "server") if cluster is None else cluster.server
    servers = [asked, *(cluster.shards if cluster is not None else [])]
    environ = {
        **os.environ,
        "NRTCTL_STACK__KIND": "external",
        "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap,
        "NRTCTL_CLICKHOUSE__URL": asked.url,
        "NRTCTL_PIPELINE__PARTITIONS": "6",
        **({} if cluster is None else {"NRTCTL_CLICKHOUSE__CLUSTER": CLUSTER}),
    }
    try:
        broker.start()
        if cluster is None:
            asked.start()
        environ["NRTCTL_CLICKHOUSE__PASSWORD"] = asked.password.strip()
        for words in (("init",), ("up",), ("produce", "--count", str(messages), "--seed", "1")):
            subprocess.run([*NRTCTL, *words], cwd=directory, env=environ, check=True,
                           capture_output=True)  # fmt: skip
        before = [_cpu(each.process) for each in servers]
        whole = _consume(directory, environ)
        after = [_cpu(each.process) for each in servers]
        took = whole - _consume(directory, environ)
        theirs = sum(after) - sum(before)
        name = f"{shards} shards" if shards else "one server"
        print(f"{name:10}  {messages / took:>9,.0f} messages a CPU-second of the consumer, "
              f"{theirs:.1f} CPU s of the servers", flush=True)  # fmt: skip
    finally:
        if cluster is None:
            asked.kill()
        else:
            cluster.close()
        broker.kill()


def _consume(directory: Path, environ: dict[str, str]) -> float:
    """CPU seconds of `nrtctl consume --until-end`."""
    process = subprocess.Popen(
        [*NRTCTL, "consume", "--until-end"], cwd=directory, env=environ, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"nrtctl consume ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime


def _cpu(process: subprocess.Popen[bytes] | None) -> float:
    """CPU seconds that it has taken so far."""
    if process is None:
        raise SystemExit("a server does not run")
    ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
