"""How many bytes may be under way, over all requests. Pure.

Used by `app`, `bodies` and `events`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from nrtctl.config.counted import counted
from nrtctl.producer.listening.refused import Refused, later

EVENT_BYTES = 512
"""What an event costs beside its own bytes: objects of Python's and the client's."""

SMALL_BYTES = 64 * 1024
"""What the objects of an event of no more bytes cost is not counted."""

AGAIN_SECONDS = 1


class Room:
    """Bodies are unpacked on threads of their own: any of them may ask for room.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self.full = False
        """Whether somebody was sent away since it was half empty last."""
        self._lock = threading.Lock()

    def claim(self) -> Claim:
        return Claim(self)

    def add(self, size: int) -> None:
        """Raises Refused: there is no room for so many bytes more."""
        with self._lock:
            if self.used + size > self.most:
                self.full = True
                raise refusal()
            self.used += size
            if self.used <= self.most // 2:
                self.full = False


class Claim:
    """What one request has of it. In a `with`, which gives all back.

    A sender takes what it has sent, not what it says that it will: one that is slow has little.
    """

    def __init__(self, room: Room, beside: int = 0) -> None:
        self._room = room
        self._beside = beside
        self._bytes = 0

    def further(self) -> Claim:
        """One that is given back before this one is."""
        return Claim(self._room, self._beside + self._bytes)

    def expect(self, size: int) -> None:
        """Raises Refused: so many bytes would find no room now."""
        self.take(size)
        self.give_back(size)

    def take(self, size: int) -> None:
        """Raises Refused: there is no room for so many bytes more, or never will be."""
        if self._beside + self._bytes + size > self._room.most:
            raise Refused(
                413, "the request takes more memory than all requests together may: "
                    f"{counted(self._room.most, 'byte')} (--max-waiting)",
            )  # fmt: skip
        self._room.add(size)
        self._bytes += size

    def give_back(self, size: int) -> None:
        self._room.add(-size)
        self._bytes -= size

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back(self._bytes)


class Parsing:
    """Room for what parsers make of the events of a request, one after the other.

    Args:
        claim: takes so many bytes more. Raises Refused.
    """

    def __init__(self, claim: Callable[[int], None]) -> None:
        self._claim = claim
        self._held = 0

    def make_room(self, value: bytes) -> None:
        """Before it is parsed. Raises Refused."""
        if len(value) <= SMALL_BYTES:
            return
        more = objects_bytes(value) - self._held
        if more > 0:
            self._claim(more)
            self._held += more


def objects_bytes(value: bytes) -> int:
    """What the objects that a parser makes of a JSON text take at most, as measured: its strings,
    and so much for each object, array and further value."""
    strings = len(value) if value.isascii() else 5 * len(value)
    return strings + 256 * value.count(b"{") + 128 * value.count(b"[") + 96 * value.count(b",")


def refusal() -> Refused:
    return later(
        429,
        "too many events are waiting for Kafka; send the request again a little later",
        AGAIN_SECONDS,
    )
