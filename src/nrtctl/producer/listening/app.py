"""Answers a request: 202 once Kafka has acknowledged each of its events, else what is wrong.

Run by `serving`, on one event loop. A request is checked in the order of what that costs: who
sends, what it is, how large it is; only then its body is read, and what is in it looked at.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from nrtctl.clock import Clock
from nrtctl.config.counted import counted
from nrtctl.kafka.error_codes import Meaning
from nrtctl.net.hosts import allowed, is_loopback, names_loopback
from nrtctl.net.serving import HEAD_BYTES, TOO_LONG
from nrtctl.producer.listening import bodies
from nrtctl.producer.listening.courier import Courier, Delivery, Event
from nrtctl.producer.listening.login import Login, signature_text
from nrtctl.producer.listening.refused import Refused, later
from nrtctl.producer.listening.requests import Shape, Taking, Target, messages, shape_of
from nrtctl.producer.listening.room import EVENT_BYTES, Claim, Parsing, Room

log = logging.getLogger(__name__)

AWAY_SECONDS = 5
"""After which a client is to try again while Kafka is away."""

MOST_NAMED = 10
"""Paths that an answer lists."""

LARGE_BYTES = 64 * 1024
"""A body of more is looked at on another thread, so that other requests go on."""

Headers = dict[str, list[str]]


@dataclass(slots=True)
class Tally:
    """What was answered; written on the event loop's thread, read by any."""

    answers: Counter[int] = field(default_factory=Counter)
    events: int = 0
    """Those that were answered with 202."""
    seconds: Any = None
    """Told how long each request that was taken has waited for Kafka; None: nobody asks."""
    under_way: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Attributes:
        body: bytes that one may have, packed or unpacked.
        read_seconds: in which it has to come.
        delivery_seconds: after which Kafka's client gives an event up.
    """

    body: int
    read_seconds: float
    delivery_seconds: float


class App:
    """
    Args:
        targets: by path; `/` is the only one of a single pipeline.
        bound: the address that is listened at.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        *,
        login: Login,
        limits: Limits,
        taking: Taking,
        courier: Courier,
        room: Room,
        clock: Clock,
        bound: str,
    ) -> None:
        self._targets = dict(targets)
        self._login = login
        self._limits = limits
        self._taking = taking
        self._courier = courier
        self._room = room
        self._clock = clock
        self._bound = bound
        self._threads = ThreadPoolExecutor(2, "bodies")
        self.tally = Tally()
        self.ending = False

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers: Headers = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        body = _Body(receive)
        self.tally.under_way += 1
        try:
            status, said, more = await self._answered(scope, headers, body)
            closes = "connection" in more or not await self._is_read(headers, body)
            self.tally.answers[status] += 1
            await _send(send, status, said, more, closes=closes or self.ending)
        except bodies.Gone:
            return
        finally:
            self.tally.under_way -= 1

    async def _answered(
        self, scope: Scope, headers: Headers, body: _Body
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, what is said, and headers."""
        try:
            if scope["method"] in {"GET", "HEAD"} and scope["path"] in {"/healthz", "/readyz"}:
                return self._health(scope["path"])
            return 202, {"events": await self._taken(scope, headers, body)}, {}
        except Refused as refused:
            said: dict[str, Any] = {"error": refused.why}
            if refused.of is not None:
                said |= {"taken": refused.taken, "events": refused.of}
            more = dict(refused.headers)
            if refused.closes:
                more["connection"] = "close"
            return refused.status, said, more
        except bodies.Gone:
            raise
        except Exception:
            log.exception("a request could not be answered")
            return 500, {"error": "this is a fault in nrtctl; its log has the details"}, {}

    def _health(self, path: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        if path == "/readyz" and (self._courier.away or self.ending):
            why = "it is ending" if self.ending else "Kafka does not answer"
            return 503, {"error": why}, {}
        return 200, {"status": "ok"}, {}

    async def _is_read(self, headers: Headers, body: _Body) -> bool:
        """Whether the connection is at the next request."""
        if body.ended or not ({"content-length", "transfer-encoding"} & set(headers)):
            return True
        if "expect" in headers and not body.begun:
            return False
        return await bodies.pass_over(body)

    async def _taken(self, scope: Scope, headers: Headers, body: _Body) -> int:
        """How many events Kafka has acknowledged: all. Raises Refused."""
        if _head_bytes(scope) > HEAD_BYTES:
            raise Refused(431, TOO_LONG, closes=True)
        length = bodies.length_of(headers)
        self._check_who_asks(headers)
        signature = self._login.before_body(headers)
        if signature is None and not self._login.open:
            scope["state"]["known"]()
        target = self._target(scope)
        encoding = bodies.encoding_of(headers)
        shape = shape_of(scope["headers"], self._taking)
        if self.ending:
            raise later(503, "the endpoint is ending", AWAY_SECONDS)
        if self._courier.away:
            raise later(503, "Kafka does not answer; nothing was accepted", AWAY_SECONDS)
        with self._room.claim() as claim:
            sent = await bodies.read(
                body, length, claim, most=self._limits.body, seconds=self._limits.read_seconds
            )
            if signature is not None:
                signature.check(signature_text(headers, signature), sent, self._clock.time())
            events = await self._looked_at(sent, encoding, shape, target, claim)
            del sent
            claim.take(EVENT_BYTES * len(events))
            began = self._clock.monotonic()
            delivery = await self._courier.send(target.topic, events)
            if self.tally.seconds is not None:
                self.tally.seconds(self._clock.monotonic() - began)
        if delivery.acknowledged < delivery.total:
            raise self._not_delivered(delivery)
        self.tally.events += delivery.total
        return delivery.total

    async def _looked_at(
        self, sent: bytes, encoding: str, shape: Shape, target: Target, claim: Claim
    ) -> list[Event]:
        def work() -> list[Event]:
            plain = bodies.unpacked(sent, self._limits.body, claim.take) if encoding else sent
            with claim.further() as objects:
                return messages(plain, shape, target, self._taking, Parsing(objects.take))

        if len(sent) <= LARGE_BYTES and not encoding:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _check_who_asks(self, headers: Headers) -> None:
        """Without a login a page of another site, in the browser of whoever runs this, must not
        send. Raises Refused."""
        if not self._login.open:
            return
        if not allowed(headers.get("host", []), self._bound):
            raise Refused(421, "send it to the host name localhost")
        for origin in headers.get("origin", []):
            if not names_loopback(origin.partition("://")[2]) and is_loopback(self._bound):
                raise Refused(403, "a web page of another site may not send without a login")

    def _target(self, scope: Scope) -> Target:
        """Raises Refused."""
        target = self._targets.get(scope["path"])
        if target is None:
            paths = " or ".join(sorted(self._targets)[:MOST_NAMED])
            raise Refused(404, f"there is nothing here; events are sent to {paths}")
        if scope["method"] != "POST":
            raise Refused(
                405, f"{scope['method']} is not supported here; send events with POST",
                headers={"allow": "POST"},
            )  # fmt: skip
        return target

    def _not_delivered(self, delivery: Delivery) -> Refused:
        taken, total = delivery.acknowledged, delivery.total
        ((why, _), _), *_ = delivery.reasons.most_common(1)
        some = f"{total - taken:,} of {counted(total, 'event')}"
        if {meaning for _, meaning in delivery.reasons} == {Meaning.TOO_LARGE}:
            return Refused(
                413, f"Kafka does not accept {some}: larger than the topic's max.message.bytes",
                taken=taken, of=total,
            )  # fmt: skip
        return later(
            503, f"Kafka has not acknowledged {some} within "
            f"{self._limits.delivery_seconds:g} s: {why}",
            AWAY_SECONDS, taken=taken, of=total,
        )  # fmt: skip


class _Body:
    """ASGI's `receive`, and how far it has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.begun = False
        self.ended = False

    async def __call__(self) -> Message:
        self.begun = True
        message = await self._receive()
        self.ended = not message.get("more_body", False)
        return message


def _head_bytes(scope: Scope) -> int:
    """Of the request's line and headers, without the white space that may stand around a value."""
    line = len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"])
    return line + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


async def _send(
    send: Send, status: int, said: Mapping[str, Any], more: Mapping[str, str], *, closes: bool
) -> None:
    body = json.dumps(said).encode() + b"\n"
    headers = {
        "content-type": "application/json", "content-length": str(len(body)),
        "x-content-type-options": "nosniff", **more,
    }  # fmt: skip
    if closes:
        headers["connection"] = "close"
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
