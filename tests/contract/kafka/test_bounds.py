"""What a client can make the local broker hold, and for how long."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kio.schema.errors import ErrorCode

from tests.plugins.kafka_wire import (
    Closed,
    Wire,
    batch,
    create_topic,
    fetch,
    fetch_request,
    produce,
)
from tests.plugins.local_broker import LocalBroker
from tests.plugins.waiting import eventually

MIB = 2**20
ANNOUNCED = struct.pack(">i", 100 * MIB) + b"\0\0"
"""The length of a Produce request of 100 MiB, and the first bytes of it."""


@pytest.fixture
def many() -> Iterator[ExitStack]:
    """Sockets that are closed at the test's end."""
    with ExitStack() as stack:
        yield stack


def connect(broker: LocalBroker, many: ExitStack) -> socket.socket:
    return many.enter_context(socket.create_connection(("127.0.0.1", broker.port), timeout=20))


def resident(broker: LocalBroker) -> int:
    """Bytes of memory that the broker's process has."""
    assert broker.process is not None
    text = Path(f"/proc/{broker.process.pid}/statm").read_text()
    return int(text.split()[1]) * 4096


def answers(broker: LocalBroker) -> bool:
    connection = Wire(broker.bootstrap)
    try:
        return bool(connection.call("list_groups", 2).error_code == ErrorCode.none)
    except Closed:
        return False
    finally:
        connection.close()


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_an_announced_size_costs_nothing(
    make_local_broker: Callable[..., LocalBroker], many: ExitStack
) -> None:
    broker = make_local_broker()
    answers(broker)
    before = resident(broker)
    for _ in range(200):
        connect(broker, many).sendall(ANNOUNCED)
    assert answers(broker)
    assert resident(broker) - before < 20 * MIB


def test_all_connections_together_hold_a_bounded_amount(
    make_local_broker: Callable[..., LocalBroker], many: ExitStack, wire: Callable[[str], Wire]
) -> None:
    """Forty times 8 MiB of requests that never end, against 32 MiB; others are served meanwhile."""
    broker = make_local_broker("--max-buffered-bytes", str(32 * MIB))
    other = wire(broker.bootstrap)
    create_topic(other, "t")
    before = resident(broker)
    for _ in range(40):
        connection = connect(broker, many)
        connection.settimeout(0.5)
        try:
            connection.sendall(ANNOUNCED + bytes(8 * MIB))
        except OSError:
            continue
        assert produce(other, "t", batch([bytes(100_000)])).error_code == ErrorCode.none
    assert resident(broker) - before < 64 * MIB
    large = batch([bytes(900_000)])
    assert produce(wire(broker.bootstrap), "t", large).error_code == ErrorCode.none
    assert "all connections together hold as much as they may" in broker.log.read_text()


def test_answers_that_were_read_make_later_ones_no_smaller(
    make_local_broker: Callable[..., LocalBroker], wire: Callable[[str], Wire]
) -> None:
    """Answers are a share of the memory that is left: what has been read is not counted."""
    broker = make_local_broker("--max-buffered-bytes", str(64 * MIB))
    connection = wire(broker.bootstrap)
    create_topic(connection, "t")
    for _ in range(20):
        produce(connection, "t", batch([bytes(900_000)]))
    sizes = {len(fetch(connection, "t", 0, max_bytes=50 * MIB).records) for _ in range(12)}
    assert min(sizes) > 6 * MIB


def test_half_a_request_is_not_waited_for_without_end(
    make_local_broker: Callable[..., LocalBroker], many: ExitStack
) -> None:
    broker = make_local_broker("--half-sent-seconds", "1")
    halves = []
    for half in (b"\0", b"\0\0\0\x20\0", ANNOUNCED + bytes(MIB)):
        halves.append(connect(broker, many))
        halves[-1].sendall(half)
    whole = connect(broker, many)
    assert all(is_closed(connection) for connection in halves)
    assert "the rest of a request did not come (5 of 36 bytes" in broker.log.read_text()
    whole.settimeout(0.2)
    with pytest.raises(TimeoutError):
        whole.recv(1)


