"""A request's body: received with bounds, decompressed, and put where the engine can read it.

What fits into `HEAD` bytes stays in memory as it is, and so does a statement without data. Data of
more goes to a file of memory (memfd; a temporary file where there is none), and what is larger than
`MOST_IN_MEMORY` moves to an unlinked file on disk. Used by `app`.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nrtctl.local.front.blocks import BlockDecoder
from nrtctl.local.front.compression import Decoder

HEAD = 2**20
MOST_STATEMENT = 16 * 2**20
MOST_IN_MEMORY = 64 * 2**20
STORAGE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class TooLarge(Exception):
    """The body is larger than allowed."""


class DataFile:
    """A file that only the engine reads, by `path`. Close it."""

    def __init__(self, spill_to: Path) -> None:
        self._descriptor = memory_file(spill_to)
        self._spill_to = spill_to
        self._in_memory = hasattr(os, "memfd_create")
        self.size = 0

    @property
    def path(self) -> str:
        return f"/dev/fd/{self._descriptor}"

    def write(self, data: bytes | bytearray) -> None:
        """Raises OSError: the disk is full."""
        if self._in_memory and self.size + len(data) > MOST_IN_MEMORY:
            self._move()
        view = memoryview(data)
        self.size += len(view)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _move(self) -> None:
        with tempfile.TemporaryFile(dir=self._spill_to) as file:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            with os.fdopen(os.dup(self._descriptor), "rb") as here:
                shutil.copyfileobj(here, file, 2**20)
            file.flush()
            os.dup2(file.fileno(), self._descriptor, inheritable=False)
        self._in_memory = False

    def read_by(self, reader: Callable[[mmap.mmap], None]) -> None:
        """Show the whole content to `reader`, without a copy."""
        if self.size:
            with mmap.mmap(self._descriptor, self.size, access=mmap.ACCESS_READ) as content:
                reader(content)

    def pieces(self) -> Iterator[bytes]:
        """The content from the start, 1 MiB at a time."""
        at = 0
        while piece := os.pread(self._descriptor, 2**20, at):
            at += len(piece)
            yield piece

    def close(self) -> None:
        os.close(self._descriptor)


@dataclass(slots=True)
class Body:
    """The whole body in `head`; or, where it has more data than that, the data of it in `file`."""

    head: bytes = b""
    file: DataFile | None = None

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


async def receive(
    pieces: AsyncIterator[bytes],
    encoding: str,
    blocks: BlockDecoder | None,
    *,
    most: int,
    spill_to: Path,
    data: Callable[[bytes], bytes | None],
    place: Callable[[], Awaitable[None]],
) -> Body:
    """Args:
        pieces: the body as it comes.
        encoding: its Content-Encoding.
        blocks: what takes ClickHouse's compressed blocks apart, where it consists of them.
        most: bytes it may have, before and after decompression.
        data: the data of an insert, given the head; None: it is a statement without data. It
            refuses one of more than `MOST_STATEMENT` bytes by an exception.
        place: waits until there is room for one more long body.

    Raises:
        TooLarge, BadBody, OSError
    """
    decoder = Decoder(encoding) if encoding not in {"", "identity"} else None
    body = Body()
    head = bytearray()
    size = came = 0
    placed = False
    held_at_most = HEAD

    def decoded(piece: bytes) -> Iterator[bytes]:
        for part in decoder.feed(piece) if decoder is not None else (piece,):
            yield from blocks.feed(part) if blocks is not None else (part,)

    try:
        async for piece in pieces:
            came += len(piece)
            if came > most:
                raise TooLarge
            for part in decoded(piece):
                size += len(part)
                if size > most:
                    raise TooLarge
                if body.file is not None:
                    body.file.write(part)
                    continue
                head += part
                if len(head) > held_at_most:
                    body.head = bytes(head)
                    begin = data(body.head)
                    if not placed:
                        await place()
                    if begin is None:
                        held_at_most, placed = MOST_STATEMENT, True
                        continue
                    body.file = DataFile(spill_to)
                    body.file.write(begin)
            if blocks is not None and blocks.held > HEAD and body.file is None and not placed:
                await place()
                placed = True
        if decoder is not None:
            decoder.finish()
        if blocks is not None:
            blocks.finish()
    except BaseException:
        body.close()
        raise
    if body.file is None:
        body.head = bytes(head)
    return body


def memory_file(directory: Path) -> int:
    """The descriptor of a new file without a name; in `directory` where it cannot be in memory."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("body", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile(dir=directory) as file:
        return os.dup(file.fileno())
