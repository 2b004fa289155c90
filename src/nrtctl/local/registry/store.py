"""Subjects, their versions, and the ids of schemas: in memory, and in the journal. Used by `app`.

Every change is in the journal, synced, before it is answered. An id belongs to one schema for
ever: where lines of the journal cannot be read, as many ids are passed over as they may have given.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from nrtctl.local.journal import Entry, Journal
from nrtctl.local.process import ProcessError, write_atomically
from nrtctl.local.registry import compatibility
from nrtctl.local.registry.avro_schema import Type
from nrtctl.local.registry.refused import Refused, invalid, no_schema, no_subject, no_version
from nrtctl.local.registry.schemas import (
    MOST_REFERENCES,
    Reference,
    Schema,
    accepted,
    avro_type,
)

log = logging.getLogger("nrtctl.local.registry")

FILE: Final = "schemas.journal"
MOST_VERSIONS: Final = 1_000
"""Of a subject."""
MOST_SUBJECTS: Final = 20_000
MOST_CHARACTERS: Final = 128 * 2**20
"""Of all schemas."""
MODES: Final = ("READWRITE", "READONLY")


@dataclass(slots=True)
class Version:
    """A version of a subject. `deleted`: softly, so that only who asks for it sees it."""

    number: int
    id: int
    deleted: bool = False


@dataclass(slots=True)
class _Subject:
    versions: dict[int, Version] = field(default_factory=dict)

    def seen(self, *, deleted: bool = False) -> list[Version]:
        return [each for each in self.versions.values() if deleted or not each.deleted]


class Store:
    """Raises Refused from every method for what cannot be, and OSError where the journal cannot be
    written: then nothing has changed."""

    def __init__(self, directory: Path) -> None:
        """Raises ProcessError: the journal is of a newer version."""
        self._schemas: dict[int, Schema] = {}
        self._ids: dict[bytes, int] = {}
        self._subjects: dict[str, _Subject] = {}
        self._of_id: dict[int, set[tuple[str, int]]] = {}
        self._referring: dict[tuple[str, int], set[int]] = {}
        self._levels: dict[str | None, str] = {}
        self._modes: dict[str | None, str] = {}
        self._next_id = 1
        self._characters = 0
        self._avro_type = lru_cache(64)(self._read_avro)
        self._journal = Journal(directory / FILE, always_sync=True)
        lost: list[bytes] = []
        for entry in self._journal.replay():
            try:
                self._apply(entry)
            except KeyError:  # what it builds on was in a line that is damaged
                lost.append(json.dumps(entry).encode() + b"\n")
        lost += self._journal.left_out
        if lost:
            self._set_aside(directory, lost)
        self._journal.compact(self._entries())

    def _set_aside(self, directory: Path, lines: Sequence[bytes]) -> None:
        taken = {each.name for each in directory.glob("torn-*.bin")}
        name = next(n for n in (f"torn-{at}.bin" for at in range(1, 10_000)) if n not in taken)
        write_atomically(directory / name, b"".join(lines))
        self._next_id += len(lines)
        log.warning("%d lines of the journal could not be read: they are kept in %s",
                    len(lines), name)  # fmt: skip

    # What is there.

    def schema(self, number: int) -> Schema:
        try:
            return self._schemas[number]
        except KeyError:
            raise no_schema(number) from None

    def schema_of(self, guid: UUID) -> Schema:
        for identity, number in self._ids.items():
            if identity.startswith(guid.bytes):
                return self.schema(number)
        raise no_schema()

    @property
    def newest_id(self) -> int:
        return self._next_id - 1

    def subjects(self, *, deleted: bool, only: bool = False) -> list[str]:
        """Args: only: those of which all versions are deleted, and nothing else."""
        return [
            name
            for name, each in self._subjects.items()
            if (not each.seen() if only else each.seen(deleted=deleted))
        ]

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """The oldest first; never empty."""
        found = self._subjects.get(subject)
        seen = found.seen(deleted=deleted) if found is not None else []
        if not seen:
            raise no_subject(subject)
        return seen

    def version(self, subject: str, number: int | None, *, deleted: bool = False) -> Version:
        """Args: number: None: the newest."""
        seen = self.versions(subject, deleted=deleted)
        if number is None:
            return seen[-1]
        for each in seen:
            if each.number == number:
                return each
        raise no_version(number)

    def uses(self, number: int, *, deleted: bool) -> list[tuple[str, int]]:
        """(subject, version) of each version that has this schema."""
        self.schema(number)
        found = sorted(self._of_id.get(number, ()))
        return [(s, v) for s, v in found if deleted or not self._subjects[s].versions[v].deleted]

    def referring(self, subject: str, number: int) -> list[int]:
        """The ids of the schemas that refer to a version."""
        return sorted(self._referring.get((subject, number), ()))

    def find(self, subject: str, schema: Schema, *, deleted: bool) -> Version:
        number = self._ids.get(schema.identity)
        for each in self.versions(subject, deleted=deleted):
            if each.id == number:
                return each
        raise no_schema()

    def level(self, subject: str | None) -> str | None:
        """Of the subject alone; None: it has none. Of all: what counts where a subject has none."""
        level = self._levels.get(subject)
        return level or (compatibility.DEFAULT if subject is None else None)

    def mode(self, subject: str | None) -> str | None:
        mode = self._modes.get(subject)
        return mode or ("READWRITE" if subject is None else None)

    # What a schema is, and whether it may follow others.

    def accepted(
        self, kind: str, text: str, references: Sequence[Reference], *, normalize: bool
    ) -> Schema:
        """Raises Refused: it is no schema, or a schema that it refers to is not there."""
        own = tuple(map(self._pinned, references))
        return accepted(kind, text, own, self._resolved(own), normalize=normalize)

    def _pinned(self, reference: Reference) -> Reference:
        """With the number of the newest version in place of -1."""
        number = None if reference.version == -1 else reference.version
        try:
            version = self.version(reference.subject, number)
        except Refused:
            raise invalid(
                f"No schema reference found for subject {reference.subject!r} and version "
                f"{reference.version}"
            ) from None
        return reference._replace(version=version.number)

    def _resolved(self, references: Sequence[Reference]) -> list[Schema]:
        """What they name, each after what that refers to itself."""
        found: list[Schema] = []
        seen: set[tuple[str, int]] = set()
        todo = [(each, False) for each in reversed(references)]
        while todo:
            each, is_done = todo.pop()
            key = (each.subject, each.version)
            schema = self._schema_at(each)
            if is_done:
                found.append(schema)
            elif key not in seen:
                seen.add(key)
                if len(seen) > MOST_REFERENCES:
                    raise invalid(f"it refers to more than {MOST_REFERENCES} schemas")
                todo.append((each, True))
                todo += [(inner, False) for inner in reversed(schema.references)]
        return found

    def _schema_at(self, reference: Reference) -> Schema:
        there = self._subjects.get(reference.subject, _Subject()).versions
        if reference.version not in there:  # it was in a damaged line of the journal
            raise invalid(f"{reference.subject} has lost its version {reference.version}")
        return self._schemas[there[reference.version].id]

    def faults(self, subject: str, schema: Schema, old: Sequence[Version]) -> list[str]:
        """Why it may not follow these versions, by the subject's level."""
        level = self.level(subject) or self.level(None) or compatibility.DEFAULT
        before = [self._schemas[each.id] for each in old]
        return compatibility.faults(schema, before, level, self._avro_type)

    def _read_avro(self, schema: Schema) -> Type:
        return avro_type(schema.text, self._resolved(schema.references))

    # Changes.

    def register(self, subject: str, schema: Schema) -> int:
        """The id of the schema, which is a version of the subject from now on."""
        there = self._subjects.get(subject, _Subject())
        number = self._ids.get(schema.identity)
        if any(each.id == number for each in there.seen()):
            return number or 0
        self._check_writable(subject)
        if faults := self.faults(subject, schema, there.seen()):
            raise Refused(
                409,
                "Schema being registered is incompatible with an earlier schema for subject "
                f'"{subject}", details: [{", ".join(faults)}]',
            )
        self._check_room(subject, there, schema)
        new = number is None
        number = self._next_id if number is None else number
        at = max(there.versions, default=0) + 1
        text = [schema.kind, schema.text, schema.references] if new else []
        self._change(["register", subject, at, number, *text])
        return number

    def _check_room(self, subject: str, there: _Subject, schema: Schema) -> None:
        full = (
            len(there.versions) >= MOST_VERSIONS
            or (subject not in self._subjects and len(self._subjects) >= MOST_SUBJECTS)
            or self._characters + len(schema.text) > MOST_CHARACTERS
        )
        if full:
            raise Refused(
                50001,
                f"this registry keeps {MOST_SUBJECTS} subjects, {MOST_VERSIONS} versions of each, "
                f"and {MOST_CHARACTERS // 2**20} MiB of schemas at most",
            )

    def _check_writable(self, subject: str) -> None:
        if (self.mode(subject) or self.mode(None)) == "READONLY":
            raise Refused(42205, f"Subject {subject} is in read-only mode")

    def delete(self, subject: str, number: int | None = None, *, permanent: bool) -> list[int]:
        """The versions that are deleted now. Args: number: None: all of them."""
        self._check_writable(subject)
        there = self._subjects.get(subject)
        if there is None:
            raise no_subject(subject)
        if number is not None and number not in there.versions:
            raise no_version(number)
        chosen = list(there.versions.values()) if number is None else [there.versions[number]]
        if not permanent:
            chosen = [each for each in chosen if not each.deleted]
        self._check_deletable(subject, number, chosen, permanent)
        numbers = [each.number for each in chosen]
        self._change(["purge" if permanent else "delete", subject, numbers])
        return numbers

    def _check_deletable(
        self, subject: str, number: int | None, chosen: Sequence[Version], permanent: bool
    ) -> None:
        what = f"Subject '{subject}'" + (f" Version {number}" if number is not None else "")
        if not permanent and not chosen:
            code = 40404 if number is None else 40406
            raise Refused(
                code, f"{what} was soft deleted. Set permanent=true to delete permanently"
            )
        if permanent and not all(each.deleted for each in chosen):
            code = 40405 if number is None else 40407
            raise Refused(code, f"{what} was not deleted first before being permanently deleted")
        for each in chosen:
            if self.referring(subject, each.number):
                raise Refused(
                    42206,
                    "One or more references exist to the schema {magic=1,keytype=SCHEMA,"
                    f"subject={subject},version={each.number}}}",
                )

    def set_level(self, subject: str | None, level: str | None) -> None:
        """Args: level: None: as if nobody had set one."""
        self._check_named(self._levels, subject)
        self._change(["level", subject, level])

    def set_mode(self, subject: str | None, mode: str | None) -> None:
        self._check_named(self._modes, subject)
        self._change(["mode", subject, mode])

    def _check_named(self, where: dict[str | None, str], subject: str | None) -> None:
        if subject not in where and len(where) > MOST_SUBJECTS:
            raise Refused(50001, f"this registry keeps {MOST_SUBJECTS} subjects at most")

    # The journal.

    def _change(self, entry: Entry) -> None:
        self._journal.append(entry)
        self._apply(entry)
        if self._journal.should_compact:
            try:
                self._journal.compact(self._entries())
            except OSError as error:
                log.warning("the journal is not compacted: %s", error.strerror)

    def _apply(self, entry: Entry) -> None:
        match entry:
            case ["register", str(subject), int(version), int(number), *text]:
                if text:
                    self._keep(number, text)
                elif number not in self._schemas:
                    raise KeyError(number)
                there = self._subjects.setdefault(subject, _Subject())
                there.versions[version] = Version(version, number)
                self._of_id.setdefault(number, set()).add((subject, version))
            case ["delete", str(subject), list(numbers)]:
                for each in [self._subjects[subject].versions[number] for number in numbers]:
                    each.deleted = True
            case ["purge", str(subject), list(numbers)]:
                for each in [self._subjects[subject].versions[number] for number in numbers]:
                    self._purge(subject, each.number)
            case ["level", None | str() as subject, None | str() as level]:
                _set(self._levels, subject, level)
            case ["mode", None | str() as subject, None | str() as mode]:
                _set(self._modes, subject, mode)
            case ["next", int(number)]:
                self._next_id = max(self._next_id, number)
            case _:
                raise ProcessError(f"{FILE} was written by a newer version of nrtctl")

    def _keep(self, number: int, text: Sequence[Any]) -> None:
        kind, written, references = text
        schema = Schema(kind, written, tuple(Reference(*each) for each in references))
        self._schemas[number] = schema
        self._ids[schema.identity] = number
        self._characters += len(schema.text)
        self._next_id = max(self._next_id, number + 1)
        for each in schema.references:
            self._referring.setdefault((each.subject, each.version), set()).add(number)

    def _purge(self, subject: str, version: int) -> None:
        there = self._subjects[subject]
        number = there.versions.pop(version).id
        if not there.versions:
            del self._subjects[subject]
            self._levels.pop(subject, None)
            self._modes.pop(subject, None)
        self._of_id[number].discard((subject, version))
        if not self._of_id[number]:
            del self._of_id[number]
            schema = self._schemas.pop(number)
            del self._ids[schema.identity]
            self._characters -= len(schema.text)
            for each in schema.references:
                self._referring[each.subject, each.version].discard(number)

    def _entries(self) -> Iterator[Entry]:
        """What amounts to all that is there. A schema is written with the first of its versions."""
        yield ["next", self._next_id]
        told: set[int] = set()
        for subject, there in self._subjects.items():
            for each in there.versions.values():
                schema = self._schemas[each.id]
                new = each.id not in told
                told.add(each.id)
                text = [schema.kind, schema.text, schema.references] if new else []
                yield ["register", subject, each.number, each.id, *text]
            if gone := [each.number for each in there.versions.values() if each.deleted]:
                yield ["delete", subject, gone]
        for level_of, level in self._levels.items():
            yield ["level", level_of, level]
        for mode_of, mode in self._modes.items():
            yield ["mode", mode_of, mode]

    def close(self) -> None:
        self._journal.close()


def _set(where: dict[str | None, str], subject: str | None, value: str | None) -> None:
    where.pop(subject, None)
    if value is not None:
        where[subject] = value
