"""What the broker's process loads: little, and nothing of the clients' side."""

from __future__ import annotations

import subprocess
import sys


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; sys.modules['hypothesis'] = None\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_the_broker_loads_no_client_and_nothing_heavy() -> None:
    loaded = loaded_by("from nrtctl.local.broker import __main__, broker, server")
    assert "nrtctl.local.broker.handlers.fetch" in loaded
    unwanted = {"confluent_kafka", "clickhouse_connect", "chdb", "pydantic", "typer", "rich"}
    unwanted |= {"cramjam", "kio.schema.index", "kio.schema.fetch", "numpy", "pandas"}
    assert loaded & unwanted == set()
    assert not any(name.startswith(("nrtctl.cli", "nrtctl.kafka")) for name in loaded)


def test_arguments_are_checked_before_anything_is_loaded() -> None:
    loaded = loaded_by("import nrtctl.local.broker.__main__")
    assert "nrtctl.local.broker.handlers" not in loaded
