"""What a handler knows beside its request. Built by `server` for every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nrtctl.local.broker.broker import Broker
from nrtctl.local.broker.groups.rebalance import CallLater
from nrtctl.local.broker.login import Login

Reply = Callable[[dict[str, Any]], None]
# The parts of an encoded response; None when the request wants none.
Send = Callable[[list[bytes | bytearray] | None], None]


@dataclass(slots=True)
class Client:
    """Who is at the other end of a connection, as it says itself in ApiVersions."""

    software: str = ""


@dataclass(slots=True)
class Context:
    """`host` and `port` are what clients are told to connect to."""

    broker: Broker
    version: int
    correlation_id: int
    client_id: str
    client_host: str
    host: str
    port: int
    call_later: CallLater
    login: Login
    client: Client
    room_for_answer: Callable[[], int]
    # Set by a handler that waits: called when it should answer with what there is.
    finish_early: Callable[[], None] | None = None
    # The same, where only a LeaveGroup of the client that waits is a reason to.
    finish_to_leave: Callable[[], None] | None = None
    # Tells the client's connection from others.
    connection: object = None
