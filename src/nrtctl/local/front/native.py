"""Native blocks as a client's `client_protocol_version` wants them. Used by `results`.

The engine writes Native as for a client that says no version. One that does expects, before each
block, what a server says of it, and from 54454 on a byte before the data of each column; and it is
told the time zone of a DateTime. Source of the layout:
https://clickhouse.com/docs/interfaces/formats/Native, and for each type how the engine writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nrtctl.local.front.errors import EngineError
from nrtctl.local.front.native_types import Block, NotSkipped

WITH_TIME_ZONES = 54_337
WITH_SERIALIZATIONS = 54_454

_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Not of overflowing rows; of no bucket."""
_USUAL = b"\x00"
_WITHOUT_ZONE = "DateTime"


class NativeFor:
    """Makes blocks for one client of what the engine gives for none.

    Args:
        revision: the client's protocol version.
        types: asks what the types of the columns are, in full; empty: that cannot be asked.
    """

    def __init__(self, revision: int, types: Callable[[], Sequence[str]]) -> None:
        self._revision = revision
        self._ask = types
        self._types: Sequence[str] | None = None

    def piece(self, data: bytes) -> bytes:
        """Whole blocks. Raises EngineError: the client cannot be given such a column."""
        if not self._revision or not data:
            return data
        zones = self._revision >= WITH_TIME_ZONES and b"\x08DateTime" in data
        if zones and self._types is None:
            self._types = self._ask()
        zones = zones and any(_named(kind) for kind in self._types or ())
        marks = self._revision >= WITH_SERIALIZATIONS
        if not (zones or marks):
            return _INFO + data
        try:
            return self._rewritten(data, marks=marks)
        except NotSkipped as error:
            raise EngineError(
                f"Code: 48. DB::Exception: the local ClickHouse cannot send {error} to a client of "
                f"protocol version {self._revision} but as the last column; cast it to another "
                "type, or ask for another format. (NOT_IMPLEMENTED)"
            ) from error

    def _rewritten(self, data: bytes, *, marks: bool) -> bytes:
        parts: list[bytes | memoryview] = []
        whole = memoryview(data)
        at = 0
        while at < len(data):
            block = Block(data, at)
            parts += [_INFO, whole[at : block.head]]
            types = self._types or ()
            for number, column in enumerate(block.columns()):
                said = column.kind == _WITHOUT_ZONE and number < len(types)
                if said and _named(types[number]):
                    text = types[number].encode()
                    parts += [whole[column.start : column.kind_at], _varint(len(text)), text]
                else:
                    parts.append(whole[column.start : column.data_at])
                if marks:
                    parts.append(_USUAL)
                parts.append(whole[column.data_at : column.end])
            at = block.end
        return b"".join(parts)


def _named(kind: str) -> bool:
    """Whether it is a DateTime with a time zone."""
    return kind.startswith("DateTime(")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
