"""Control batches, which end a transaction in one partition: commit or abort. Only the broker
writes them. Source: https://kafka.apache.org/documentation/#controlbatch.

Called by `log.partition`, `log.recovery` and `log.producers`.
"""

from __future__ import annotations

import struct
from typing import Final

from nrtctl.local.broker.wire.batches import (
    CONTROL,
    HEADER,
    HEADER_SIZE,
    PREFIX_SIZE,
    TRANSACTIONAL,
    seal,
)

COORDINATOR_EPOCH: Final = 0
_RECORD: Final = struct.Struct(">bbbbbhhbhib")
_ABORT, _COMMIT = 0, 1


def marker(producer_id: int, epoch: int, *, commits: bool, now_ms: int) -> bytearray:
    """A batch of one record: its key is a version and the kind, its value the coordinator's epoch.

    Lengths are zigzag varints of one byte.
    """
    size = _RECORD.size - 1
    kind = _COMMIT if commits else _ABORT
    record = _RECORD.pack(2 * size, 0, 0, 0, 2 * 4, 0, kind, 2 * 6, 0, COORDINATOR_EPOCH, 0)
    batch = bytearray(
        HEADER.pack(
            *(0, HEADER_SIZE - PREFIX_SIZE + len(record), 0, 2, 0, TRANSACTIONAL | CONTROL, 0),
            *(now_ms, now_ms, producer_id, epoch, -1, 1),
        )
        + record
    )
    seal(memoryview(batch))
    return batch


def is_commit(batch: bytes | memoryview, at: int = 0) -> bool:
    """Which of both a control batch at `at` is."""
    kind: int = _RECORD.unpack_from(batch, at + HEADER_SIZE)[6]
    return kind == _COMMIT
