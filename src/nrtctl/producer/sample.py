"""Messages of files or of a topic as a sample: what they hold, and the messages themselves.

Called by `nrtctl init --from`, `init --topic` and `nrtctl try`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from nrtctl.pipeline.infer.packed import packed_keys
from nrtctl.pipeline.infer.seen import Sample, Seen
from nrtctl.pipeline.unpacking import MOST_KEYS, unpacked_text
from nrtctl.producer.sources.files import Read
from nrtctl.producer.sources.files.cells import as_sent_to
from nrtctl.producer.sources.files.kinds import Types
from nrtctl.stack.trial_engine import Message

MOST_MESSAGES = 20_000
MOST_BYTES = 64 * 2**20
"""Of a sample that a pipeline is drafted from."""

MOST_HEADERS = 50


@dataclass(slots=True)
class Taken:
    """A sample. `whole`: nothing was left out."""

    sample: Sample = field(default_factory=Sample)
    messages: list[Message] = field(default_factory=list)
    size: int = 0
    whole: bool = True

    def add(self, message: Message) -> None:
        """Take in one message."""
        key, value, _, headers = message
        self.messages.append(message)
        self.size += len(value or b"") + len(key or b"")
        see(self.sample, message)
        for name, each in headers or ():
            self._header(name if isinstance(name, str) else name.decode(errors="replace"), each)

    def _header(self, name: str, value: bytes | None) -> None:
        seen = self.sample.headers.get(name)
        if seen is None:
            if len(self.sample.headers) >= MOST_HEADERS:
                return
            seen = self.sample.headers[name] = Seen()
        seen.add(_text(value))


def see(sample: Sample, message: Message) -> dict[str, Any] | None:
    """Take in a message's key and value; the object that the value is, if it is one."""
    sample.keys.add(_text(message[0]))
    return sample.add(message[1])


def _text(given: bytes | None) -> str | None:
    return None if given is None else given.decode(errors="replace")


def take(
    records: Iterable[Read],
    *,
    most: int = MOST_MESSAGES,
    is_cells: Callable[[], bool] = lambda: False,
    types: Callable[[], Types] = dict,
) -> Taken:
    """The first messages.

    Args:
        is_cells: whether they are rows of a text file, asked once there is one.
        types: what their files say of their places, asked at the end.
    """
    taken = Taken()
    for record in records:
        if len(taken.messages) >= most or taken.size >= MOST_BYTES:
            taken.whole = False
            break
        taken.sample.cells = is_cells()
        taken.add(as_message(record))
    taken.sample.types.update((path, {"type": kind}) for path, kind in types().items())
    _unpack(taken)
    return taken


def _unpack(taken: Taken) -> None:
    """Look at the messages again, with what is JSON in a string in its place: one key after the
    other, as a text may be within another."""
    more = packed_keys(taken.sample)
    while more:
        former = taken.sample
        keys = (*former.unpack, *more)[:MOST_KEYS]
        taken.sample = Sample(
            cells=former.cells,
            types=former.types,
            unpack=keys,
            keys=former.keys,
            headers=former.headers,
        )
        for _, value, _, _ in taken.messages:
            taken.sample.add(unpacked_text(value, keys) if value else value)
        found = packed_keys(taken.sample) if len(keys) < MOST_KEYS else []
        more = [key for key in found if key not in keys]


def as_message(record: Read) -> Message:
    """A record as the engine is asked about it."""
    return record.key, record.value, record.timestamp or 0, record.headers


def as_sent(messages: Iterable[Message], types: Mapping[str, str]) -> list[Message]:
    """Rows of a text file as `produce` sends them to a pipeline.

    Args:
        types: column of the file to type of the field.
    """
    known = {name: as_sent_to(kind) for name, kind in types.items()}
    sent: list[Message] = []
    for key, value, moment, headers in messages:
        row: dict[str, Any] = orjson.loads(value or b"{}")
        cells = {name: known[name](cell) if name in known else cell for name, cell in row.items()}
        sent.append((key, orjson.dumps(cells), moment, headers))
    return sent
