"""Mutated requests on the registry's port: `python -m tests.contract.registry.fuzzing`.

The short form is a test (`test_fuzz.py`); the long one is run by hand before a release: 2,000
requests for each of ten seeds, each on a registry of its own. What must hold: each request is
answered or its connection closed, none with an error of the program's own, what was registered
before is there, and memory grows by a bounded amount.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.contract.clickhouse.fuzzing import mutated, resident, send
from tests.plugins.schema_registry import SchemaRegistry

MAX_GROWTH = 100 * 2**20

_RECORD = (
    '{"type": "record", "name": "a.R", "aliases": ["b.R"], "fields": [{"name": "x", "type": '
    '["null", "a.R", {"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "A"}], '
    '"default": null}, {"name": "y", "type": {"type": "map", "values": {"type": "fixed", '
    '"name": "F", "size": 4}}}]}'
)
_PROTO = (
    'syntax = "proto3"; package p; message M { oneof o { int64 a = 1 [x = {y: 1}]; } map<string, '
    "M> b = 2; message N { repeated M c = 1; } enum E { Z = 0; } reserved 5 to 9; } service S {}"
)
_JSON = (
    '{"type": "object", "properties": {"a": {"const": 1e5}}, "$defs": {"b": true}, "title": "t"}'
)
SCHEMAS = [
    ("AVRO", _RECORD),
    ("AVRO", '{"type": "array", "items": ["int", {"type": "string"}]}'),
    ("PROTOBUF", _PROTO),
    ("JSON", _JSON),
]
ASKED = [
    b"POST /subjects/%s/versions", b"POST /subjects/%s/versions", b"POST /subjects/%s/versions",
    b"POST /subjects/%s/versions?normalize=true", b"POST /subjects/%s",
    b"POST /compatibility/subjects/%s/versions/latest",
    b"POST /compatibility/subjects/%s/versions?verbose=true",
    b"GET /subjects/%s/versions/1", b"GET /subjects/%s/versions/latest/schema",
    b"DELETE /subjects/%s/versions/latest", b"DELETE /subjects/%s?permanent=true",
    b"DELETE /subjects/%s", b"PUT /config/%s", b"GET /config/%s", b"DELETE /mode/%s",
    b"GET /subjects/%s/versions/1/referencedby", b"GET /schemas/ids/1", b"GET /",
    b"GET /schemas/ids/2/versions", b"GET /schemas?latestOnly=true&subjectPrefix=%s",
    b"GET /subjects?deleted=true&offset=-1&limit=99999999999999999999", b"GET /schemas/types",
]  # fmt: skip
HEADERS = [
    b"Content-Type: text/plain", b"Content-Type: application/json", b"Accept: \xff",
    b"Content-Length: 5", b"Content-Length: -1", b"Transfer-Encoding: chunked",
    b"Host: other.example", b"Origin: null", b"Authorization: Basic /////w==",
    b"Expect: 100-continue", b"Connection: Upgrade\r\nUpgrade: h2c", b"Cookie: " + b"a" * 5000,
]  # fmt: skip
KEPT = "kept"


def attempt(registry: SchemaRegistry, chance: random.Random) -> bytes:
    """What one connection sends: mostly a request, mutated in its schema, body, path or whole."""
    kind, text = chance.choice(SCHEMAS)
    if chance.random() < 0.7:
        text = mutated(text.encode(), chance).decode("utf-8", "replace")
    given: dict[str, object] = {"schema": text, "schemaType": kind}
    if chance.random() < 0.2:
        version = chance.choice((1, -1, 0, True, 2**40))
        given["references"] = [{"name": "x", "subject": KEPT, "version": version}]
    if chance.random() < 0.1:
        given = {"compatibility": chance.choice(("FULL", "none", "", None)), "mode": "READONLY"}
    body = json.dumps(given).encode()
    if chance.random() < 0.2:
        body = mutated(body, chance)
    subject = b"s%d" % chance.randrange(5)
    if chance.random() < 0.1:
        subject = chance.choice((b"%2F", b"%FF", b"%00", b"a%20b", b"x" * 600, b"..", b"%"))
    method, _, path = chance.choice(ASKED).replace(b"%s", subject).partition(b" ")
    if chance.random() < 0.1:
        path = b"/" + mutated(path[1:], chance)
    if chance.random() < 0.1:
        method = chance.choice((b"POST", b"GET", b"PUT", b"DELETE", b"HEAD", b"PATCH"))
    heads = [b"Host: 127.0.0.1:%d" % registry.port]
    if chance.random() < 0.95:
        heads.append(b"Authorization: " + registry.login.encode())
    heads += chance.sample(HEADERS, chance.choice((0, 0, 0, 1, 2)))
    if not any(b"Content-Length" in head or b"chunked" in head for head in heads):
        heads.append(b"Content-Length: %d" % len(body))
    request = b"\r\n".join(
        [method + b" " + path + b" HTTP/1.1", *heads, b"Connection: close", b"", body]
    )
    return mutated(request, chance) if chance.random() < 0.1 else request


@dataclass(slots=True)
class Outcome:
    statuses: Counter[str] = field(default_factory=Counter)
    growth: int = 0


def run(registry: SchemaRegistry, count: int, seed: int) -> Outcome:
    """Send `count` attempts. Raises OSError or AssertionError where something does not hold."""
    chance, outcome = random.Random(seed), Outcome()
    number = registry.register(KEPT, {"type": "record", "name": "Kept", "fields": []})
    before = resident(registry)
    for at in range(count):
        data = attempt(registry, chance)
        status = send(registry, data)[9:12].decode("latin-1")
        outcome.statuses[status] += 1
        assert not status.startswith("5"), data
        if at % 100 == 0:
            outcome.growth = max(outcome.growth, resident(registry) - before)
    assert outcome.growth < MAX_GROWTH
    for _ in range(2):
        found = registry.get(f"/subjects/{KEPT}/versions/1")
        assert (found["id"], json.loads(found["schema"])["name"]) == (number, "Kept")
        there = registry.get("/schemas?deleted=true")
        registry.restart()
        assert registry.get("/schemas?deleted=true") == there
    assert "Traceback" not in (registry.data_dir / "registry.log").read_text()
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 11)))
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as directory:
            registry = SchemaRegistry(Path(directory) / "registry")
            registry.start()
            try:
                outcome = run(registry, arguments.requests, seed)
            finally:
                registry.kill()
        print(
            f"seed {seed}: {dict(outcome.statuses)}, memory at most "
            f"{outcome.growth / 2**20:.0f} MiB over idle",
            flush=True,
        )


if __name__ == "__main__":
    main()
