"""Every kind of bad message ends as a dead letter with its reason, or as a correct row."""

from __future__ import annotations

import json
import uuid

from confluent_kafka import Producer

from tests.plugins.stack import Project


def event(**changes: object) -> bytes:
    fields = {
        "event_id": str(uuid.UUID(int=1)),
        "user_id": str(uuid.UUID(int=2)),
        "session_id": str(uuid.UUID(int=3)),
        "event_type": "PAYMENT",
        "event_timestamp": 1_700_000_000_000,
        "request_latency_ms": 12,
        "status": "SUCCESS",
        **changes,
    }
    return json.dumps(
        {k: v for k, v in fields.items() if v is not ...}, separators=(",", ":")
    ).encode()


GOOD = event()
REJECTED: dict[str, tuple[bytes | None, str, str]] = {
    "tombstone": (None, "null value", ""),
    "0 bytes": (b"", "empty message", ""),
    "not JSON": (b"hello", "not JSON", ""),
    "truncated": (GOOD[:-5], "not JSON", ""),
    "two objects": (GOOD + GOOD, "not JSON", ""),
    "array": (b"[1]", "not an object", ""),
    "object in an array": (b"[" + GOOD + b"]", "not an object", ""),
    "scalar": (b"7", "not an object", ""),
    "JSON null": (b"null", "not an object", ""),
    "empty object": (b"{}", "field missing", "event_id"),
    "missing": (event(status=...), "field missing", "status"),
    "null field": (event(status=None), "field is null", "status"),
    "1.5 in an integer": (event(request_latency_ms=1.5), "wrong type", "request_latency_ms"),
    "-1 in an unsigned": (event(request_latency_ms=-1), "wrong type", "request_latency_ms"),
    "overflow": (event(request_latency_ms=2**32), "wrong type", "request_latency_ms"),
    "huge number": (event(event_timestamp=10**30), "wrong type", "event_timestamp"),
    "no UUID": (event(event_id="x"), "wrong type", "event_id"),
    "object in a string": (event(status={"a": 1}), "wrong type", "status"),
    "array in a string": (event(status=[1]), "wrong type", "status"),
    "number in a string": (event(status=5), "wrong type", "status"),
    "true in an integer": (event(request_latency_ms=True), "wrong type", "request_latency_ms"),
    "1.5 in a Nullable": (event(error_code=1.5), "wrong type", "error_code"),
    "overflow in a Nullable": (event(error_code=70_000), "wrong type", "error_code"),
    "equal keys": (GOOD[:-1] + b',"status":"ERROR"}', "duplicate key", ""),
    "invalid UTF-8": (GOOD.replace(b"SUCCESS", b"SUC\xff"), "invalid UTF-8", ""),
    "raw NUL byte": (GOOD.replace(b"SUCCESS", b"SUC\x00"), "not JSON", ""),
    "deep nesting": (GOOD[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}", "not JSON", ""),
    "beyond any double": (GOOD[:-1] + b',"x":1e400}', "not JSON", ""),
    "a rule": (event(request_latency_ms=600_001), "latency out of range", ""),
    "another rule": (event(event_type="FOO"), "unknown event type", ""),
}
HEADERS: dict[str, list[tuple[str, str | bytes | None]]] = {
    "not JSON": [("trace", "ü".encode()), ("none", None)],
    "tombstone": [("trace", b"")],
}
STORED: dict[str, tuple[bytes, str, object]] = {
    "plain": (GOOD, "status", "SUCCESS"),
    "text that looks like a number": (event(status="5"), "status", "5"),
    "text that looks like an object": (event(status="{1}"), "status", "{1}"),
    "a number as text": (event(request_latency_ms="12"), "request_latency_ms", 12),
    "escaped NUL": (GOOD.replace(b"SUCCESS", b"A\\u0000B"), "status", "A\0B"),
    "unknown fields": (event(extra={"a": [1]}), "status", "SUCCESS"),
    "2 MB": (event(pad="x" * 2_000_000), "status", "SUCCESS"),
    "white space": (b" \n\t" + GOOD + b" \r\n", "status", "SUCCESS"),
    "Nullable null": (event(product_id=None), "product_id", None),
    "Nullable missing": (GOOD, "product_id", None),
    "the largest integer": (event(event_timestamp=2**63 - 1), "event_timestamp", 2**63 - 1),
    "beyond a double's digits": (event(event_timestamp=2**53 + 1), "event_timestamp", 2**53 + 1),
}


def test_every_message_is_a_row_or_a_dead_letter_with_its_reason(stack: Project) -> None:
    address = stack.json("up")["kafka"]
    producer = Producer({"bootstrap.servers": address, "message.max.bytes": 10_000_000})
    names = [*REJECTED, *STORED]
    for number, name in enumerate(names):
        value = REJECTED[name][0] if name in REJECTED else STORED[name][0]
        producer.produce(
            "user_events", value=value, key=f"k{number}", partition=0, headers=HEADERS.get(name)
        )
    assert producer.flush(30) == 0
    assert stack.json("consume", "--until-end")["records"] == len(names)
    report = stack.json("verify")
    assert (report["stored"], report["dead_letters"]) == (len(STORED), len(REJECTED))
    assert (report["missing"], report["duplicated"]) == (0, 0)
    dead = {
        row["_offset"]: (row["reason"], row["field"])
        for row in stack.rows("SELECT _offset, reason, field FROM dead_letters")
    }
    rows = {row["_offset"]: row for row in stack.rows("SELECT * FROM events")}
    for number, name in enumerate(names):
        if name in REJECTED:
            assert dead[number] == REJECTED[name][1:], name
        else:
            assert rows[number][STORED[name][1]] == STORED[name][2], name
    with_headers = "SELECT _offset, headers FROM dead_letters WHERE notEmpty(headers)"
    carried = {names[row["_offset"]]: row["headers"] for row in stack.rows(with_headers)}
    assert [list(each.values()) for each in carried["not JSON"]] == [["trace", "ü"], ["none", None]]
    assert set(carried) == set(HEADERS)
    kept = "SELECT value = unhex('{}') AS same FROM dead_letters WHERE _offset = {}"
    number = names.index("invalid UTF-8")
    raw = REJECTED["invalid UTF-8"][0]
    assert raw is not None
    assert stack.value(kept.format(raw.hex(), number)) == 1
