"""From a request that is there, whole, to the messages of Kafka. Pure. Used by `app`.

What is wrong is said before anything is sent: a request is taken as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nrtctl.kafka.formats.encoder import DoesNotFit
from nrtctl.pipeline.fields import Path
from nrtctl.producer.listening import cloudevents
from nrtctl.producer.listening.courier import Event
from nrtctl.producer.listening.events import Form, checked, form_of, split
from nrtctl.producer.listening.refused import Refused
from nrtctl.producer.listening.room import Parsing
from nrtctl.producer.sources.files.jsonl import key_of

RawHeaders = Sequence[tuple[bytes, bytes]]
"""As they came; names in lower case."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the events of a path go.

    Attributes:
        key: the key, or path, whose value keys a message; None: no keys.
        encode: JSON into what is sent; None: it is sent as it is.
    """

    topic: str
    key: Path | None = None
    encode: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True, slots=True)
class Taking:
    """What is taken of a request.

    Attributes:
        most: events.
        key_header: a header whose value keys every message of the request; in lower case.
        headers: names of those that become headers of Kafka's, as they are called there.
    """

    most: int
    key_header: str | None = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """What a request is, by its headers.

    Attributes:
        binary: headers and key of a CloudEvent whose data is the body; None: it is none.
        sent: chosen headers.
        key: of every message; None: it stands in the value.
    """

    form: Form
    binary: tuple[cloudevents.KafkaHeaders, bytes | None] | None
    sent: cloudevents.KafkaHeaders
    key: bytes | None


def shape_of(headers: RawHeaders, taking: Taking) -> Shape:
    """Raises Refused."""
    types = [value.decode("latin-1") for name, value in headers if name == b"content-type"]
    if len(types) > 1:
        raise Refused(400, "Content-Type is given more than once")
    kind = types[0] if types else None
    form = form_of(kind)
    binary = None
    if form not in {Form.STRUCTURED, Form.BATCH} and cloudevents.is_binary(headers):
        if form is Form.LINES:
            raise Refused(415, "the data of a CloudEvent is one JSON value, not lines")
        binary = cloudevents.binary_headers(headers, kind)
    sent = [
        (wanted, value)
        for wanted in taking.headers
        for name, value in headers
        if name == wanted.lower().encode()
    ]
    key = None
    if taking.key_header is not None:
        wanted = taking.key_header.encode()
        key = next((value for name, value in headers if name == wanted), None)
    return Shape(form, binary, sent, key)


def messages(
    body: bytes, shape: Shape, target: Target, taking: Taking, parsing: Parsing
) -> list[Event]:
    """Args: body: unpacked. Raises Refused: one of the events is none, or costs too much."""
    own: cloudevents.KafkaHeaders
    if shape.binary is not None:
        own, key = shape.binary
        if not body.strip():
            raise Refused(400, "the CloudEvent has no data")
        values = [checked(body.strip(), "the data of the CloudEvent", parsing)]
        keys = [key]
    else:
        own = []
        values = split(body, shape.form, taking.most, parsing)
        keys = [None] * len(values)
        if shape.form in {Form.STRUCTURED, Form.BATCH}:
            own = [("content-type", cloudevents.STRUCTURED)]
            keys = [
                cloudevents.structured_key(value, _place(number, shape.form))
                for number, value in enumerate(values, 1)
            ]
    headers = [*own, *shape.sent] or None
    found: list[Event] = []
    for number, (value, partition_key) in enumerate(zip(values, keys, strict=True), 1):
        key = shape.key if shape.key is not None else partition_key
        if key is None and target.key is not None:
            key = key_of(value, target.key)
        if target.encode is not None:
            try:
                value = target.encode(value)
            except DoesNotFit as error:
                raise Refused(400, f"event {number} does not fit the schema: {error}") from None
        found.append((key, value, headers))
    return found


def _place(number: int, form: Form) -> str:
    return f"event {number} of the batch" if form is Form.BATCH else "the event"
