"""The endpoint from its first connection to its end. Called by `nrtctl listen`.

The end: no connection is accepted any more, idle ones are closed, and requests under way are
answered, once Kafka has acknowledged their events or the client has given them up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from threading import Event
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from nrtctl.clock import Clock
from nrtctl.config.counted import counted
from nrtctl.config.model import Listen
from nrtctl.config.servers import Kafka
from nrtctl.errors import ConfigError
from nrtctl.kafka import clients
from nrtctl.kafka.producing import Client, Health, Refusal
from nrtctl.kafka.silence import why_silent
from nrtctl.net.hosts import is_loopback
from nrtctl.net.posix import raise_file_limit
from nrtctl.net.serving import HEAD_BYTES, Bounded, Connections, Sealed
from nrtctl.net.tls import Files, Names, server_context
from nrtctl.producer.listening.app import App, Limits, Tally
from nrtctl.producer.listening.courier import Courier
from nrtctl.producer.listening.login import Login, Signature
from nrtctl.producer.listening.requests import Taking, Target
from nrtctl.producer.listening.room import Room
from nrtctl.producer.run import find_topic

log = logging.getLogger(__name__)

BACKLOG = 512
LAST_SECONDS = 5.0
"""After the time of a delivery, for answers that are still being written."""

TURN_SECONDS = 0.25
"""Between two looks at what is to be told."""


@dataclass(frozen=True, slots=True)
class Options:
    """
    Attributes:
        host, port: where to listen; port 0: any free one.
        anybody: no login is needed, wherever it listens.
        room: bytes that may be under way.
        connections: at once.
    """

    host: str
    port: int
    anybody: bool
    limits: Limits
    taking: Taking
    room: int
    connections: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The state of the endpoint, for whoever shows it."""

    events: int
    requests: int
    refused: int
    under_way: int
    waiting: int
    connections: int
    bytes: int
    away: bool
    full: bool


@dataclass(frozen=True, slots=True)
class Watching:
    """Who is told.

    Attributes:
        ready: the endpoint's address, once it answers.
        seen: four times a second.
        note, warn: a change of state, as a line.
        waits: (reason, seconds until the next question) while Kafka does not answer.
    """

    ready: Callable[[str, App, Courier, Connections, Room], None]
    seen: Callable[[Seen], None]
    note: Callable[[str], None]
    warn: Callable[[str], None]
    waits: Callable[[str, float], None]


def login_of(settings: Listen) -> Login:
    token, secret = settings.token, settings.secret
    signature = None
    if secret is not None and settings.signature is not None:
        signature = Signature(
            settings.signature, secret.get_secret_value().encode(), settings.signature_header,
            settings.signature_tolerance,
        )  # fmt: skip
    return Login(None if token is None else token.get_secret_value().encode(), signature)


def check_open(login: Login, options: Options) -> None:
    """Raises ConfigError: whoever reaches the address could send, and nobody has said so."""
    if login.open and not options.anybody and not is_loopback(options.host):
        raise ConfigError(
            f"anyone who can reach {options.host} could send events: there is no login",
            hint="set NRTCTL_LISTEN__TOKEN, or listen.signature and NRTCTL_LISTEN__SECRET; "
            "--without-login accepts events from anyone",
        )


