"""How far a fetch has come, in a file of the state directory. Called by `cli.fetching`.

It is written after Kafka has acknowledged every record of an answer, never before: who is killed
between fetches the same again. An address may hold a key, so that only its hash is in the file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path

from nrtctl.errors import NrtctlError
from nrtctl.local.process import write_atomically


@dataclass(frozen=True, slots=True)
class Reached:
    """
    Attributes:
        etag, modified: what the last answer said of itself, to ask whether there is another one.
        digest: of the last answer; the same one is not sent twice.
        cursor: the highest value so far; empty: none.
    """

    etag: str = ""
    modified: str = ""
    digest: str = ""
    cursor: str = ""


class Kept:
    """The file of one fetch: of an address, by a cursor, into a topic."""

    def __init__(self, state_dir: Path, *what: str) -> None:
        name = sha256(json.dumps(what).encode()).hexdigest()[:24]
        self.path = state_dir / "fetch" / f"{name}.json"

    def read(self) -> Reached:
        """Raises NrtctlError: the file is there, and cannot be read."""
        try:
            found = json.loads(self.path.read_bytes())
            return Reached(**{each.name: str(found[each.name]) for each in fields(Reached)})
        except FileNotFoundError:
            return Reached()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NrtctlError(
                f"{self.path} cannot be read, so it is not known what was fetched already: {error}",
                hint="remove the file to fetch from the beginning",
            ) from error

    def write(self, reached: Reached) -> None:
        """Raises NrtctlError: it cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self.path, json.dumps(asdict(reached)).encode())
        except OSError as error:
            raise NrtctlError(f"{self.path} cannot be written: {error.strerror}") from error
