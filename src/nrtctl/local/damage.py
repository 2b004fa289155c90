"""What the broker knows to be damaged in its logs: written by the broker, read by `nrtctl.stack`.

`damage.json` in the broker's data directory lists it; there is no such file while nothing is.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from nrtctl.local.process import write_atomically

NAME: Final = "damage.json"


@dataclass(frozen=True, slots=True)
class Damaged:
    """The offsets [start, end) of a partition cannot be read."""

    topic: str
    partition: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """The end of a partition's log, which was torn, was cut at `offset` and kept in `file`."""

    topic: str
    partition: int
    offset: int
    size: int
    file: str


@dataclass(frozen=True, slots=True)
class Damage:
    damaged: list[Damaged] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.damaged or self.set_aside)

    def write(self, data_dir: Path) -> None:
        """Raises OSError."""
        if self:
            write_atomically(data_dir / NAME, json.dumps(asdict(self), indent=1).encode())
        else:
            with contextlib.suppress(FileNotFoundError):
                (data_dir / NAME).unlink()

    @classmethod
    def read(cls, data_dir: Path) -> Damage:
        """What is known; nothing, if the file is not there or not readable."""
        try:
            found: dict[str, list[dict[str, Any]]] = json.loads((data_dir / NAME).read_text())
            return cls(
                [Damaged(**each) for each in found["damaged"]],
                [SetAside(**each) for each in found["set_aside"]],
            )
        except (OSError, ValueError, TypeError, KeyError):
            return cls()
