"""The answer to a statement, as it is sent: in pieces while it is made, or held until it is whole.

Used by `app`. What is held and long lies in an unlinked file, on disk where it is long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nrtctl.local.front.body import HEAD, MOST_IN_MEMORY, DataFile
from nrtctl.local.front.engine import Engine, Running
from nrtctl.local.front.errors import EngineError
from nrtctl.local.front.formats import Joined
from nrtctl.local.front.native import NativeFor
from nrtctl.local.front.statement import Shape

TOO_MANY_BYTES = 396


@dataclass(slots=True)
class Told:
    """What X-ClickHouse-Summary says; of what is still being made it says nothing."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    elapsed_ns: int = 0

    def add(self, result: Any) -> None:
        """Args: result: of the engine; or a piece of one."""
        self.read_rows += result.storage_rows_read() or result.rows_read()
        self.read_bytes += result.storage_bytes_read() or result.bytes_read()
        self.written_rows += result.rows_written()
        self.written_bytes += result.bytes_written()
        self.result_rows += result.rows_read()
        self.elapsed_ns += round(result.elapsed() * 1e9)


@dataclass(frozen=True, slots=True)
class Result:
    """Attributes:
    first: what there is already.
    told: of what there is so far.
    is_whole: whether that is all.
    """

    first: bytes
    rest: Iterator[bytes]
    told: Told
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an answer is to be.

    Attributes:
        sql: the statement.
        output: its format.
        whole: nothing is sent before all is there.
        revision: the client's protocol version; 0: it says none.
    """

    sql: bytes
    shape: Shape
    output: str
    values: Mapping[str, str]
    whole: bool
    revision: int


class Results:
    """Carries statements out.

    Args:
        spill_to: an existing directory on disk, for what is held.
    """

    def __init__(self, engine: Engine, spill_to: Path) -> None:
        self._engine = engine
        self._spill_to = spill_to

    def taken(
        self, wanted: Wanted, running: Running, held: ExitStack, types: Callable[[], Sequence[str]]
    ) -> Result:
        """A result that comes in pieces. Raises EngineError, OSError."""
        told = Told()
        pieces = running.stream(
            wanted.sql,
            wanted.output,
            wanted.values,
            self._joined(wanted, types),
            told.add,
        )
        held.callback(pieces.close)  # type: ignore[attr-defined]
        if not wanted.whole:
            first = next(pieces, b"")
            running.confirm()
            return Result(first, pieces, told, is_whole=False)
        head = bytearray()
        for piece in pieces:
            head += piece
            if len(head) > HEAD:
                file = self._file(held)
                file.write(head)
                self._fill(file, pieces)
                running.confirm()
                return Result(b"", file.pieces(), told)
        running.confirm()
        return Result(bytes(head), iter(()), told)

    def run(
        self,
        wanted: Wanted,
        running: Running,
        held: ExitStack,
        types: Callable[[], Sequence[str]],
        *,
        again: bool,
    ) -> Result:
        """A result that the engine makes as a whole.

        Args:
            again: it may be asked for a second time, into a file.

        Raises:
            EngineError, OSError
        """
        told = Told()
        try:
            result = running.run(wanted.sql, wanted.output, wanted.values)
        except EngineError as error:
            if error.code != TOO_MANY_BYTES or not again:
                raise
            return self._in_file(wanted, running, held, error)
        running.confirm()
        told.add(result)
        first = bytes(result.bytes())
        if wanted.output == "Native":
            first = NativeFor(wanted.revision, types).piece(first)
        return Result(first, iter(()), told)

    def _in_file(
        self, wanted: Wanted, running: Running, held: ExitStack, error: EngineError
    ) -> Result:
        """Again, into a file: the result does not fit into memory."""
        file = self._file(held)
        with suppress(EngineError):
            running.run("SET max_result_bytes = DEFAULT")
            result = running.run(wanted.shape.into(wanted.sql, file.path, wanted.output))
            running.confirm()
            told = Told()
            told.add(result)
            return Result(b"", file.pieces(), told)
        raise error

    def _joined(
        self, wanted: Wanted, types: Callable[[], Sequence[str]]
    ) -> Callable[[bytes], bytes]:
        if wanted.output == "Native":
            return NativeFor(wanted.revision, types).piece
        return Joined(wanted.output).piece

    def _file(self, held: ExitStack) -> DataFile:
        file = DataFile(self._spill_to)
        held.callback(file.close)
        return file

    def _fill(self, file: DataFile, pieces: Iterator[bytes]) -> None:
        asked = 0
        for piece in pieces:
            file.write(piece)
            if file.size - asked > MOST_IN_MEMORY:
                asked = file.size
                self._engine.need_room()
