"""Integers in strings are integers where the messages are printed as Protobuf does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.pipeline.infer.draft import draft
from nrtctl.pipeline.infer.seen import Sample
from nrtctl.pipeline.infer.text import written


def drafted(*messages: Any) -> Any:
    sample = Sample()
    for message in messages:
        sample.add(json.dumps(message).encode())
    return draft(sample, source="x.jsonl", topic="t", table="t")


ORDER = {
    "orderId": "17",
    "status": "ORDER_STATUS_PAID",
    "qty": 3,
    "digest": "3q2+7w==",
    "itemIds": ["1", "2"],
    "lines": [{"skuId": "77", "rate": 1.5}],
    "postalCode": "12345",
    "attributes": {"a_b": "5"},
}


def test_what_is_printed_by_protobuf_has_integers_in_strings() -> None:
    made = drafted(ORDER, {**ORDER, "orderId": "-1"})
    types = {
        name: spec if isinstance(spec, str) else spec["type"]
        for name, spec in made.pipeline()["fields"].items()
    }
    assert types == {
        "orderId": "Int64",
        "status": "LowCardinality(String)",
        "qty": "UInt32",
        "digest": "String",
        "itemIds": "Array(Int64)",
        "lines": "Array(Tuple(skuId Int64, rate Float64))",
        "postalCode": "String",
        "attributes": "Map(String, String)",
    }
    assert "integers in strings, as Protobuf prints them to JSON" in written(made, "")
    assert drafted({**ORDER, "orderId": str(2**64 - 1)}).pipeline()["fields"]["orderId"] == "UInt64"


@pytest.mark.parametrize(
    "message",
    [
        {**ORDER, "order_no": 1},
        {**ORDER, "bytesSent": 2**40},
        {**ORDER, "status": "paid"},
        {"id": "17", "status": "ORDER_STATUS_PAID"},
        {**ORDER, "orderId": "017"},
        {**ORDER, "orderId": str(2**64)},
    ],
)
def test_digits_of_other_messages_stay_text(message: dict[str, Any]) -> None:
    fields = drafted(message, message).pipeline()["fields"]
    assert fields["id" if "id" in message else "orderId"] in {"String", "LowCardinality(String)"}


@pytest.mark.parametrize(
    "more", [{"@type": "a/b.C"}, {"sentNano": str(10**15)}, {"waitTime": "1.5s"}]
)
def test_other_signs_of_it(more: dict[str, Any]) -> None:
    message = {"orderId": "17", "qty": 1, **more}
    assert drafted(message).pipeline()["fields"]["orderId"] == "Int64"
