"""Ports for servers that come back where they were.

They lie below those that the system gives to clients and to whoever asks for port 0: while a server
is down, nobody else is given its port.
"""

from __future__ import annotations

import random
import socket

_CLIENTS_BEGIN = 32_000
_given: set[int] = set()


def free_port(in_a_row: int = 1) -> int:
    """A loopback port that is free and that this process was not given before.

    Several test processes may ask at once: it is random, not the next one.

    Args:
        in_a_row: so many ports, of which this is the first.
    """
    while True:
        first = random.randrange(12_000, _CLIENTS_BEGIN - in_a_row)
        ports = range(first, first + in_a_row)
        if _given.isdisjoint(ports) and all(map(_free, ports)):
            _given.update(ports)
            return first


def _free(port: int) -> bool:
    with socket.socket() as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
