"""What Kafka's client library writes to stderr by itself."""

from __future__ import annotations

import re

_LINE = re.compile(r"%\d\|[\d.]+\|\w+\|rdkafka#")


def said(stderr: str, address: str) -> list[str]:
    """The lines of stderr, without those of Kafka clients that are not about `address`: a client
    that an earlier test has left goes on saying that its server, which has ended, is away."""
    return [line for line in stderr.splitlines() if not _LINE.match(line) or address in line]
