"""What the consumer pays for a message of Avro or Protobuf beside one of JSON: messages a
CPU-second.

    python -m benchmarks.measure_formats --messages 500000

The reference events, as JSON, and as Avro and Protobuf by a schema file, go through the local
stack. Counted is the CPU of the process that consumes, from its start to its end, less that of one
that finds nothing; and of decoding alone.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from fastavro import parse_schema, schemaless_writer

from nrtctl.clock import SystemClock
from nrtctl.kafka.formats.decoder import ByFile, decoding
from nrtctl.kafka.formats.files import read_value
from nrtctl.kafka.formats.protobuf import Schema
from nrtctl.kafka.formats.protobuf_encoder import ProtobufEncoder
from nrtctl.pipeline.message_format import MessageFormat
from nrtctl.producer.sources.reference_events import ReferenceEvents
from nrtctl.testing import local_stack

OPTIONAL = ("error_code", "product_id")
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "UserEvent",
    "fields": [
        {"name": "event_id", "type": "string"},
        {"name": "user_id", "type": "string"},
        {"name": "session_id", "type": "string"},
        {"name": "event_type", "type": "string"},
        {"name": "event_timestamp", "type": "long"},
        {"name": "request_latency_ms", "type": "int"},
        {"name": "status", "type": "string"},
        {"name": "error_code", "type": ["null", "string", "int"]},
        {"name": "product_id", "type": ["null", "int"]},
    ],
}

PROTO = """
syntax = "proto3";
message UserEvent {
  string event_id = 1;
  string user_id = 2;
  string session_id = 3;
  string event_type = 4;
  int64 event_timestamp = 5;
  int32 request_latency_ms = 6;
  string status = 7;
  optional int32 error_code = 8;
  optional int32 product_id = 9;
}
"""


def events(count: int) -> list[bytes]:
    source = ReferenceEvents(7, clock=SystemClock(), start_ms=1_790_000_000_000)
    found: list[bytes] = []
    while len(found) < count:
        found += [value for _, value, _, _ in source.take(1000) if value is not None]
    return found[:count]


def as_avro(texts: Sequence[bytes]) -> list[bytes]:
    schema, found = parse_schema(SCHEMA), []
    for text in texts:
        value = dict.fromkeys(OPTIONAL) | json.loads(text)
        out = io.BytesIO()
        schemaless_writer(out, schema, value)
        found.append(out.getvalue())
    return found


def as_protobuf(texts: Sequence[bytes]) -> list[bytes]:
    message = Schema(PROTO, lambda _: None).message(None)
    return [ProtobufEncoder(message).encode(text) for text in texts]


def alone(messages: list[bytes], file: Path, kind: MessageFormat) -> float:
    """Messages that are decoded in a CPU-second."""
    decode = decoding(ByFile(read_value(kind, file, None)).text)
    began = time.process_time()
    for start in range(0, len(messages), 2000):
        some = messages[start : start + 2000]
        decode(some, [None] * len(some))
    return len(messages) / (time.process_time() - began)


def consumed(messages: list[bytes], settings: Sequence[str]) -> float:
    """CPU seconds of a consumer that stores all of these."""
    with local_stack(overrides=settings) as stack:
        topic = stack.config.pipeline.topic
        given = [each for setting in settings for each in ("--set", setting)]
        command = [sys.executable, "-m", "nrtctl", "consume", "--until-end", *given]
        environ = {
            **os.environ,
            "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "NRTCTL_CLICKHOUSE__URL": stack.clickhouse_url,
            "NRTCTL_LOCAL__STATE_DIR": str(stack.directory / ".nrtctl"),
        }

        def run() -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, env=environ, cwd=stack.directory, check=True, stdout=-3)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        nothing = run()
        producer = Producer({**stack.kafka_properties, "linger.ms": 50})
        for at, message in enumerate(messages):
            producer.produce(topic, message, partition=at // 1000 % 4)
            if at % 10_000 == 0:
                producer.flush(60)
        producer.flush(60)
        took = run() - nothing
        (rows,) = stack.client.query(f"SELECT count() AS n FROM {stack.config.pipeline.table}")
        if int(rows["n"]) != len(messages):
            raise SystemExit(f"{rows} of {len(messages)}")
        return took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=500_000)
    count = parser.parse_args().messages
    texts = events(count)
    written("json", texts, ())
    others: tuple[tuple[MessageFormat, list[bytes], str], ...] = (
        ("avro", as_avro(texts), json.dumps(SCHEMA)),
        ("protobuf", as_protobuf(texts), PROTO),
    )
    with tempfile.TemporaryDirectory() as directory:
        for kind, messages, schema in others:
            file = Path(directory) / f"event.{'avsc' if kind == 'avro' else 'proto'}"
            file.write_text(schema)
            speed = alone(messages, file, kind)
            sys.stdout.write(f"{kind}, decoding alone: {speed:,.0f} messages a CPU-second\n")
            written(kind, messages, (f"pipeline.format={kind}", f"pipeline.schema_file={file}"))


def written(name: str, messages: list[bytes], settings: Sequence[str]) -> None:
    speed = len(messages) / consumed(messages, settings)
    size = sum(map(len, messages)) / len(messages)
    sys.stdout.write(
        f"{name}: {speed:,.0f} messages of {size:.0f} bytes a CPU-second of the consumer\n"
    )


if __name__ == "__main__":
    main()