def listening_socket(host: str, port: int) -> socket.socket:
    """Raises ConfigError: the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        why = os.strerror(number) if number and number > 0 else str(error)
        raise ConfigError(
            f"{host}:{port}: {why}", hint="--port 0 takes any free port, --port N another one"
        ) from error
    # Inherited by connections; asyncio sets it only where the protocol's number is given.
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def certificate_of(settings: Listen) -> ssl.SSLContext | None:
    """None: without TLS. Raises ConfigError: a file is not what its setting says."""
    if settings.certificate is None:
        return None
    names = Names(
        service="listen", address="listen.certificate", ca="listen.certificate",
        certificate="listen.certificate", key="listen.key", plain="",
        sealed="set NRTCTL_LISTEN__KEY_PASSWORD",
    )  # fmt: skip
    password = settings.key_password
    return server_context(
        Files(
            certificate=settings.certificate, key=settings.key,
            key_password=None if password is None else password.get_secret_value(),
        ),
        names,
    )  # fmt: skip


def listen(
    kafka: Kafka,
    targets: Mapping[str, Target],
    options: Options,
    *,
    login: Login,
    certificate: ssl.SSLContext | None,
    address: str,
    clock: Clock,
    stop: Event,
    watching: Watching,
) -> Tally:
    """Answer until `stop` is set, and then until all is answered.

    Args:
        address: of the brokers.

    Raises:
        ConfigError: the address cannot be listened at.
        ConnectError: Kafka does not answer at first, or refuses us.
        NrtctlError: there is no such topic, or Kafka's client could not go on.
    """
    raise_file_limit()
    listening = listening_socket(options.host, options.port)
    try:
        health = Health(lambda text: None, options.limits.delivery_seconds)
        client = clients.make_producer(
            kafka, address=address, delivery_timeout=options.limits.delivery_seconds,
            on_error=health,
        )  # fmt: skip
        topics = sorted({target.topic for target in targets.values()})
        for topic in topics:
            find_topic(client, topic, address, kafka.connect_timeout)
        endpoint = Endpoint(
            client, health, topics[0], targets, options, login,
            certificate=certificate, address=address, clock=clock, watching=watching,
        )  # fmt: skip
        return asyncio.run(endpoint.run(listening, stop))
    finally:
        listening.close()


class Endpoint:
    """Args: topic: that Kafka is asked about when it is silent."""

    def __init__(
        self,
        client: Client,
        health: Health,
        topic: str,
        targets: Mapping[str, Target],
        options: Options,
        login: Login,
        *,
        certificate: ssl.SSLContext | None,
        address: str,
        clock: Clock,
        watching: Watching,
    ) -> None:
        self._client = client
        self._health = health
        self._options = options
        self._certificate = certificate
        self._address = address
        self._topic = topic
        self._watching = watching
        self._full = False
        self._room = Room(options.room)
        self._connections = Connections(options.connections)
        self._courier = Courier(
            client, clock,
            ask=lambda seconds: why_silent(client, topic, address, seconds),
            waiting=watching.waits, note=watching.note,
        )  # fmt: skip
        self._app = App(
            targets, login=login, limits=options.limits, taking=options.taking,
            courier=self._courier, room=self._room, clock=clock, bound=options.host,
        )  # fmt: skip
        self._state = ServerState()

    async def run(self, listening: socket.socket, stop: Event) -> Tally:
        """Raises NrtctlError: Kafka's client cannot go on."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_said_in_the_log)
        config = uvicorn.Config(
            self._app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
            proxy_headers=False, server_header=False, h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_keep_alive=60,
        )  # fmt: skip
        logging.getLogger("uvicorn").addHandler(logging.NullHandler())
        config.load()

        def connection() -> Bounded | Sealed:
            bounded = Bounded(
                self._connections, config=config, server_state=self._state, _loop=loop
            )
            return bounded if self._certificate is None else Sealed(bounded, self._certificate)

        self._date()
        server = await loop.create_server(connection, sock=listening, backlog=BACKLOG)
        try:
            at = self._url(listening)
            self._watching.ready(at, self._app, self._courier, self._connections, self._room)
            while not stop.is_set() and self._fatal() is None:
                await asyncio.sleep(TURN_SECONDS)
                self._turn()
            await self._end(server)
        finally:
            server.close()
            self._courier.close()
            self._app.close()
        if (fatal := self._fatal()) is not None:
            raise fatal.as_error(address=self._address, topic=self._topic)
        return self._app.tally

    def _url(self, listening: socket.socket) -> str:
        host = f"[{self._options.host}]" if ":" in self._options.host else self._options.host
        scheme = "http" if self._certificate is None else "https"
        return f"{scheme}://{host}:{listening.getsockname()[1]}"

    def _fatal(self) -> Refusal | None:
        return self._courier.fatal or self._health.fatal

    def _date(self) -> None:
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]

    def _turn(self) -> None:
        self._date()
        room, full = self._room, self._room.full
        if full != self._full:
            self._full = full
            if full:
                self._watching.warn(
                    f"{counted(room.most, 'byte')} are waiting for Kafka: requests are "
                    "answered with 429"
                )
            else:
                self._watching.note("there is room again: requests are accepted")
        answers = self._app.tally.answers
        self._watching.seen(
            Seen(
                events=self._app.tally.events,
                requests=answers[202],
                refused=sum(count for status, count in answers.items() if status >= 300),
                under_way=self._app.tally.under_way,
                waiting=self._courier.waiting,
                connections=self._connections.count,
                bytes=room.used,
                away=self._courier.away,
                full=full,
            )
        )

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        self._app.ending = True
        for each in list(self._state.connections):
            each.shutdown()
        seconds = self._options.limits.delivery_seconds + LAST_SECONDS
        under_way = self._app.tally.under_way
        if under_way:
            self._watching.note(
                f"waiting for the answers to {counted(under_way, 'request')}, with "
                f"{counted(self._courier.waiting, 'event')} that Kafka has not acknowledged yet "
                f"(for {seconds:g} s at most)"
            )
        tasks = set(self._state.tasks)
        deadline = asyncio.get_running_loop().time() + seconds
        while tasks and asyncio.get_running_loop().time() < deadline and self._fatal() is None:
            await asyncio.wait(tasks, timeout=TURN_SECONDS)
            tasks = {each for each in self._state.tasks if not each.done()}
            self._turn()
        for task in tasks:
            task.cancel()
        if tasks:
            self._watching.warn(f"{counted(len(tasks), 'request')} had no answer in that time")
            await asyncio.wait(tasks, timeout=1)


def _said_in_the_log(_loop: asyncio.AbstractEventLoop, said: dict[str, Any]) -> None:
    """A connection that fails is no news to whoever runs this."""
    log.debug("%s", said.get("message"), exc_info=said.get("exception"))
