"""How much a message of Protobuf takes once it is decoded. Pure; used by `protobuf`.

A message inside another may have two bytes, and as an object all the fields that its type has. So a
message that is long enough to become very large is walked through, before it is decoded: nothing is
made of it, and only the messages inside are counted.
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor

from nrtctl.kafka.formats.wire import Undecodable

MOST_BYTES = 256 * 2**20
"""That a message may take, about."""

_OBJECT, _FIELD = 300, 120
"""Bytes of a message, and of each field that it has, as an object and as JSON."""

_LEAST = 2
"""Bytes that a message inside another has: a tag and a length."""

_VARINT, _EIGHT, _LENGTH, _GROUP, _END, _FOUR = 0, 1, 2, 3, 4, 5
_MOST_LEVELS = 100
"""As deep as the library decodes."""


class Size:
    """Attributes: harmless: messages of so many bytes cannot become too large."""

    def __init__(self, message: Descriptor) -> None:
        self._message = message
        largest = max(_weights(message, {}).values(), default=0)
        self.harmless = _LEAST * MOST_BYTES // largest if largest else MOST_BYTES

    def check(self, data: bytes) -> None:
        """Raises Undecodable: it would take more than `MOST_BYTES`."""
        if len(data) > MOST_BYTES:
            raise Undecodable("it is too large")
        try:
            _Walk(data).message(self._message, 0, len(data), 0)
        except IndexError:
            return  # the bytes end too early, which the library says


def _weight(message: Descriptor) -> int:
    return _OBJECT + sum(_FIELD + len(each.name) for each in message.fields)


def _weights(message: Descriptor, found: dict[str, int]) -> dict[str, int]:
    """Of the messages that may be inside."""
    for field in message.fields:
        inside = field.message_type
        if inside is not None and inside.full_name not in found:
            found[inside.full_name] = _weight(inside)
            _weights(inside, found)
    return found


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._taken = 0

    def message(self, message: Descriptor | None, at: int, end: int, level: int) -> int:
        """The place behind the message. Args: message: None: one that the schema does not have.

        Raises:
            IndexError: it is cut.
        """
        if level > _MOST_LEVELS:
            return end
        fields = {} if message is None else message.fields_by_number
        while at < end:
            tag, at = self._varint(at)
            kind, field = tag & 7, fields.get(tag >> 3)
            inside = None if field is None else field.message_type
            if kind == _END:
                return at
            if kind == _GROUP:
                if inside is not None:
                    self._count(inside)
                at = self.message(inside, at, end, level + 1)
            elif kind == _LENGTH:
                size, at = self._varint(at)
                if size > end - at:
                    raise IndexError
                if inside is not None:
                    self._count(inside)
                    self.message(inside, at, at + size, level + 1)
                at += size
            elif kind == _VARINT:
                _, at = self._varint(at)
            else:
                at += 4 if kind == _FOUR else 8
        return at

    def _count(self, message: Descriptor) -> None:
        self._taken += _weight(message)
        if self._taken > MOST_BYTES:
            raise Undecodable(f"it would take more than {MOST_BYTES // 2**20} MiB")

    def _varint(self, at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = self._data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
            shift += 7
            if shift > 63:
                raise IndexError
