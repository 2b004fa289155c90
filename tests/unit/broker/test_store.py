"""Committed offsets and groups in the journal: replay, tears, compaction."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrtctl.local import journal as journal_module
from nrtctl.local.broker.groups.store import Committed, GroupStore

State = tuple[int, dict[str, dict[tuple[str, int], Committed]], dict[str, dict[str, Any]]]
"""The journal's size, the offsets and the groups."""


def open_store(directory: Path, *, always_sync: bool = False) -> GroupStore:
    return GroupStore(directory / "journal", always_sync=always_sync)


names = st.sampled_from(["a", "b"])
changes = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), names, names, st.integers(0, 9), st.text(max_size=5)),
        st.tuples(st.just("uncommit"), names, names),
        st.tuples(st.just("group"), names, st.integers(0, 9)),
        st.tuples(st.just("delete"), names),
        st.tuples(st.just("forget"), names),
    ),
    max_size=20,
)


def apply(store: GroupStore, change: tuple[object, ...]) -> None:
    match change:
        case ("commit", str(group), str(topic), int(offset), str(metadata)):
            store.commit(group, {(topic, 0): Committed(offset, -1, metadata, 5)})
        case ("uncommit", str(group), str(topic)):
            store.uncommit(group, [(topic, 0)])
        case ("group", str(group), int(generation)):
            store.save_group(group, {"generation": generation})
        case ("delete", str(group)):
            store.delete_group(group)
        case ("forget", str(topic)):
            store.forget_topic(topic)


@settings(max_examples=60)
@given(changes, st.data())
def test_what_is_read_back_is_what_was_written_up_to_the_tear(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[object, ...]],
    data: st.DataObject,
) -> None:
    directory = tmp_path_factory.mktemp("store")
    store = open_store(directory)
    path = directory / "journal"
    states: list[State] = [(path.stat().st_size, {}, {})]
    write = store._change

    def write_and_note(entry: list[object]) -> None:
        """One line: a change such as `forget` may be several."""
        write(entry)
        offsets = {group: dict(committed) for group, committed in store.offsets.items()}
        states.append((path.stat().st_size, offsets, dict(store.groups)))

    store._change = write_and_note  # type: ignore[method-assign]
    for change in made:
        apply(store, change)
    store.close()
    cut = data.draw(st.integers(0, path.stat().st_size))
    os.truncate(path, cut)
    _, offsets, groups = max(
        (state for state in states if state[0] <= cut), key=lambda state: state[0]
    )
    for _ in range(2):
        store = open_store(directory)
        assert store.offsets == offsets
        assert store.groups == groups
        store.close()


def test_a_bad_line_in_the_middle_costs_only_itself(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for offset in range(3):
        store.commit("g", {("t", offset): Committed(offset, -1, "", 0)})
    store.close()
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"t", b"x")
    (tmp_path / "journal").write_bytes(b"".join(lines))
    store = open_store(tmp_path)
    assert list(store.offsets["g"]) == [("t", 0), ("t", 2)]
    store.close()


def test_the_journal_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "COMPACT_AT_BYTES", 2_000)
    store = open_store(tmp_path)
    for offset in range(500):
        store.commit("g", {("t", 0): Committed(offset, -1, "m" * 50, 0)})
        assert (tmp_path / "journal").stat().st_size < 3_000
    store.close()
    store = open_store(tmp_path, always_sync=True)
    assert store.offsets == {"g": {("t", 0): Committed(499, -1, "m" * 50, 0)}}
    store.commit("g", {("t", 0): Committed(500, -1, "", 0)})
    store.close()


def test_a_compaction_that_fails_is_no_failed_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "COMPACT_AT_BYTES", 100)
    store = open_store(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_module, "write_atomically", full)
    for offset in range(20):
        store.commit("g", {("t", 0): Committed(offset, -1, "", 0)})
    store.close()
    monkeypatch.undo()
    store = open_store(tmp_path)
    assert store.offsets["g"]["t", 0].offset == 19
    store.close()


def test_a_failed_append_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    store.commit("g", {("t", 0): Committed(1, -1, "", 0)})

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        store.commit("g", {("t", 0): Committed(2, -1, "", 0)})
    monkeypatch.undo()
    assert store.offsets["g"]["t", 0].offset == 1
    store.commit("g", {("t", 0): Committed(3, -1, "", 0)})
    store.close()
    store = open_store(tmp_path)
    assert store.offsets["g"]["t", 0].offset == 3
    store.close()


def test_a_group_is_saved_before_its_offsets_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    for group in ("kept", "deleted"):
        with pytest.raises(OSError, match="No space"):
            store.save_group(group, {"generation": 7})
    with pytest.raises(OSError, match="No space"):
        store.commit("kept", {("t", 0): Committed(1, -1, "", 0)})
    monkeypatch.undo()
    assert (store.offsets, store.groups) == ({}, {})
    store.delete_group("deleted")
    for group in ("kept", "deleted", "other"):
        store.commit(group, {("t", 0): Committed(1, -1, "", 0)})
    store.close()
    store = open_store(tmp_path)
    assert store.groups == {"kept": {"generation": 7}}
    assert set(store.offsets) == {"kept", "deleted", "other"}
    store.close()
