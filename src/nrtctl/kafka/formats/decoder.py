"""Values of Kafka as the JSON texts that the pipeline parses. Called by `opening`, which says where
they are needed.

A text begins with `UNDECODED` where there is none: what follows it is the reason of the dead
letter. A null value, and one of no bytes where that is none, have an empty text: SQL sees to those
as in JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from nrtctl.kafka.formats import avro
from nrtctl.kafka.formats.wire import (
    ID_HEADER,
    SIZE,
    Headers,
    SchemaName,
    Undecodable,
    header_size,
    message_indexes,
    named_in,
    schema_name,
)
from nrtctl.pipeline.message_format import LINE, UNDECODED, CannotRead, MessageFormat

MOST_SCHEMAS = 1_000
"""That are kept, and that are known not to be there."""

NOT_THERE_SECONDS = 10.0
"""After them an id that the registry did not have is asked for again."""

MOST_REASON = 300
"""Characters of what is wrong with a schema."""

ReadText = Callable[[bytes, Headers], bytes]
"""The JSON text of a value. Raises Undecodable."""

Decode = Callable[[Sequence[bytes | None], Sequence[Headers]], list[bytes]]
"""The JSON text of each value. Raises `wire.RegistryAway`: nothing of it is known yet."""

_ReadBehind = Callable[[bytes, int], bytes]
"""The JSON text of a value that begins behind so many bytes, which name its schema."""

ReadValue = Callable[[bytes], Any]
"""What JSON has for a value. Raises Undecodable."""

Wanted = Any
"""A schema as its format has it: `avro.Parsed`, or a message's descriptor."""

TYPES: dict[MessageFormat, str] = {"avro": "AVRO", "protobuf": "PROTOBUF", "json schema": "JSON"}
"""What the registry calls them."""


