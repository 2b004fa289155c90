"""Which names a Host header may hold: a page of another site cannot have those of loopback.

That keeps out a name that was pointed here (DNS rebinding). Pure. Used by every HTTP server here:
the front, the dashboard, the metrics.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence


def allowed(hosts: Sequence[str], bound: str) -> bool:
    """Whether a request with these Host headers means this server.

    Bound to another address than loopback its names are not known: any is allowed.

    Args:
        hosts: the values of all its Host headers.
        bound: the address that the server listens on.
    """
    return not is_loopback(bound) or (len(hosts) == 1 and names_loopback(hosts[0]))


def names_loopback(host: str) -> bool:
    """Whether a Host header names loopback, with any port: an SSH tunnel may have another."""
    name, colon, port = host.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        name = host
    if name.startswith("[") != name.endswith("]") or (":" in name and not name.startswith("[")):
        return False
    return is_loopback(name.removeprefix("[").removesuffix("]"))


def is_loopback(name: str) -> bool:
    """Whether it is `localhost` or an address of loopback."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
