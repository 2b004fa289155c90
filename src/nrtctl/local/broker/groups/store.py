"""Committed offsets and the last stable state of each group, in memory and in the journal.

Called by `groups.coordinator` (through its `Store` protocol) and by `broker`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nrtctl.local.journal import Entry, Journal

logger = logging.getLogger(__name__)


class Committed(NamedTuple):
    """A committed offset; `leader_epoch` is -1 when the client did not say, times are in ms."""

    offset: int
    leader_epoch: int
    metadata: str
    committed_at: int


Partition = tuple[str, int]


class GroupStore:
    """Raises OSError when the journal cannot be opened, and from every method that changes it.

    A group that could not be saved is saved before the next of its offsets is committed: whoever
    was fenced when an offset was committed is fenced after a restart too.
    """

    def __init__(self, path: Path, *, always_sync: bool) -> None:
        self.offsets: dict[str, dict[Partition, Committed]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.pending: dict[str, dict[int, dict[Partition, Committed]]] = {}
        """By group and producer id: committed once its transaction is."""
        self.is_unsynced = False
        self._unsaved: dict[str, dict[str, Any]] = {}
        self._journal = Journal(path, always_sync=always_sync)
        for entry in self._journal.replay():
            self._apply(entry)
        self._compact()

    def _apply(self, entry: Entry) -> None:
        match entry:
            case ["commit", str(group), list(offsets)]:
                committed = self.offsets.setdefault(group, {})
                for topic, partition, *rest in offsets:
                    committed[topic, partition] = Committed(*rest)
            case ["uncommit", str(group), list(partitions)]:
                kept = self.offsets.get(group, {})
                for topic, partition in partitions:
                    kept.pop((topic, partition), None)
                if not kept:
                    self.offsets.pop(group, None)
            case ["pending", str(group), int(producer_id), list(offsets)]:
                self._expect(group, producer_id, offsets)
            case ["settled", str(group), int(producer_id), bool(commits)]:
                pending = self.pending.get(group, {}).get(producer_id, {})
                self._expect(group, producer_id, [])
                if commits and pending:
                    self.offsets.setdefault(group, {}).update(pending)
            case ["group", str(group), dict(snapshot)]:
                self.groups[group] = snapshot
            case ["delete", str(group)]:
                self.offsets.pop(group, None)
                self.groups.pop(group, None)
                self.pending.pop(group, None)
            case _:
                logger.warning("an unknown journal entry is left out")

    def _expect(self, group: str, producer_id: int, offsets: list[list[Any]]) -> None:
        """All that is pending of a producer, in place of what was."""
        of_group = self.pending.setdefault(group, {})
        of_group[producer_id] = {(each[0], each[1]): Committed(*each[2:]) for each in offsets}
        if not offsets:
            del of_group[producer_id]
        if not of_group:
            del self.pending[group]

    def _change(self, entry: Entry) -> None:
        self._journal.append(entry)
        self.is_unsynced = True
        self._apply(entry)
        if self._journal.should_compact:
            try:
                self._compact()
            except OSError as error:
                logger.warning("the offsets journal is not compacted: %s", error.strerror)

    def _compact(self) -> None:
        self._journal.compact(self._live_entries())

    def _live_entries(self) -> Iterator[Entry]:
        for group, snapshot in self.groups.items():
            yield ["group", group, snapshot]
        for group, committed in self.offsets.items():
            yield ["commit", group, _listed(committed)]
        for group, of_group in self.pending.items():
            for producer_id, offsets in of_group.items():
                yield ["pending", group, producer_id, _listed(offsets)]

    def commit(self, group: str, offsets: dict[Partition, Committed]) -> None:
        if offsets:
            self._save_what_is_not(group)
            self._change(["commit", group, _listed(offsets)])

    def commit_with(
        self, group: str, producer_id: int, offsets: dict[Partition, Committed]
    ) -> None:
        """Keep `offsets` until the producer's transaction ends."""
        if offsets:
            self._save_what_is_not(group)
            pending = self.pending.get(group, {}).get(producer_id, {})
            self._change(["pending", group, producer_id, _listed(pending | offsets)])

    def settle(self, group: str, producer_id: int, *, commits: bool) -> None:
        """The producer's transaction has ended; nothing happens where that is known."""
        if producer_id in self.pending.get(group, {}):
            self._change(["settled", group, producer_id, commits])

    def is_stable(self, group: str, partition: Partition) -> bool:
        """Whether no open transaction commits an offset of the partition."""
        pending = self.pending.get(group)
        return pending is None or not any(partition in each for each in pending.values())

    def uncommit(self, group: str, partitions: list[Partition]) -> None:
        if partitions:
            self._change(["uncommit", group, [list(partition) for partition in partitions]])

    def save_group(self, group: str, snapshot: dict[str, Any]) -> None:
        """Where it cannot be written, `snapshot` is kept until the group's next offset commit."""
        self._unsaved[group] = snapshot
        self._save_what_is_not(group)

    def _save_what_is_not(self, group: str) -> None:
        snapshot = self._unsaved.get(group)
        if snapshot is not None:
            self._change(["group", group, snapshot])
            del self._unsaved[group]

    def delete_group(self, group: str) -> None:
        self._change(["delete", group])
        self._unsaved.pop(group, None)

    def forget_topic(self, topic: str) -> None:
        """A topic is gone, and with it the offsets committed for it."""
        for group, committed in list(self.offsets.items()):
            self.uncommit(group, [partition for partition in committed if partition[0] == topic])
        for group, of_group in list(self.pending.items()):
            for producer_id, offsets in list(of_group.items()):
                kept = {key: value for key, value in offsets.items() if key[0] != topic}
                if len(kept) < len(offsets):
                    self._change(["pending", group, producer_id, _listed(kept)])

    def duplicate(self) -> int:
        """A descriptor of the journal that the caller may sync, and closes."""
        return self._journal.duplicate()

    def close(self) -> None:
        self._journal.close()


def _listed(offsets: dict[Partition, Committed]) -> list[list[Any]]:
    return [[*key, *value] for key, value in offsets.items()]
