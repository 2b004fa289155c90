"""The ledger: a round trip, torn and damaged files."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

import pytest

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.producer.ledger import Entry, Ledger, LedgerWriter, identity

from .fake import FullFile

ID = "8b92518f-9a51-4e00-ace8-d6be2b7a2f9e"
EVENT = b'{"event_id": "' + ID.encode() + b'", "a": 1}'


def hashed(value: bytes) -> str:
    return "b2:" + blake2b(value, digest_size=8).hexdigest()


def write(path: Path) -> None:
    writer = LedgerWriter(path, topic="events", started=12.5)
    writer.stored(0, 17, None, EVENT)
    writer.stored(3, 2**40, "late", EVENT)
    writer.stored(1, 0, "tombstone", None)
    writer.stored(1, 1, "input", b"\xff")
    writer.failed('odd "reason"', "wrong_type", b"")
    writer.close()


ENTRIES = [
    Entry(0, 17, "stored", None, ID),
    Entry(3, 2**40, "stored", "late", ID),
    Entry(1, 0, "dead_letter", "tombstone", None),
    Entry(1, 1, "either", "input", hashed(b"\xff")),
    Entry(None, None, "dead_letter", "wrong_type", hashed(b""), 'odd "reason"'),
]


def test_round_trip(tmp_path: Path) -> None:
    write(tmp_path / "ledger")
    ledger = Ledger(tmp_path / "ledger")
    assert (ledger.topic, ledger.started) == ("events", 12.5)
    assert list(ledger) == ENTRIES
    assert not ledger.torn
    assert [entry.reason for entry in ledger][2:] == ["null value", None, "wrong type"]


def test_lines_are_json(tmp_path: Path) -> None:
    write(tmp_path / "ledger")
    header, *lines = map(json.loads, (tmp_path / "ledger").read_text().splitlines())
    assert header == {"ledger": 1, "topic": "events", "started": 12.5}
    assert len(lines) == len(ENTRIES)


def test_a_flush_puts_everything_in_the_file(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path / "ledger", topic="t", started=0)
    assert list(Ledger(tmp_path / "ledger")) == []
    writer.stored(0, 0, None, EVENT)
    writer.flush()
    assert len(list(Ledger(tmp_path / "ledger"))) == 1
    writer.close()


def test_a_ledger_cut_anywhere_in_its_last_line_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    write(path)
    data = path.read_bytes()
    last = data.rindex(b"\n", 0, -1) + 1
    for length in range(last + 1, len(data)):
        path.write_bytes(data[:length])
        ledger = Ledger(path)
        assert list(ledger) == ENTRIES[:-1]
        assert ledger.torn
    path.write_bytes(data[:last])
    ledger = Ledger(path)
    assert list(ledger) == ENTRIES[:-1]
    assert not ledger.torn


def test_damage_before_the_end_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[2:]]))
    with pytest.raises(NrtctlError, match="line 3 is not a ledger entry"):
        list(Ledger(path))


def test_bytes_that_are_no_text_are_damage_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    write(path)
    path.write_bytes(path.read_bytes().replace(b"late", b"\xff\xfe"))
    with pytest.raises(NrtctlError, match="line 3 is not a ledger entry"):
        list(Ledger(path))


def test_lines_are_written_once_though_the_disk_was_full(tmp_path: Path) -> None:
    writer = LedgerWriter(tmp_path / "ledger", topic="t", started=0)
    full = FullFile(50)
    writer._file.close()
    writer._file = full  # type: ignore[assignment]
    for offset in range(3):
        writer.stored(0, offset, None, EVENT)
    with pytest.raises(NrtctlError, match="No space left"):
        writer.flush()
    full.room = 10_000
    writer.close()
    assert [json.loads(line)["offset"] for line in full.written.splitlines()] == [0, 1, 2]


@pytest.mark.parametrize("data", [b"", b"{}\n", b'{"ledger": 99}\n', b"\xff\xfe", b"[]\n"])
def test_what_is_no_ledger(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ConfigError):
        Ledger(tmp_path / "file")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Ledger(tmp_path / "nothing")


def test_a_run_never_overwrites_a_ledger(tmp_path: Path) -> None:
    write(tmp_path / "ledger")
    with pytest.raises(ConfigError, match="exists already"):
        LedgerWriter(tmp_path / "ledger", topic="t", started=0)
    with pytest.raises(ConfigError, match="cannot be written"):
        LedgerWriter(tmp_path / "no" / "directory", topic="t", started=0)
    assert list(Ledger(tmp_path / "ledger")) == ENTRIES


def test_a_full_disk_is_an_error() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    with pytest.raises(ConfigError):
        LedgerWriter(full, topic="t", started=0)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (EVENT, ID),
        (EVENT.replace(b": ", b":"), ID),
        (None, None),
        (b" " + EVENT, hashed(b" " + EVENT)),
        (b'{"event_id": "short"}', hashed(b'{"event_id": "short"}')),
    ],
)
def test_identity(value: bytes | None, name: str | None) -> None:
    assert identity(value) == name
