"""What one look of `stats` costs on a large table.

`python -m benchmarks.stats_scale --rows 20000000`

Starts a local stack in a temporary directory and fills the table with INSERT … SELECT. The sorting
key follows no time; the last minute holds `--recent` rows. Then it looks 20 times, three ways.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from nrtctl.config.load import load_config
from nrtctl.config.trust import Trust
from nrtctl.stats.metrics_file import FILE_NAME, read_metrics
from nrtctl.stats.watcher import Watcher
from tests.plugins.stack import Project

LOOKS = 20
_FILL = """
INSERT INTO events (event_id, user_id, session_id, event_type, event_timestamp, request_latency_ms,
  status, error_code, product_id, event_time, _topic, _partition, _offset, _timestamp, _inserted_at)
SELECT generateUUIDv4(1), generateUUIDv4(2), generateUUIDv4(3),
  ['SEARCH', 'VIEW_PRODUCT', 'ADD_TO_CART', 'CHECKOUT', 'PAYMENT'][1 + number % 5],
  cityHash64(number) % 1790000000000, rand() % 500, 'SUCCESS', NULL, rand() % 10000,
  fromUnixTimestamp64Milli(toInt64(cityHash64(number) % 1790000000000)),
  'user_events', number % 4, intDiv(number, 4),
  inserted - toIntervalMillisecond(200 + rand() % 1000), inserted
FROM (SELECT number, now64(3) - toIntervalSecond({age}) +
  toIntervalMillisecond(intDiv(number, 40000) % 40 * 500) AS inserted
  FROM numbers({start}, {count}))
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=20_000_000)
    options.add_argument("--recent", type=int, default=600_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="nrtctl-scale-") as directory:
        project = Project(Path(directory))
        project.run("init")
        project.use_free_ports()
        project.environ["NRTCTL_CLICKHOUSE__REQUEST_TIMEOUT"] = "20m"
        try:
            project.run("up")
            old = given.rows - given.recent
            for start in range(0, old, 1_000_000):
                _fill(project, start, min(1_000_000, old - start), age=7200)
            project.run("query", "--write", "OPTIMIZE TABLE events FINAL", timeout=1200)
            _fill(project, old, given.recent, age=25)
            _look(project)
        finally:
            project.down()


def _fill(project: Project, start: int, count: int, *, age: int) -> None:
    project.run("query", "--write", _FILL.format(start=start, count=count, age=age))


def _look(project: Project) -> None:
    """The built-in numbers; with the metrics of `nrtctl init`; with a breakdown."""
    file = project.directory / "nrtctl.toml"
    loaded = load_config(file=file, environ=project.environ)
    metrics = read_metrics(project.directory / FILE_NAME, Trust.of_user({}))
    for name, more in (
        ("stats", {}),
        ("with metrics.json", {"metrics": metrics}),
        ("--by event_type", {"by": "event_type"}),
    ):
        watcher = Watcher(loaded.config, loaded.state_dir, window=60, **more)
        shots = [watcher.look() for _ in range(LOOKS)]
        watcher.close()
        assert not shots[-1].errors, shots[-1].errors
        costs = [shot.cost for shot in shots[1:]]
        cpu = statistics.median(each.cpu_seconds for each in costs) * 1000
        clickhouse = statistics.median(each.clickhouse_seconds for each in costs) * 1000
        print(
            f"{name}: {shots[-1].stored:,} rows, {shots[-1].window_rows:,} in the window: "
            f"{cpu:.1f} ms of CPU, {clickhouse:.1f} ms in ClickHouse, "
            f"{costs[-1].clickhouse_queries} queries, {costs[-1].clickhouse_read_rows:,} rows read"
        )


if __name__ == "__main__":
    main()
