"""Bytes of a file or of stdin as lines, without waiting long and without holding the input.

Called by `jsonl` and `csv`. A gzip file is told by its name (`.gz`).
"""

from __future__ import annotations

import gzip
import io
import os
import select
import stat
import sys
import zlib
from pathlib import Path

from nrtctl.errors import ConfigError, NrtctlError

CHUNK = 256 * 1024
WAIT_SECONDS = 0.1
MAX_LINE = 64 * 2**20
STDIN = "-"


class Chunks:
    """Pieces of an input, as they come.

    Args:
        path: a file, or `-` for stdin.

    Raises:
        ConfigError: there is no such file, it is a directory, or it may not be read.
    """

    def __init__(self, path: str) -> None:
        self.name = "stdin" if path == STDIN else path
        self.ended = False
        self.bytes_read = 0
        self.size: int | None = None
        self._raw: io.RawIOBase = _stdin() if path == STDIN else _open(Path(path))
        self.waits = not stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode)
        if not self.waits:
            self.size = os.fstat(self._raw.fileno()).st_size
        self._stream: io.RawIOBase | gzip.GzipFile = self._raw
        if path.endswith(".gz"):
            self._stream = gzip.GzipFile(fileobj=self._raw)

    def read(self) -> bytes:
        """The next piece. Empty: nothing has come within 0.1 s, or the input has `ended`.

        Raises:
            NrtctlError: the input cannot be read any further.
        """
        if self.ended or (self.waits and not self._ready()):
            return b""
        try:
            chunk = self._stream.read(CHUNK) or b""
            if self.size is not None:
                self.bytes_read = self._raw.tell()
        except (OSError, EOFError, zlib.error) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise NrtctlError(f"{self.name} cannot be read any further: {why}") from error
        self.ended = not chunk
        return chunk

    def close(self) -> None:
        if self.name != "stdin":
            self._stream.close()
            self._raw.close()

    def _ready(self) -> bool:
        return bool(select.select([self._raw], [], [], WAIT_SECONDS)[0])


class Lines:
    """The complete lines of an input, as they come. Arguments and errors as for `Chunks`."""

    def __init__(self, path: str) -> None:
        self.chunks = Chunks(path)
        self._rest: list[bytes] = []
        self._rest_size = 0

    def read(self) -> list[bytes]:
        """The next complete lines, without their `\\n`. Empty: none yet, or the input has ended.

        The last line need not end with `\\n`.

        Raises:
            NrtctlError: the input cannot be read any further, or a line is longer than 64 MiB.
        """
        *lines, rest = self.chunks.read().split(b"\n")
        if lines:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest, self._rest_size = [], 0
        if rest:
            self._rest.append(rest)
            self._rest_size += len(rest)
        if self.chunks.ended and self._rest:
            lines.append(b"".join(self._rest))
            self._rest, self._rest_size = [], 0
        if self._rest_size > MAX_LINE:
            raise NrtctlError(
                f"{self.chunks.name}: a line is longer than {MAX_LINE >> 20} MiB",
                hint="is it a file of lines? One line is one message",
            )
        return lines


def _stdin() -> io.RawIOBase:
    return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)


def _open(path: Path) -> io.RawIOBase:
    try:
        if path.is_dir():
            raise ConfigError(
                f"{path} is a directory", hint="--input takes one file, or - for stdin"
            )
        return open(path, "rb", buffering=0)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}", hint="--input - reads stdin") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
