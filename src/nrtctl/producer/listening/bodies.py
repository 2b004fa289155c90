"""A request's body: received within a time and a size, and unpacked within the same. Used by `app`.

How much of a body is unpacked is bounded before it is: a little gzip may be very much text.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nrtctl.producer.listening.refused import Refused
from nrtctl.producer.listening.room import Claim
from nrtctl.producer.sources.files.unpacking import Damaged, Unpacker

Receive = Callable[[], Awaitable[Any]]
PIECE = 256 * 1024
SLOW_SECONDS = 10.0
LEAST_PER_SECOND = 1024
"""Bytes of a body, on average, once it has been coming for `SLOW_SECONDS`."""

LINGER_SECONDS = 1.0
LINGER_BYTES = 4 * 2**20
"""What is still read of a body that is refused, so that its sender sees the answer: a connection
that is closed while bytes come in is reset."""


class Gone(Exception):
    """The client has closed the connection: nobody waits for an answer."""


def encoding_of(headers: Mapping[str, list[str]]) -> str:
    """`gzip`, or empty. Raises Refused."""
    said = ",".join(headers.get("content-encoding", [])).strip().lower()
    if said in {"", "identity"}:
        return ""
    if said in {"gzip", "x-gzip"}:
        return "gzip"
    raise Refused(
        415, f"the content encoding {said} is not supported; send gzip, or none",
        headers={"accept-encoding": "gzip"},
    )  # fmt: skip


def length_of(headers: Mapping[str, list[str]]) -> int | None:
    """None: it is not said.

    Raises:
        Refused: it is said in two ways. A proxy in front may have taken the other one, and then a
            part of this body for the next request.
    """
    lengths = headers.get("content-length", [])
    if "transfer-encoding" in headers and lengths:
        raise Refused(400, "Content-Length and Transfer-Encoding exclude each other", closes=True)
    if len(lengths) > 1:
        raise Refused(400, "Content-Length is given more than once", closes=True)
    return int(lengths[0]) if lengths else None


async def read(
    receive: Receive, length: int | None, claim: Claim, *, most: int, seconds: float
) -> bytes:
    """The body as it is sent.

    Raises:
        Refused: it is too large, there is no room for it, or it does not come in time, or hardly.
        Gone.
    """
    if length is not None:
        if length > most:
            raise too_large(most)
        claim.expect(length)
    held = bytearray()
    began = asyncio.get_running_loop().time()
    end = began + seconds
    slow = began + SLOW_SECONDS
    try:
        async with asyncio.timeout_at(min(end, slow)) as limit:
            more = True
            while more:
                piece, more = await _next(receive)
                if len(held) + len(piece) > most:
                    raise too_large(most)
                claim.take(len(piece))
                held += piece
                slow = began + SLOW_SECONDS + len(held) / LEAST_PER_SECOND
                limit.reschedule(min(end, slow))
    except TimeoutError:
        why = f"did not arrive within {seconds:g} s (--read-timeout)"
        if slow < end:
            why = f"arrives too slowly, at less than {LEAST_PER_SECOND:,} bytes per second"
        raise Refused(408, f"the body {why}", closes=True) from None
    return bytes(held)


async def pass_over(receive: Receive) -> bool:
    """Read what comes of a body that is refused, and keep nothing; whether that was all of it."""
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while left > 0:
                piece, more = await _next(receive)
                if not more:
                    return True
                left -= len(piece)
    except TimeoutError:
        pass
    return False


def unpacked(body: bytes, most: int, claim: Callable[[int], None]) -> bytes:
    """Args: claim: told how many bytes more there are, before they are kept.

    Raises:
        Refused: it is no gzip, or too large.
    """
    unpacker = Unpacker("gzip", PIECE)
    held = bytearray()
    try:
        unpacker.feed(body)
        while piece := unpacker.read():
            if len(held) + len(piece) > most:
                raise too_large(most)
            claim(len(piece))
            held += piece
        unpacker.finish()
    except (Damaged, zlib.error) as error:
        raise Refused(400, f"the body cannot be decompressed: {error}") from None
    return bytes(held)


def too_large(most: int) -> Refused:
    return Refused(
        413, f"the body is larger than {most:,} bytes, compressed or decompressed (--max-body)"
    )


async def _next(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), message.get("more_body", False)
