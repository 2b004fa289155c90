"""What the front rests on where a disk fills: the space kept free, doubt, the gate, cut files."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nrtctl.local.front.gate import Closed, Gate
from nrtctl.local.front.keeper import Keeper
from nrtctl.local.front.parts import file_lengths, mark_cut_files
from nrtctl.local.front.space import LONGEST_LOOK_AWAY, Space, kept_free

MiB = 2**20
MUTATION = b"format version: 1\ncreate time: 2026-11-28 12:23:51\ncommands: (DELETE WHERE 1)\n"
# By chdb 26.9: a part of one column and one projection.
CHECKSUMS = bytes.fromhex(
    "636865636b73756d7320666f726d61742076657273696f6e3a20340aec6c8d71feed9dbbfeac9f93"
    "0e67d4d090f9000000e700000028b52ffd20e73907000609636f756e742e7478740177b7950445b8"
    "f9bd2bab46cbff137bdb0008646174612e62696e2a6c537c0d29e0d6a2241d5fa8b7698ba7011823"
    "70214d4339a72d38f350e2842a074c0a646174612e636d726b3430cbd159679081eac53047d980ac"
    "8c756a01302be973537c42078b75ffd3f9da331eef06702e70726f6ad801e26b3e60a2900bc2571e"
    "c5fe6dc65347000c7072696d6172792e636964783272b7026b2600bbec5d005985f68df9680110b1"
    "f54b414fcc91442a957b101741d4021273657269616c697a6174696f6e2e6a736f6ed9015c2b009d"
    "2b527051a92cf835fc82921d00"
)
LENGTHS = {
    "count.txt": 1,
    "data.bin": 42,
    "data.cmrk4": 48,
    "p.proj": 216,
    "primary.cidx": 50,
    "serialization.json": 217,
}

ARCHIVE = bytes.fromhex(  # its table of files
    "000a000000000000000d636865636b73756d732e7478744b0100000000000025010000000000000b"
    "636f6c756d6e732e74787470020000000000003b0000000000000016636f6c756d6e735f73756273"
    "747265616d732e747874ab02000000000000710000000000000009636f756e742e7478741c030000"
    "000000000100000000000000146d657461646174615f76657273696f6e2e7478741d030000000000"
    "0001000000000000001d64656661756c745f636f6d7072657373696f6e5f636f6465632e7478741e"
    "030000000000000a000000000000001273657269616c697a6174696f6e2e6a736f6e280300000000"
    "00002f010000000000000a646174612e636d726b3457040000000000003e000000000000000c7072"
    "696d6172792e636964789504000000000000320000000000000008646174612e62696ec704000000"
    "0000005100000000000000"
)
ARCHIVE_LENGTH = 1304


@pytest.mark.parametrize(
    ("total", "kept"), [(96 * MiB, 16 * MiB), (8192 * MiB, 128 * MiB), (2**40, 512 * MiB)]
)
def test_what_is_kept_free_grows_with_the_disk(total: int, kept: int) -> None:
    assert kept_free(total) == kept


class Disk:
    def __init__(self) -> None:
        self.now, self.free = 100.0, 50
        self.space = Space(10, lambda: self.free, lambda: self.now)

    def look(self, now: float, free: int = 50) -> None:
        self.now, self.free = now, free
        assert self.space.look() == free


def test_a_disk_that_was_looked_at_and_not_full_is_trusted() -> None:
    disk = Disk()
    disk.look(100.05)
    disk.look(100.1)
    assert not disk.space.may_have_been_full(100.01)


def test_a_disk_that_was_full_meanwhile_is_doubted() -> None:
    disk = Disk()
    disk.look(100.05, free=9)
    disk.look(100.1)
    assert disk.space.may_have_been_full(100.04)
    assert not disk.space.may_have_been_full(100.06)


def test_a_disk_that_nobody_looked_at_is_doubted() -> None:
    disk = Disk()
    disk.now += 2 * LONGEST_LOOK_AWAY
    assert disk.space.may_have_been_full(100.01)
    disk.look(disk.now)
    assert disk.space.may_have_been_full(100.01)
    disk.look(disk.now + 0.01)
    assert not disk.space.may_have_been_full(disk.now)


def test_a_closed_gate_lets_nobody_in_and_waits_for_those_inside() -> None:
    gate = Gate()
    leave, left = threading.Event(), threading.Event()

    def inside() -> None:
        with gate.passing(60) as turn:
            assert turn == 0
            leave.wait(60)
        left.set()

    thread = threading.Thread(target=inside)
    thread.start()
    while gate.empty(0):
        pass
    gate.close()
    assert not gate.empty(0.01)
    with pytest.raises(Closed), gate.passing(0.01):
        pass
    leave.set()
    assert gate.empty(60)
    assert left.wait(60)
    gate.open()
    with gate.passing(0) as turn:
        assert turn == 1
    thread.join()


def test_a_table_of_any_name_is_read_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(sql: str) -> str:
        asked.append(sql)
        if "system.tables" in sql:
            return "\t".join(name.encode().hex() for name in ("it's", "a\u2028`b\\", "t.sql"))
        return ""

    (tmp_path / "t.sql").write_text("ATTACH TABLE _\n")
    keeper = Keeper(ask, tmp_path, Space(10, lambda: 50))
    try:
        keeper._read_again()
    finally:
        keeper.close()
    table = "TABLE `it's`.`a\u2028\\`b\\\\`"
    assert [each for each in asked if " TABLE " in each] == [f"DETACH {table}", f"ATTACH {table}"]


def test_the_list_of_a_parts_files_is_read() -> None:
    assert file_lengths(CHECKSUMS) == LENGTHS


@pytest.mark.parametrize("size", [0, 10, 30, len(CHECKSUMS) - 1])
def test_a_cut_list_is_no_list(tmp_path: Path, size: int) -> None:
    part = tmp_path / "store" / "abc" / "uuid" / "all_1_1_0"
    part.mkdir(parents=True)
    (part / "checksums.txt").write_bytes(CHECKSUMS[:size])
    mark_cut_files(tmp_path)
    assert (part / "checksums.txt").read_bytes() == CHECKSUMS[:size]


def test_a_list_that_says_that_it_becomes_too_much_is_no_list() -> None:
    block = b"\x10a"
    size, length = (9 + len(block)).to_bytes(4, "little"), (2**30).to_bytes(4, "little")
    head = CHECKSUMS[: CHECKSUMS.index(b"4\n") + 2]
    with pytest.raises(ValueError, match="longer than"):
        file_lengths(head + bytes(16) + b"\x82" + size + length + block)


@pytest.mark.parametrize("cut", ["data.bin", "count.txt", None])
def test_a_part_with_a_file_that_was_cut_is_marked(tmp_path: Path, cut: str | None) -> None:
    part = tmp_path / "store" / "abc" / "uuid" / "all_1_1_0"
    (part / "p.proj").mkdir(parents=True)
    (part / "checksums.txt").write_bytes(CHECKSUMS)
    for name, length in file_lengths(CHECKSUMS).items():
        if not name.endswith(".proj"):
            (part / name).write_bytes(b"x" * (length - (name == cut)))
    mark_cut_files(tmp_path)
    assert (part / "checksums.txt").read_bytes() == (b"" if cut else CHECKSUMS)


def test_only_a_whole_mutation_is_left(tmp_path: Path) -> None:
    table = tmp_path / "store" / "abc" / "uuid"
    table.mkdir(parents=True)
    for size in range(len(MUTATION) + 1):
        (table / f"mutation_{size}.txt").write_bytes(MUTATION[:size])
    mark_cut_files(tmp_path)
    assert [path.read_bytes() for path in table.iterdir()] == [MUTATION]


@pytest.mark.parametrize("cut", [0, 1, 900])
@pytest.mark.parametrize("place", [".", "p.proj"])
def test_an_archive_that_was_cut_is_marked(tmp_path: Path, place: str, cut: int) -> None:
    path = tmp_path / "store" / "abc" / "uuid" / "all_1_1_0" / place / "data.packed"
    path.parent.mkdir(parents=True)
    content = ARCHIVE.ljust(ARCHIVE_LENGTH - cut, b"x")
    path.write_bytes(content)
    mark_cut_files(tmp_path)
    if not cut:
        assert path.read_bytes() == content
    elif place == ".":
        assert path.read_bytes() == b""
    else:
        assert not path.exists()
    assert path.with_name("data.packed.cut").exists() == bool(cut)


@pytest.mark.parametrize("size", [0, 5, 40, len(ARCHIVE) - 1])
def test_an_archive_whose_table_was_cut_is_marked(tmp_path: Path, size: int) -> None:
    path = tmp_path / "store" / "abc" / "uuid" / "all_1_1_0" / "data.packed"
    path.parent.mkdir(parents=True)
    path.write_bytes(ARCHIVE[:size])
    mark_cut_files(tmp_path)
    assert path.read_bytes() == b""
    assert path.with_name("data.packed.cut").read_bytes() == ARCHIVE[:size]


def test_an_archive_in_another_format_is_left(tmp_path: Path) -> None:
    path = tmp_path / "store" / "abc" / "uuid" / "all_1_1_0" / "data.packed"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\1" + ARCHIVE[1:])
    mark_cut_files(tmp_path)
    assert path.read_bytes() == b"\1" + ARCHIVE[1:]
