"""The contract tests against servers by their address, as whoever has real ones runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.contract.kafka.conftest import Broker, dear_on_apache
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.waiting import eventually

ROOT = Path(__file__).parents[3]


def run(*arguments: str, **environ: str) -> dict[str, int]:
    """How many tests ended how."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("NRTCTL_", "PYTEST_"))}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"),
            *("-m", "not long", *arguments),
        ],
        cwd=ROOT,
        env=kept | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    found = re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1].partition(" in ")[0])
    return {word: int(number) for number, word in found}


@dear_on_apache
def test_a_broker_by_its_address(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})

    def topics() -> set[str]:
        return {name for name in admin.list_topics(timeout=30).topics if not name.startswith("__")}

    before = topics()
    counts = run("tests/contract/kafka/test_group_admin.py", "tests/contract/schema", "--kafka",
                 broker.bootstrap)  # fmt: skip
    assert set(counts) == {"passed", "deselected"}
    assert counts["passed"] > 3
    eventually(lambda: topics() == before, "the topics of before, and no others")


def test_a_clickhouse_by_its_address(clickhouse_front: ClickHouseFront) -> None:
    databases = "SELECT name FROM system.databases ORDER BY name"
    before = clickhouse_front.sql(databases)
    counts = run(
        *("tests/contract/schema/test_field_faults.py", "tests/contract/clickhouse/test_native.py"),
        *("tests/contract/kafka/test_group_admin.py", "--clickhouse", clickhouse_front.url),
        *("-k", "not trial and not of_any_size"),
        NRTCTL_CLICKHOUSE__PASSWORD=clickhouse_front.password,
    )
    assert set(counts) == {"passed", "deselected"}
    assert counts["passed"] > 5
    assert clickhouse_front.sql(databases) == before
