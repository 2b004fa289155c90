"""Ports for servers that come back where they were.

They lie below those that the system gives to clients and to whoever asks for port 0, and each test
process draws from a part of its own: while a server is down, nobody else is given its port.
"""

from __future__ import annotations

import os
import random
import socket

_FIRST, _CLIENTS_BEGIN = 12_000, 32_000
_given: set[int] = set()


def free_port(in_a_row: int = 1) -> int:
    """A loopback port that is free and that this process was not given before.

    Several runs may ask at once: it is random, not the next one.

    Args:
        in_a_row: so many ports, of which this is the first.
    """
    mine = _part()
    while True:
        first = random.randrange(mine.start, mine.stop - in_a_row + 1)
        ports = range(first, first + in_a_row)
        if _given.isdisjoint(ports) and all(map(_free, ports)):
            _given.update(ports)
            return first


def _part() -> range:
    """The ports of this process: with `pytest -n 4`, a fourth of them for each worker."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = (_CLIENTS_BEGIN - _FIRST) // workers
    return range(_FIRST + worker * size, _FIRST + (worker + 1) * size)


def _free(port: int) -> bool:
    with socket.socket() as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
