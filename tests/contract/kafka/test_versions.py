"""What both brokers say they serve, and what they do with what they do not."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.conftest import Broker
from tests.plugins.apache_kafka import ApacheKafka
from tests.plugins.kafka_wire import Closed, Wire
from tests.plugins.local_broker import LocalBroker


@pytest.mark.parametrize("version", range(5))
def test_api_versions_lists_what_is_served(connection: Wire, version: int) -> None:
    answer = connection.call(
        "api_versions", version, client_software_name="test", client_software_version="1"
    )
    assert answer.error_code == ErrorCode.none
    served = {api.api_key: (api.min_version, api.max_version) for api in answer.api_keys}
    for key, needed in {0: 10, 1: 16, 2: 7, 3: 12, 8: 9, 9: 9, 11: 5, 14: 3, 18: 3}.items():
        lowest, highest = served[key]
        assert lowest <= needed <= highest


def test_an_unknown_api_versions_version_is_answered_in_version_0(connection: Wire) -> None:
    connection.send_frame(struct.pack(">hhih", 18, 99, 7, -1) + b"\0")
    answer = connection.receive("api_versions", 0, 7)
    assert answer.error_code == ErrorCode.unsupported_version
    assert any(api.api_key == 18 for api in answer.api_keys)
    assert connection.call("api_versions", 0).error_code == ErrorCode.none


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(struct.pack(">hhih", 999, 0, 1, -1), id="unknown request"),
        pytest.param(struct.pack(">hhih", 3, 99, 1, -1) + b"\0\0\0\0", id="unknown version"),
        pytest.param(struct.pack(">hhih", 0, 2, 1, -1) + bytes(12), id="version too old"),
        pytest.param(struct.pack(">hhih", 3, 12, 1, -1) + b"\0\xff\xff\xff\x7f", id="malformed"),
    ],
)
def test_what_cannot_be_read_closes_the_connection(connection: Wire, frame: bytes) -> None:
    connection.send_frame(frame)
    with pytest.raises(Closed):
        connection.receive_frame()


@pytest.mark.parametrize(
    "first_bytes",
    [
        pytest.param(bytes.fromhex("16030100c8010000c40303"), id="TLS hello"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(struct.pack(">i", -1), id="negative size"),
        pytest.param(struct.pack(">i", 2**31 - 1), id="2 GiB request"),
    ],
)
def test_foreign_bytes_close_the_connection(connection: Wire, first_bytes: bytes) -> None:
    connection.socket.sendall(first_bytes)
    with pytest.raises(Closed):
        connection.receive_frame()


@pytest.mark.parametrize("version", [0, 1])
def test_sasl_is_refused_on_a_plaintext_listener(connection: Wire, version: int) -> None:
    answer = connection.call("sasl_handshake", version, mechanism="PLAIN")
    assert answer.error_code == ErrorCode.illegal_sasl_state


def test_embedded_versions_are_within_apaches(
    local_broker: LocalBroker, apache_kafka: ApacheKafka, wire: Callable[[str], Wire]
) -> None:
    def served(broker: Broker) -> dict[int, tuple[int, int]]:
        answer = wire(broker.bootstrap).call("api_versions", 0)
        return {api.api_key: (api.min_version, api.max_version) for api in answer.api_keys}

    theirs = served(apache_kafka)
    for key, (lowest, highest) in served(local_broker).items():
        assert theirs[key][0] <= lowest <= highest <= theirs[key][1], key


def test_requests_are_answered_in_order(connection: Wire) -> None:
    sent = [connection.send("metadata", 9, topics=None) for _ in range(50)]
    for correlation_id in sent:
        connection.receive("metadata", 9, correlation_id)


def test_a_request_in_small_pieces_is_read(connection: Wire) -> None:
    body = struct.pack(">hhih", 18, 0, 5, -1)
    for byte in struct.pack(">i", len(body)) + body:
        connection.socket.sendall(bytes([byte]))
    assert connection.receive("api_versions", 0, 5).error_code == ErrorCode.none
