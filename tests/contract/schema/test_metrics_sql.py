"""The SQL of metrics.json, over the reference pipeline, against Python's own counts."""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nrtctl.config.load import load_config
from tests.plugins.pipeline_engine import Engine

TEMPLATES = Path(__file__).parents[3] / "src/nrtctl/config/templates"
METRICS = json.loads((TEMPLATES / "metrics.json").read_text())["metrics"]
TYPES = ("SEARCH", "VIEW_PRODUCT", "PAYMENT")


def test_sql(engine: Engine) -> None:
    engine.pipeline = load_config(file=TEMPLATES / "nrtctl.toml").config.pipeline
    engine.steps(engine.pipeline)
    now = int(time.time() * 1000)
    events = [
        {
            "event_id": str(uuid.UUID(int=n)), "user_id": str(uuid.UUID(int=n)),
            "session_id": str(uuid.UUID(int=n)), "event_type": TYPES[n % 3],
            # Every fifth one is older than the window.
            "event_timestamp": now - (10_000_000 if n % 5 == 0 else 1000),
            "request_latency_ms": n, "status": "ERROR" if n % 7 == 0 else "SUCCESS",
        }
        for n in range(200)
    ]  # fmt: skip
    engine.send(*(json.dumps(event).encode() for event in events))
    recent = defaultdict(list)
    for event in events:
        if event["event_timestamp"] == now - 1000:
            recent[event["event_type"]].append(event)

    def errors(of: list[dict[str, Any]]) -> int:
        return sum(event["status"] == "ERROR" for event in of)

    expected: dict[str, Callable[[list[dict[str, Any]]], float]] = {
        "total_events": len,
        "success_events": lambda of: len(of) - errors(of),
        "error_events": errors,
        "error_rate": lambda of: errors(of) / len(of),
        "avg_latency": lambda of: sum(e["request_latency_ms"] for e in of) / len(of),
    }
    with_sql = {metric["name"]: metric for metric in METRICS if "sql" in metric}
    assert with_sql.keys() == expected.keys()
    for name, metric in with_sql.items():
        sql = metric["sql"].format(database=engine.database, table="events", window=3600)
        found = dict(engine.query(sql))
        wanted = {kind: expected[name](of) for kind, of in recent.items()}
        assert found == pytest.approx(wanted), name
