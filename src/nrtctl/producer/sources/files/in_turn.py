"""One source after another. Called by `files`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from nrtctl.producer.sources import Spanning, Taken, Unsendable
from nrtctl.producer.sources.files.jsonl import spanning
from nrtctl.producer.sources.files.kinds import FileSource, Found
from nrtctl.producer.sources.files.opening import Coming, Wanted, open_source


class FilesInTurn:
    """Messages of files, one file after the other. All are looked at before the first is read.

    Raises:
        ConfigError: one of them cannot be read, or is nothing that can be sent.
    """

    def __init__(self, paths: Sequence[str], wanted: Wanted) -> None:
        self.unsendable = Unsendable()
        self.bulk = True
        self._wanted = wanted
        self._left: deque[str | FileSource] = deque()
        self._size: int | None = 0
        self._read = 0
        self._skipped = 0
        self._current: FileSource | None = None
        self._spans = False
        for path in paths:
            self._look(path)

    def _look(self, path: str) -> None:
        source = open_source(path, self._wanted)
        size = source.size_hint()
        self._size = None if size is None or self._size is None else self._size + size[1]
        self.bulk = self.bulk and source.bulk
        if isinstance(source, Coming):
            self._left.append(source)
            return
        source.close()
        self._left.append(path)

    def as_spans(self) -> bool:
        """Whether the files are large together; each then says whether it is itself."""
        self._spans = spanning(self._size) is not None
        return self._spans

    @property
    def found(self) -> Found | None:
        return None if self._current is None else self._current.found

    @property
    def origin(self) -> str:
        return "" if self._current is None else self._current.origin

    @property
    def skipped(self) -> int:
        return self._skipped + (0 if self._current is None else self._current.skipped)

    @property
    def exhausted(self) -> bool:
        return not self._left and (self._current is None or self._current.exhausted)

    def size_hint(self) -> tuple[int, int] | None:
        if self._size is None:
            return None
        now = None if self._current is None else self._current.size_hint()
        return self._read + (now[0] if now else 0), self._size

    def close(self) -> None:
        for each in (self._current, *self._left):
            if each is not None and not isinstance(each, str):
                each.close()

    def take(self, limit: int) -> Taken:
        while True:
            if self._current is None and not self._left:
                return []
            current = self._current = self._current or self._following()
            taken = current.take(limit)
            if taken or not current.exhausted:
                return taken
            self._finish(current)

    def _following(self) -> FileSource:
        following = self._left.popleft()
        if isinstance(following, str):
            following = open_source(following, self._wanted)
        following.unsendable = self.unsendable
        if self._spans and isinstance(following, Spanning):
            following.as_spans()
        return following

    def _finish(self, current: FileSource) -> None:
        current.close()
        size = current.size_hint()
        self._read += size[1] if size else 0
        self._skipped += current.skipped
        self._current = None
