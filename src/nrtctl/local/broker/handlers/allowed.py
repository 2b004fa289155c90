"""What a client may do: all that there is, as with an Apache Kafka without an authorizer.

A set of operations is a number, one bit each. Source: Apache Kafka, AclOperation.code and
AclEntry.supportedOperations. Used by `cluster` and `admin`, and where groups are described.
"""

from __future__ import annotations

from typing import Any, Final

NOT_ASKED: Final = -(2**31)
"""The protocol's own default."""


def _set(*codes: int) -> int:
    return sum(1 << code for code in codes)


_READ, _WRITE, _CREATE, _DELETE, _ALTER, _DESCRIBE, _CLUSTER_ACTION = range(3, 10)
_DESCRIBE_CONFIGS, _ALTER_CONFIGS, _IDEMPOTENT_WRITE = range(10, 13)
_CONFIGS = (_DESCRIBE_CONFIGS, _ALTER_CONFIGS)

TOPIC: Final = _set(_READ, _WRITE, _CREATE, _DELETE, _ALTER, _DESCRIBE, *_CONFIGS)
CLUSTER: Final = _set(_CREATE, _ALTER, _DESCRIBE, _CLUSTER_ACTION, *_CONFIGS, _IDEMPOTENT_WRITE)
GROUP: Final = _set(_READ, _DELETE, _DESCRIBE, *_CONFIGS)


def if_asked(request: Any, flag: str, operations: int) -> int:
    """The operations, if the request has that flag and it is set."""
    return operations if getattr(request, flag, False) else NOT_ASKED
