"""Mutated requests on the local broker's port: `python -m tests.contract.kafka.fuzzing`.

The short form is a test (`test_fuzz.py`); the long one is run by hand before a release: 20,000
requests for each of ten seeds, each on a broker of its own. What must hold: the broker answers
after every request, its memory grows by a bounded amount, and what was stored before is there.
"""

from __future__ import annotations

import argparse
import io
import random
import socket
import struct
import tempfile
import time
import uuid
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from kio.serial import entity_writer

from nrtctl.local.broker.wire.apis import VERSIONS, Api
from nrtctl.local.broker.wire.codec import entity_type
from tests.plugins.kafka_wire import (
    Wire,
    batch,
    batches_in,
    build,
    create_topic,
    fetch,
    fetch_request,
    produce,
)
from tests.plugins.local_broker import LocalBroker

KEPT, VICTIM = "kept-by-the-fuzzer", "abc"
"""One topic that no request names, and one that all do."""
WITHIN = 20.0
"""Seconds that a connection may take to be answered or closed, once nothing more is sent."""
MAX_GROWTH = 200 * 2**20

SPECIAL = [
    *(bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff", b"\x7f\xff"),
    *(b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x80\x80\x01", b"\xff" * 8, b"\x7f" + b"\xff" * 7),
    bytes(8),
]


def _full(type_: Any) -> dict[str, Any]:
    return {field.name: _full_field(field) for field in fields(type_)}


def _full_field(field: Any) -> Any:
    kind = field.type
    if get_origin(kind) in (Union, UnionType):
        kind = next(arg for arg in get_args(kind) if arg is not type(None))
    is_array = get_origin(kind) is tuple
    kind = get_args(kind)[0] if is_array else kind
    values = {"string": VICTIM, "bytes": b"xyz", "bool": True, "uuid": uuid.UUID(int=7)}
    one = _full(kind) if is_dataclass(kind) else values.get(field.metadata.get("kafka_type"), 0)
    return (one, one) if is_array else one


def seeds() -> list[bytes]:
    """A whole request of every kind in every version."""
    found = []
    for api, served in VERSIONS.items():
        for version in range(served.lowest, served.highest + 1):
            type_ = entity_type(api, version, "request")
            if api is Api.PRODUCE:
                data = {"index": 0, "records": batch([b"x", b"y"], codec="gzip")}
                values: dict[str, Any] = {
                    "acks": -1,
                    "timeout": 1,
                    "topic_data": [{"name": VICTIM, "partition_data": [data]}],
                }
            elif api is Api.FETCH:
                values = fetch_request(VICTIM, [(0, 0, 9999)])
            else:
                values = _full(type_)
            out = io.BytesIO()
            head: dict[str, Any] = {"request_api_key": int(api), "request_api_version": version}
            head |= {"correlation_id": 1, "client_id": "c"}
            entity_writer(type_.__header_schema__)(out, build(type_.__header_schema__, head))
            entity_writer(type_)(out, build(type_, values))
            found.append(out.getvalue())
    return found


def _mutated(request: bytes, chance: random.Random) -> bytes:
    found = bytearray(request)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if not found:
            break
        at, kind = chance.randrange(len(found)), chance.randrange(7)
        if kind == 0:
            found[at] = chance.randrange(256)
        elif kind == 1:
            special = chance.choice(SPECIAL)
            found[at : at + len(special)] = special
        elif kind == 2:
            del found[at : at + chance.randrange(1, 9)]
        elif kind == 3:
            found[at:at] = chance.randbytes(chance.randrange(1, 9))
        elif kind == 4:
            del found[at:]
        elif kind == 5:
            found[2:4] = struct.pack(">h", chance.randrange(-1, 20))
        else:
            other = chance.randrange(len(found))
            found[at:at] = found[other : other + chance.randrange(1, 64)]
    return bytes(found)


def _framed(request: bytes) -> bytes:
    return struct.pack(">i", len(request)) + request


def attempt(whole: list[bytes], chance: random.Random) -> bytes:
    """What one connection sends: mostly one mutated request, or several, or noise."""
    kind = chance.randrange(10)
    if kind < 7:
        return _framed(_mutated(chance.choice(whole), chance))
    if kind == 7:
        head = struct.pack(">hhih", chance.choice(list(Api)), chance.randrange(18), 1, -1)
        return _framed(head + chance.randbytes(chance.randrange(200)))
    if kind == 8:
        return chance.randbytes(chance.randrange(1, 400))
    if chance.random() < 0.1:
        request = chance.choice(whole)
        size = chance.choice((0, 1, 7, 8, -1, 2**31 - 1, len(request) - 1))
        return struct.pack(">i", size) + request
    return b"".join(_framed(_mutated(chance.choice(whole), chance)) for _ in range(5))


@dataclass(slots=True)
class Outcome:
    answered: int = 0
    closed: int = 0
    growth: int = 0
    slowest: float = 0.0


def resident(broker: LocalBroker) -> int:
    assert broker.process is not None
    return int(Path(f"/proc/{broker.process.pid}/statm").read_text().split()[1]) * 4096


def store(broker: LocalBroker) -> list[tuple[int, int, int]]:
    """Fill the two topics; what is in the one that is kept."""
    wire = Wire(broker.bootstrap)
    for topic in (KEPT, VICTIM):
        create_topic(wire, topic, configs={"retention.ms": "-1"})
        for number in range(20):
            produce(wire, topic, batch([bytes(1000 + number)] * 10))
    found = stored(wire)
    wire.close()
    return found


def stored(wire: Wire) -> list[tuple[int, int, int]]:
    return batches_in(fetch(wire, KEPT, 0).records)


def send(broker: LocalBroker, data: bytes) -> int:
    """How many bytes came back until the broker closed. Raises OSError: it did not in time."""
    with socket.create_connection(("127.0.0.1", broker.port), timeout=WITHIN) as connection:
        size = 0
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                size += len(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return size


def run(broker: LocalBroker, count: int, seed: int) -> Outcome:
    """Send `count` attempts. Raises OSError or AssertionError where something does not hold."""
    chance, whole, outcome = random.Random(seed), seeds(), Outcome()
    before_data, before = store(broker), resident(broker)
    control = Wire(broker.bootstrap)
    for number in range(count):
        began = time.monotonic()
        if send(broker, attempt(whole, chance)):
            outcome.answered += 1
        else:
            outcome.closed += 1
        outcome.slowest = max(outcome.slowest, time.monotonic() - began)
        if number % 50 == 0:
            outcome.growth = max(outcome.growth, resident(broker) - before)
            assert control.call("list_groups", 2).error_code == 0
    assert stored(control) == before_data
    assert outcome.growth < MAX_GROWTH
    control.close()
    broker.restart()
    control = Wire(broker.bootstrap)
    assert stored(control) == before_data
    control.close()
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as directory:
            broker = LocalBroker(Path(directory))
            broker.start()
            began = time.monotonic()
            try:
                outcome = run(broker, options.count, seed)
            finally:
                broker.kill()
            growth = outcome.growth / 2**20
            print(
                f"seed {seed}: {options.count} attempts in {time.monotonic() - began:.0f} s, "
                f"{outcome.answered} answered, {outcome.closed} closed, "
                f"memory +{growth:.0f} MiB at most, slowest {outcome.slowest:.2f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
