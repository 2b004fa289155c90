"""Nested data all the way: sent, stored, shown, compared, stored again, as the commands do it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.plugins.stack import Project

FIELDS = """
[pipeline]
topic = "orders"
partitions = 1
table = "orders"
key = "id"

[pipeline.fields]
id = "UInt32"
items = { type = "Array(Tuple(sku String, qty UInt8, price Decimal(10, 2)))", default = "empty" }
address = "Tuple(city LowCardinality(String), at Tuple(Float64, Float64))"
attributes = { type = "Map(String, String)", values = "text", default = {} }
anything = "JSON"
raw = { type = "Nullable(String)", json = "text", from = "address" }

[pipeline.columns]
pieces = "arraySum(items.qty)"
city = "address.city"
"""
ADDRESS: dict[str, Any] = {"city": "Bern", "at": [46.5, 7.5]}
ITEMS: list[dict[str, Any]] = [
    {"sku": "a", "qty": 2, "price": 1.5},
    {"sku": "b", "qty": 3, "price": "0.10"},
]


def order(number: int, **changes: object) -> str:
    given = {"id": number, "items": ITEMS, "address": ADDRESS, "anything": {"a": {"b": [1, "x"]}}}
    return json.dumps({**given, **changes})


def test_nested_data_is_shown_compared_and_stored_again(stack: Project, tmp_path: Path) -> None:
    Path(stack.directory / "nrtctl.toml").write_text(
        Path(stack.directory / "nrtctl.toml").read_text().partition("[pipeline]")[0] + FIELDS
    )
    stack.json("up")
    given = tmp_path / "orders.jsonl"
    bad = {"address": {"city": "Bern", "at": [46.5]}}
    lines = [order(1), order(2, items=None, attributes={"n": 5}), order(3, **bad)]
    given.write_text("\n".join(lines) + "\n")
    stack.json("produce", "--input", str(given))
    stack.json("consume", "--until-end")
    rows = stack.rows(
        "SELECT id, items, address, attributes, anything, raw, pieces, city FROM orders ORDER BY id"
    )
    assert [row["id"] for row in rows] == [1, 2]
    assert rows[0]["items"] == [
        {"sku": "a", "qty": 2, "price": 1.5}, {"sku": "b", "qty": 3, "price": 0.1}
    ]  # fmt: skip
    assert rows[0]["address"] == {"city": "Bern", "at": [46.5, 7.5]}
    assert rows[0]["anything"] == {"a": {"b": [1, "x"]}}
    assert json.loads(rows[0]["raw"]) == ADDRESS
    assert rows[0]["raw"] in lines[0]
    assert (rows[0]["pieces"], rows[0]["city"]) == (5, "Bern")
    assert (rows[1]["items"], rows[1]["attributes"], rows[1]["pieces"]) == ([], {"n": "5"}, 0)
    ((reason, field),) = [
        (row["reason"], row["field"])
        for row in stack.rows("SELECT reason, field FROM dead_letters")
    ]
    assert (reason, field) == ("field missing", "address.at[1]")
    shown = stack.run("query", "SELECT items, address FROM orders WHERE id = 1").stdout.decode()
    assert "(sku: 'a', qty: 2, price: 1.50)" in shown
    report = stack.json("verify")
    assert (report["stored"], report["dead_letters"], report["missing"]) == (2, 1, 0)
    listed = stack.run("dlq", "list").stdout.decode()
    assert "address.at[1]" in listed
    by = stack.json("stats", "--once", "--by", "city")
    assert "Bern" in json.dumps(by)
    stack.json("up")
    loaded = stack.json("replay", "load", "--into", "orders_again", "--execute")
    assert loaded
    same = "SELECT count() AS n FROM orders AS a JOIN orders_again AS b ON a._offset = b._offset "
    assert stack.value(f"{same} WHERE toString(a.items) = toString(b.items)") == 2
