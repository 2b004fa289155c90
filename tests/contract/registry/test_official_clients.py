"""confluent-kafka's registry client, with its serializers, reads what nrtctl writes and writes what
it reads.

kcat speaks Avro where it is built with it, which Debian's is not. Confluent's serializers for Java
are in no registry of packages that everybody has.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.plugins.environments import environment
from tests.plugins.stack import Project

# The first run on a machine fetches them.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CLIENTS = Path(__file__).parent / "clients"
PIPELINE = """
[pipeline]
topic = "shop"
table = "shop"
format = "avro"
order_by = ["id"]
[pipeline.fields]
id = "Int64"
price = "Decimal(9, 2)"
"""


def test_confluents_client_and_serializers(stack: Project) -> None:
    python = environment("registry-clients", CLIENTS / "requirements.txt") / "python"
    stack.use_pipelines(PIPELINE)
    stack.run("up")
    orders = stack.directory / "orders.jsonl"
    orders.write_text("".join(f'{{"id": {at}, "price": "{at}.50"}}\n' for at in range(5)))
    stack.run("produce", "--input", "orders.jsonl")
    connect = stack.directory / "connect.json"
    connect.write_text(json.dumps(stack.json("status", "--connect")))
    done = subprocess.run(
        [python, CLIENTS / "confluent.py", connect],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "subjects ['shop-value']",
        "latest 1 1 AVRO",
        "read [(0, '0.50'), (1, '1.50'), (2, '2.50'), (3, '3.50'), (4, '4.50')]",
        "versions [1, 2]",
        "compatible False",
        "refused 409 409",
        "missing 404 40401",
        "json {'a': 7}",
        "level FULL",
        "deleted [1] [1]",
    ]
    stack.run("consume", "--until-end")
    found = stack.json("verify")
    assert (found["stored"], found["dead_letters"], found["missing"]) == (10, 0, 0)
    assert stack.value("SELECT groupArray(id) FROM (SELECT id FROM shop ORDER BY id)") == [
        *range(5), *range(10, 15),
    ]  # fmt: skip
