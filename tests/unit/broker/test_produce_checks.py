"""A batch is appended only when it has been checked to the end."""

from __future__ import annotations

from importlib import import_module

import pytest

from nrtctl.local.broker.wire.batches import validate_produced
from nrtctl.local.broker.wire.errors import ErrorCode
from tests.plugins.kafka_wire import batch

produce = import_module("nrtctl.local.broker.handlers.produce")


@pytest.mark.parametrize("error", [RuntimeError("codec"), MemoryError(), IndexError("at")])
def test_a_check_that_fails_in_any_way_refuses_the_batch(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(produce, "check_payload", fail)
    records = memoryview(bytearray(batch([b"x"])))
    part = produce._Part("t", 0, records, header=validate_produced(records, 10_000))
    produce._check([part])
    assert part.refusal is not None
    assert part.refusal.code in (ErrorCode.corrupt_message, ErrorCode.message_too_large)
