"""Bytes of a file or of stdin, unpacked, without waiting long and without holding the input.

Called by the readers of each kind. What is compressed is told by its content, not by its name.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import stat
import sys
from pathlib import Path
from typing import IO

from nrtctl.config.counted import counted
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.producer.sources.files.unpacking import (
    Compression,
    Damaged,
    Unpacker,
    compression_of,
    undecided,
)
from nrtctl.producer.sources.files.zipped import DAMAGES, only_member

CHUNK = 256 * 1024
WAIT_SECONDS = 0.1
MAX_LINE = 64 * 2**20
STDIN = "-"


class Chunks:
    """Pieces of an input, as they come.

    Args:
        path: a file, or `-` for stdin.

    Attributes:
        waits: it is a pipe or a terminal, which may have nothing yet.
        size: in bytes, as it lies there; None: not known.
        compression: once something has come.
        inner: the name of the file in a zip archive.
        piece_size: how many bytes of the file are read at once.

    Raises:
        ConfigError: there is no such file, it is a directory, or it may not be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = "stdin" if path == STDIN else path
        self.ended = False
        self.bytes_read = 0
        self.size: int | None = None
        self.compression: Compression | None = None
        self.inner = ""
        self.piece_size = CHUNK
        self._raw: io.RawIOBase = _stdin() if path == STDIN else _open(Path(path))
        self.waits = not stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode)
        if not self.waits:
            self.size = os.fstat(self._raw.fileno()).st_size
        self._stream: io.RawIOBase | IO[bytes] = self._raw
        self._unpacker: Unpacker | None = None
        self._decode: codecs.IncrementalDecoder | None = None
        self._first: bytes | None = b""
        self._drained = False
        self._head = b""
        self._failure: NrtctlError | None = None

    @property
    def seen_whole(self) -> bool:
        """Whether the end has been seen, by a look or by reading."""
        return self._drained

    def look(self, least: int = CHUNK) -> bytes:
        """The beginning, which stays to be read: so many bytes or more of a file, or all of it. Of
        a pipe what has come by now; the next look waits up to 0.1 s for more.

        What cannot be unpacked is an error once it is read.

        Raises:
            NrtctlError: nothing of it can be read.
        """
        while len(self._head) < least and not self._drained and self._failure is None:
            try:
                self._head += self._next()
            except NrtctlError as error:
                if not self._head:
                    raise
                self._failure = error
            if self.waits:
                break
        return self._head

    def recode(self, encoding: str) -> None:
        """Give UTF-8 from here on, made of text in `encoding`."""
        self._decode = codecs.getincrementaldecoder(encoding)("strict")

    def read(self) -> bytes:
        """The next piece. Empty: nothing has come within 0.1 s, or the input has `ended`.

        Raises:
            NrtctlError: the input cannot be read any further.
        """
        if self._head:
            piece, self._head = self._head, b""
        elif self._failure is not None:
            raise self._failure
        else:
            piece = self._next()
            self.ended = self._drained
        if self._decode is None:
            return piece
        try:
            return self._decode.decode(piece, final=self.ended).encode()
        except UnicodeError as error:
            raise wrong_encoding(self.name, error) from error

    def close(self) -> None:
        if self.path != STDIN:
            self._stream.close()
            self._raw.close()

    def _next(self) -> bytes:
        """Unpacked. Empty: nothing now, or all is `drained`."""
        try:
            if self._unpacker is not None and (piece := self._unpacker.read()):
                return piece
            if self._drained or (self.waits and not self._ready()):
                return b""
            data = self._stream.read(self.piece_size) or b""
            if self.size is not None:
                self.bytes_read = self._raw.tell()
            self._drained = not data
            if self._drained and self._stream is self._raw:
                self._check_length()
            if self._first is not None:
                data = self._begin(data)
            if self._unpacker is None:
                return data
            if self._drained:
                self._unpacker.finish()
            self._unpacker.feed(data)
            return self._unpacker.read()
        except (OSError, Damaged, *DAMAGES) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise NrtctlError(f"{self.name} cannot be read any further: {why}") from error

    def _check_length(self) -> None:
        """Raises OSError: there is less than there was. What is packed in a zip says it itself."""
        if self.size is not None and self.bytes_read < self.size:
            size = counted(self.size, "byte")
            raise OSError(f"it was cut while it was read, after {self.bytes_read:,} of its {size}")

    def _begin(self, data: bytes) -> bytes:
        """What the first bytes are; empty where there are too few of them to know."""
        self._first = first = (self._first or b"") + data
        if not self._drained and undecided(first):
            return b""
        self._first = None
        self.compression = compression_of(first)
        if self.compression is None:
            return first
        self._drained = False
        if self.compression == "zip":
            self._stream = only_member(self._raw, self.name, seekable=not self.waits)
            self.inner = self._stream.name
            return self._stream.read(CHUNK)
        self._unpacker = Unpacker(self.compression, CHUNK)
        return first

    def _ready(self) -> bool:
        return bool(select.select([self._raw], [], [], WAIT_SECONDS)[0])


class Seen(Chunks):
    """What has been seen of an input, as one of its own; what comes after it does not come."""

    def __init__(self, chunks: Chunks) -> None:
        self.path, self.name, self.waits = chunks.path, chunks.name, False
        self.ended, self.bytes_read, self.size = False, 0, None
        self.compression, self.inner = chunks.compression, chunks.inner
        self._head = chunks.look()
        self._drained = chunks.seen_whole
        self._failure = None
        self._decode = None

    def _next(self) -> bytes:
        return b""

    def close(self) -> None:
        """The file is another one's."""


class Lines:
    """The complete lines of an input, as they come. Errors as for `Chunks`.

    Args:
        source: a path, or what has been opened already.
    """

    def __init__(self, source: str | Chunks) -> None:
        self.chunks = Chunks(source) if isinstance(source, str) else source
        self._rest: list[bytes] = []
        self._rest_size = 0

    def read(self) -> list[bytes]:
        """The next complete lines, without their `\\n`; as `text`."""
        return lines_in(self.text())

    def text(self) -> bytes:
        """The next complete lines. Empty: none yet, or the input has ended.

        The last line need not end with `\\n`.

        Raises:
            NrtctlError: the input cannot be read any further, or a line is longer than 64 MiB.
        """
        piece = self.chunks.read()
        end = piece.rfind(b"\n") + 1
        text = b""
        if end:
            text = b"".join([*self._rest, piece[:end]])
            self._rest, self._rest_size = [], 0
        if end < len(piece):
            self._rest.append(piece[end:])
            self._rest_size += len(piece) - end
        if self.chunks.ended and self._rest:
            text = b"".join([text, *self._rest])
            self._rest, self._rest_size = [], 0
        if self._rest_size > MAX_LINE:
            raise NrtctlError(
                f"{self.chunks.name}: a line is longer than {MAX_LINE >> 20} MiB",
                hint="the file must have one message per line",
            )
        return text


def lines_in(text: bytes) -> list[bytes]:
    """Without their `\\n`; the last one may have none."""
    return text.removesuffix(b"\n").split(b"\n") if text else []


def wrong_encoding(name: str, error: UnicodeError) -> NrtctlError:
    return NrtctlError(f"{name} is not in this encoding: {error}", hint="see --encoding")


def _stdin() -> io.RawIOBase:
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


def _open(path: Path) -> io.RawIOBase:
    try:
        if path.is_dir():
            raise ConfigError(f"{path} is a directory")
        return open(path, "rb", buffering=0)
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no file {path}",
            hint=f"it was looked for in {path.absolute().parent}; give its path relative to "
            f"{Path.cwd()}, or its full path",
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