def test_answers_that_nobody_reads_end_the_connection(
    make_local_broker: Callable[..., LocalBroker], many: ExitStack, wire: Callable[[str], Wire]
) -> None:
    broker = make_local_broker("--unread-seconds", "1")
    other = wire(broker.bootstrap)
    create_topic(other, "t")
    for _ in range(30):
        produce(other, "t", batch([bytes(900_000)]))
    silent = wire(broker.bootstrap)
    silent.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(4):
        silent.send("fetch", 12, **fetch_request("t", [(0, 0, 50 * MIB)]))
    said = "its answers were not read for 1 s"
    eventually(lambda: said in broker.log.read_text(), said)
    assert fetch(other, "t", 0).records


def test_a_long_silence_ends_a_connection(
    make_local_broker: Callable[..., LocalBroker], many: ExitStack
) -> None:
    broker = make_local_broker("--idle-seconds", "1")
    assert is_closed(connect(broker, many))


def test_idle_connections_lock_nobody_out(
    make_local_broker: Callable[..., LocalBroker], many: ExitStack
) -> None:
    """They are the broker's user's own, and as many as may be: those that asked for nothing go."""
    broker = make_local_broker("--max-connections", "20")
    asked = Wire(broker.bootstrap)
    asked.call("list_groups", 2)
    for _ in range(40):
        connect(broker, many)
    eventually(lambda: answers(broker), "an answer")
    assert asked.call("list_groups", 2).error_code == ErrorCode.none
    asked.close()
    assert "this one has been the quietest" in broker.log.read_text()


def test_those_without_a_login_lock_nobody_out(
    make_local_broker: Callable[..., LocalBroker],
    many: ExitStack,
    tmp_path: Path,
    wire: Callable[[str], Wire],
) -> None:
    (tmp_path / "password").write_text("p")
    broker = make_local_broker(
        *("--password-file", str(tmp_path / "password"), "--ask-everybody"),
        *("--max-connections", "20", "--login-seconds", "600"),
    )
    known = wire(broker.bootstrap)
    known.call("sasl_handshake", 1, mechanism="PLAIN")
    known.call("sasl_authenticate", 2, auth_bytes=b"\0nrtctl\0p")
    for _ in range(60):
        connect(broker, many)
        late = wire(broker.bootstrap)
        late.call("sasl_handshake", 1, mechanism="PLAIN")
        late.call("sasl_authenticate", 2, auth_bytes=b"\0nrtctl\0p")
        assert late.call("list_groups", 2).error_code == ErrorCode.none
        late.close()
    assert known.call("list_groups", 2).error_code == ErrorCode.none


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(
            struct.pack(">hhih", 9, 6, 1, -1) + b"\0\2g\xff\xff\xff\xff\x0f", id="compact"
        ),
        pytest.param(struct.pack(">hhih", 3, 9, 1, -1) + b"\0\xff\xff\xff\xff\x0f", id="metadata"),
        pytest.param(struct.pack(">hhihi", 3, 1, 1, -1, 2**31 - 1), id="fixed"),
        pytest.param(struct.pack(">hhih", 3, 9, 1, -1) + b"\xff\xff\xff\xff\x0f", id="tags"),
        pytest.param(struct.pack(">hhih", 17, 1, 1, -1) + b"\x7f\xff", id="string"),
        pytest.param(struct.pack(">hhih", 36, 1, 1, -1) + b"\x7f\xff\xff\xff", id="bytes"),
    ],
)
def test_a_length_that_cannot_be_true_ends_the_connection_only(
    local_broker: LocalBroker, wire: Callable[[str], Wire], frame: bytes
) -> None:
    connection = wire(local_broker.bootstrap)
    connection.send_frame(frame)
    with pytest.raises(Closed):
        connection.receive_frame()
    assert answers(local_broker)