class Schema(Protocol):
    """What a registry has under an id."""

    @property
    def kind(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def references(self) -> Mapping[str, str]: ...


class Schemas(Protocol):
    """A registry."""

    def schema(self, name: SchemaName, /) -> Schema | None:
        """None: it has none of this id or GUID. Raises RegistryAway."""
        ...


def text_of(value: object) -> bytes:
    """The JSON text of what a decoder gives. Raises Undecodable."""
    try:
        return orjson.dumps(value)
    except TypeError as error:  # of what a decoder gives, only too many levels, or bytes in a text
        raw = str(error).endswith(": bytes")
        text = "a string is not UTF-8" if raw else "the message is nested too deeply"
        raise Undecodable(text) from error


def line_of(data: bytes, headers: Headers = None) -> bytes:
    """A message of text as the JSON text of an object. Raises Undecodable."""
    try:
        return orjson.dumps({LINE: data.decode()})
    except UnicodeDecodeError as error:
        raise Undecodable("the text is not UTF-8") from error


def text_of_line(message: bytes) -> bytes:
    """The text that is sent of a message: what `line_of` makes an object of, and any other as it
    is."""
    try:
        found = orjson.loads(message)
    except ValueError:
        return message
    if not isinstance(found, dict) or found.keys() != {LINE} or not isinstance(found[LINE], str):
        return message
    text: str = found[LINE]
    return text.encode()


class ByFile:
    """Messages without a registry: each value is what the one schema describes."""

    def __init__(self, read: ReadValue) -> None:
        self._read = read

    def text(self, data: bytes, headers: Headers = None) -> bytes:
        """Raises Undecodable."""
        try:
            return text_of(self._read(data))
        except Undecodable as error:
            raise Undecodable(f"the bytes do not match schema_file: {error}") from error


class ByRegistry:
    """Values of the wire format.

    Args:
        now: monotonic seconds.
        wanted: the schema that all are read as (`files.wanted`); None: the one they were written
            with.
    """

    def __init__(
        self,
        kind: MessageFormat,
        schemas: Schemas,
        *,
        now: Callable[[], float],
        wanted: Wanted | None = None,
    ) -> None:
        self._kind = kind
        self._wanted = wanted
        self._schemas = schemas
        self._now = now
        self._known: dict[bytes, _ReadBehind] = {}
        self._not_there: dict[bytes, float] = {}

    def text(self, data: bytes, headers: Headers = None) -> bytes:
        """Raises Undecodable, RegistryAway."""
        size = SIZE
        if headers and (named := named_in(headers)) is not None:
            size = header_size(named)
            self._check_end(named, size)
            data = named + data
        known = self._known.get(data[:size])
        return (known or self._learned(data[:size]))(data, size)

    def _check_end(self, named: bytes, at: int) -> None:
        """Raises Undecodable: the header goes on, or lacks what Protobuf has behind the id."""
        if self._kind == "protobuf":
            _, at = message_indexes(named, at)
        if at != len(named):
            raise Undecodable(f"the header {ID_HEADER} goes on behind the id of the schema")

    def _learned(self, begin: bytes) -> _ReadBehind:
        name = schema_name(begin)
        asked = self._not_there.get(begin)
        if asked is not None and self._now() - asked < NOT_THERE_SECONDS:
            raise Undecodable(f"schema {name} is not in the registry")
        schema = self._schemas.schema(name)
        if schema is None:
            _keep(self._not_there, begin, self._now())
            raise Undecodable(f"schema {name} is not in the registry")
        self._not_there.pop(begin, None)
        made = self._made(name, schema)
        _keep(self._known, begin, made)
        return made

    def _made(self, name: SchemaName, schema: Schema) -> _ReadBehind:
        wanted = TYPES[self._kind]
        if schema.kind != wanted:
            return _refusing(f"schema {name} is of type {schema.kind}, not {wanted}")
        if self._kind == "json schema":
            return _json
        try:
            read = self._reads(schema)
        except CannotRead as error:
            return _refusing(f"schema {name} cannot be read: {str(error)[:MOST_REASON]}")

        def text(data: bytes, at: int) -> bytes:
            try:
                return text_of(read(data, at))
            except Undecodable as error:
                raise Undecodable(f"the bytes do not match schema {name}: {error}") from error

        return text

    def _reads(self, schema: Schema) -> Callable[[bytes, int], Any]:
        if self._kind == "protobuf":
            return _reads_protobuf(schema, self._wanted)
        texts = schema.text, schema.references.values()
        if self._wanted is None:
            reader = avro.reader(*texts)
        else:
            from nrtctl.kafka.formats import avro_resolution

            reader = avro_resolution.reader(*texts, self._wanted)
        return lambda data, at: avro.read(data, at, reader)


def _reads_protobuf(schema: Schema, wanted: Wanted | None) -> Callable[[bytes, int], Any]:
    from nrtctl.kafka.formats import protobuf

    messages = protobuf.Schema(schema.text, schema.references.get)
    known: dict[tuple[int, ...], ReadValue] = {}

    def learned(indexes: tuple[int, ...]) -> ReadValue:
        message = messages.at(indexes)
        if message is None:
            raise Undecodable(f"it has no message {list(indexes)}")
        try:
            known[indexes] = protobuf.reader(message, wanted)
        except CannotRead as error:
            refuse = _refusing(str(error))
            known[indexes] = lambda data: refuse(data, 0)
        return known[indexes]

    def read(data: bytes, at: int) -> Any:
        indexes, at = message_indexes(data, at)
        return (known.get(indexes) or learned(indexes))(data[at:])

    return read


def _json(data: bytes, at: int) -> bytes:
    text = data[at:]
    if text.startswith(UNDECODED):
        raise Undecodable("not JSON")
    return text


def _refusing(reason: str) -> _ReadBehind:
    def refuse(data: bytes, at: int) -> bytes:
        raise Undecodable(reason)

    return refuse


def _keep(known: dict[bytes, Any], begin: bytes, value: Any) -> None:
    while len(known) >= MOST_SCHEMAS:
        del known[next(iter(known))]
    known[begin] = value


def decoding(text: ReadText, *, empty: bool = False) -> Decode:
    """What decodes many values, the undecodable among them.

    Args:
        empty: whether no bytes are a value, as in Protobuf where nothing is set. They are one
            where a header names the schema.
    """

    def decode(values: Sequence[bytes | None], headers: Sequence[Headers]) -> list[bytes]:
        texts = []
        for value, each in zip(values, headers, strict=True):
            try:
                there = value or (
                    value is not None and (empty or (each and named_in(each) is not None))
                )
                texts.append(text(value or b"", each) if there else b"")
            except Undecodable as error:
                # A schema's names, which are quoted, may have surrogates.
                texts.append(UNDECODED + str(error).encode(errors="backslashreplace"))
        return texts

    return decode
