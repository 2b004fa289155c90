"""What files are found to be, and what is made of each kind: containers, encodings, JSON, CSV."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import json
import lzma
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.producer.sources import Record, Source
from nrtctl.producer.sources.files import Reading, file_source, open_records
from nrtctl.producer.sources.files.paths import files_of
from nrtctl.producer.sources.files.reading import CHUNK

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Write = Callable[..., str]
Drain = Callable[..., list[Record]]
LINES = b'{"id":1,"t":"\xc3\xa9"}\n{"id":2,"t":"b"}\n'
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd.compress,
}  # fmt: skip


def values(path: str, reading: Reading | None = None, **types: str) -> list[Any]:
    with open_records([path], reading, types=types) as records:
        return [json.loads(each.value or b"") for each in records]


def raw(path: str, reading: Reading | None = None) -> list[bytes | None]:
    with open_records([path], reading) as records:
        return [each.value for each in records]


def zipped(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_", "."), data)
    return made.getvalue()


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("name", ["plain", "wrong.csv", "right.jsonl.gz"])
def test_packed_files_are_known_by_content(write: Write, packer: str, name: str) -> None:
    pack = PACKERS[packer]
    members = pack(LINES) + pack(b'{"id":3}')
    with open_records([write(members, name)]) as records:
        assert [each.value for each in records] == [*LINES.splitlines(), b'{"id":3}']
    assert records.found[0].compression == packer


@pytest.mark.parametrize("packer", PACKERS)
def test_what_can_be_unpacked_is_given_before_the_cut(write: Write, packer: str) -> None:
    lines = 2000 if packer == "bzip2" else 800  # its blocks are the largest
    noise = b"".join(b'{"n":"%s"}\n' % os.urandom(500).hex().encode() for _ in range(lines))
    cut = write(PACKERS[packer](noise)[:-3000])
    given: list[bytes | None] = []
    with (
        open_records([cut]) as records,
        pytest.raises(NrtctlError, match=f"its {packer} data ends in the middle"),
    ):
        given.extend(each.value for each in records)
    assert given == noise.split(b"\n")[: len(given)]
    assert len(given) > lines // 3


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_zip_archive_is_an_error(write: Write, method: int) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("a.jsonl", b'{"id":1}\n' * 100)
    damaged = bytearray(made.getvalue())
    for place in range(55, 65):
        damaged[place] ^= 0xFF
    with pytest.raises(NrtctlError, match="cannot be read any further"):
        raw(write(bytes(damaged)))


def test_little_input_that_unpacks_to_much_fills_no_memory(write: Write) -> None:
    line = b'{"pad":"' + b"x" * 1000 + b'"}\n'
    path = write(gzip.compress(line * 30_000))
    tracemalloc.start()
    with open_records([path]) as records:
        assert sum(1 for _ in records) == 30_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * CHUNK


def test_the_one_file_of_a_zip_archive_is_read_others_are_refused(write: Write) -> None:
    assert values(write(zipped(a_tsv=b"id\tn\n1\tx\n"), "export.zip")) == [{"id": "1", "n": "x"}]
    with pytest.raises(ConfigError, match="a zip archive of 2 files") as several:
        values(write(zipped(a_csv=b"id\n1\n", b_csv=b"id\n2\n")))
    assert "directory" in (several.value.hint or "")
    with pytest.raises(ConfigError, match="zip archive of 0 files"):
        values(write(zipped()))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as workbook:
        workbook.writestr("[Content_Types].xml", "<x/>")
        workbook.writestr("xl/sheet1.xml", "<x/>")
    with pytest.raises(ConfigError, match="a document of Excel"):
        values(write(made.getvalue(), "book.xlsx"))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"hello world\nmore text\n", "it begins with 'hello world'"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "bytes that are not text"),
        (b"%PDF-1.7\n", "a PDF file"),
        (b"<?xml version='1.0'?><a/>", "XML or HTML"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"Obj\x01\x04\x14avro.codec", "a damaged Avro file"),
        (b'{"a": 1, // one\n "b": 2}\n', "line 1: not JSON"),
        (b"FEA1\0\0\0\0", "a Feather file of version 1"),
        (gzip.compress(gzip.compress(LINES, mtime=0), mtime=0), "compressed twice"),
        (gzip.compress(b"a" * 257 + b"ustar", mtime=0), "a tar archive"),
        (b'{"id": 1,\n "x": tru }\n', "line 2: not JSON"),
        (b'[{"id": 1},\n {"id": 2}\n', "ends in the middle of an array"),
        (b'[{"id": 1},\n {"id": 2},]\n', "line 2: not JSON"),
        (b'[{"id": 1}\n {"id": 2}]\n', "line 2: not JSON: a comma is missing"),
        (b'{"a": 1} {"b": 2} oops\n', "line 1: not JSON"),
        (b"[" * 5000, "nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused_before_one_is_given(
    write: Write, data: bytes, what: str
) -> None:
    good = write(LINES, "good.jsonl")
    pipeline = Pipeline(fields={"id": "UInt8"})
    with pytest.raises(ConfigError, match=what):
        file_source([good, write(data, "bad")], pipeline)


@pytest.mark.parametrize(
    "encoding",
    ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"],
)
def test_encodings_that_show(write: Write, encoding: str) -> None:
    assert raw(write(LINES.decode().encode(encoding))) == LINES.splitlines()
    array = '[\n{"id": 1, "t": "é"}\n]'.encode(encoding)
    assert raw(write(array)) == ['{"id": 1, "t": "é"}'.encode()]
    table = "id,t\r\n1,é\r\n".encode(encoding)
    assert values(write(table, "a.csv"), id="UInt8") == [{"id": 1, "t": "é"}]


def test_utf_16_with_the_byte_order_of_other_machines(write: Write) -> None:
    text = LINES.decode().encode("utf-16-be")
    assert raw(write(b"\xfe\xff" + text)) == LINES.splitlines()


def test_an_encoding_that_does_not_show_is_asked_for(write: Write) -> None:
    table = write("id;t\n1;é\n".encode("latin-1"), "a.csv")
    with pytest.raises(ConfigError, match="line 2: text that is not UTF-8") as error:
        values(table)
    assert "'1;é'" in (error.value.hint or "")
    for name in ("latin-1", "cp1252"):
        assert values(table, Reading(encoding=name)) == [{"id": "1", "t": "é"}]
    lines = write('{"t":"é"}\n'.encode("latin-1"))
    assert raw(lines) == [b'{"t":"\xe9"}']
    assert raw(lines, Reading(encoding="latin-1")) == ['{"t":"é"}'.encode()]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'[{"id": 1},\n{"id":2}]', [b'{"id": 1}', b'{"id":2}']),
        (b'[{"id": 1}, {"id":2}]\n\n', [b'{"id": 1}', b'{"id":2}']),
        (b" [ ] ", []),
        (b"[\n]", []),
        (b'[1, "a", null, [2, 3], 1.50, 1e400]',
         [b"1", b'"a"', b"null", b"[2, 3]", b"1.50", b"1e400"]),
        (b'{\n  "id": 1\n}\n{\n  "id": 2\n}\n', [b'{\n  "id": 1\n}', b'{\n  "id": 2\n}']),
        (b'{"id": 1}{"id": 2} {"id": 3}', [b'{"id": 1}', b'{"id": 2}', b'{"id": 3}']),
        (b"[1, 2]\n[3, 4]\n", [b"[1, 2]", b"[3, 4]"]),
        (b'{"id": 1\n{"id": 2}\n', [b'{"id": 1', b'{"id": 2}']),
        (b'oops\n{"id": 2}\n', [b"oops", b'{"id": 2}']),
        (b"", []),
        (b" \n\n", []),
    ],
)  # fmt: skip
def test_json_of_any_shape(write: Write, data: bytes, expected: list[bytes]) -> None:
    assert raw(write(data)) == expected


def test_elements_keep_every_byte(write: Write) -> None:
    element = b'{"n": 12345678901234567890.10, "n": 1e5, "t": "\\u00e9\xff\t", "d": {"a" : []}}'
    assert raw(write(b"[" + element + b" ,\r\n" + element + b"]")) == [element] * 2


def test_an_array_is_read_piece_by_piece(write: Write) -> None:
    element = b'{"n":1,"pad":"' + b"x" * 2700 + b'"}'
    path = write(b"[" + b",\n".join([element] * 6_000) + b"]")
    assert os.path.getsize(path) > 50 * CHUNK
    tracemalloc.start()
    with open_records([path]) as records:
        origins = [each.origin for each in records if each.value == element]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert origins == [f"{path}, line {number}" for number in range(1, 6_001)]
    assert peak < 40 * CHUNK


def test_a_text_that_is_longer_than_a_piece(write: Write) -> None:
    long = b'{"t":"' + b"\xc3\xa9" * CHUNK * 5 + b'"}'
    assert raw(write(b"[" + long + b"," + long + b"]")) == [long, long]


@pytest.mark.parametrize("cut", range(8))
def test_a_number_that_a_piece_ends_in(write: Write, cut: int) -> None:
    before = b"[" + b" " * (CHUNK - 1 - cut)
    assert raw(write(before + b"-1.5e+7, 2]")) == [b"-1.5e+7", b"2"]


def test_messages_that_another_program_has_written_again(write: Write) -> None:
    message = {"value": '{"v":1}', "nrtctl_message": 1, "key": "k", "timestamp": 7}
    message["headers"] = [["h", None]]
    for text in (json.dumps(message), json.dumps(message, indent=2), json.dumps([message])):
        with open_records([write(text.encode())]) as records:
            (read,) = records
        assert (read.value, read.key, read.timestamp) == (b'{"v":1}', b"k", 7)
        assert read.headers == (("h", None),)


def test_a_pipe_is_known_by_what_comes_first(tmp_path: Path, drain: Drain) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    source: Source = file_source([str(path)], Pipeline(fields={"id": "UInt8"}))
    assert source.take(10) == []
    os.write(writer, b'[{"id":1}]')
    assert source.take(10) == []
    os.write(writer, b'\n[{"id":2}]\n')
    assert source.take(10) == [b'[{"id":1}]', b'[{"id":2}]']
    os.write(writer, b"[3]\n")
    assert source.take(10) == [b"[3]"]
    os.close(writer)
    os.close(reader)
    assert drain(source) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"id;n\n", b"1;x\n", b"2;y\n"), [b'{"id":1,"n":"x"}', b'{"id":2,"n":"y"}']),
        ((b"starting up\n", b'{"id":1}\n'), [b"starting up", b'{"id":1}']),
    ],
)
def test_a_first_line_that_says_nothing_waits_for_the_next(
    tmp_path: Path, drain: Drain, lines: tuple[bytes, ...], expected: list[bytes]
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    source: Source = file_source([str(path)], Pipeline(fields={"id": "UInt8"}))
    os.write(writer, lines[0])
    assert source.take(10) == []
    for line in lines[1:]:
        os.write(writer, line)
    os.close(writer)
    os.close(reader)
    assert [value for _, value, _, _ in drain(source)] == expected


def test_a_packed_pipe_gives_what_has_come(tmp_path: Path, drain: Drain) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    source: Source = file_source([str(path)], Pipeline(fields={"id": "UInt8"}))
    packed = zstd.compress(LINES)
    os.write(writer, packed[:3])
    assert source.take(10) == []
    os.write(writer, packed[3:])
    assert source.take(10) == LINES.splitlines()
    os.write(writer, zstd.compress(b"{}\n"))
    assert source.take(10) == [b"{}"]
    os.close(writer)
    os.close(reader)
    assert drain(source) == []


def test_files_directories_and_patterns(write: Write, tmp_path: Path, drain: Drain) -> None:
    for name in ("b/2.jsonl", "b/1.jsonl", "b/c/3.jsonl", "b/_SUCCESS", "b/.hidden", "a[1].jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(json.dumps({"name": name}) + "\n")
    pipeline = Pipeline(fields={"name": "String"})

    def names(*inputs: str) -> list[str]:
        source = file_source([str(tmp_path / each) for each in inputs], pipeline)
        return [json.loads(value or b"")["name"] for _, value, _, _ in drain(source)]

    assert names("b") == ["b/1.jsonl", "b/2.jsonl", "b/c/3.jsonl"]
    assert names("b/*.jsonl") == ["b/1.jsonl", "b/2.jsonl"]
    assert names("a[1].jsonl", "b/2.jsonl", "b") == [
        "a[1].jsonl", "b/2.jsonl", "b/1.jsonl", "b/c/3.jsonl",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="no file matches"):
        names("*.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="has no files"):
        names("empty")
    with pytest.raises(ConfigError, match="combined with files"):
        file_source(["-", str(tmp_path / "b")], pipeline)


def test_a_directory_has_all_that_its_links_lead_to_and_no_pipes(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for name in ("a/1", "b/2", "other/3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "again").symlink_to(tmp_path)
    (tmp_path / "a" / "linked").symlink_to(tmp_path / "other")
    os.mkfifo(tmp_path / "b" / "pipe")
    assert files_of([str(tmp_path / "a"), str(tmp_path / "b")]) == [
        str(tmp_path / name) for name in ("a/1", "a/linked/3", "b/2")
    ]


def test_a_directory_that_cannot_be_read_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "file").touch()
    scan = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ConfigError, match=r"closed cannot be read: Permission denied"):
        files_of([str(tmp_path)])


def test_several_files_are_one_source(write: Write, drain: Drain) -> None:
    paths = [
        write(b"id,t\n1,a\nbad\n", "a.csv"), write(b"\n{}\n", "b.jsonl"), write(b"", "c"),
        write(gzip.compress(b'[{"id":2}]'), "d"),
    ]  # fmt: skip
    reading = Reading(skip_bad_rows=True)
    source = file_source(paths, Pipeline(fields={"id": "UInt8"}), reading, key="id")
    assert not source.bulk
    size = source.size_hint()
    assert size is not None
    assert [(key, value) for key, value, _, _ in drain(source, 1)] == [
        (b"1", b'{"id":1,"t":"a"}'), (None, b"{}"), (b"2", b'{"id":2}'),
    ]  # fmt: skip
    assert (source.unsendable.count, source.skipped) == (1, 1)
    assert source.size_hint() == (size[1], size[1])


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        (
            b"a,b\n1,2\na,b\n3,4\n",
            "line 3: the line that names the columns is there again",
            "take that line out",
        ),
        (
            b'a,b\n1,2\n3,"4\n' + b"5,6\n" * 500_000,
            "line 3: a quote is opened that is not closed within the next 1 MiB",
            "--no-quotes",
        ),
        (b'a,b\n1,2\n3,"4\n5,6\n', "line 3: a quote is opened that is not closed", "--no-quotes"),
    ],
)
def test_what_is_wrong_near_the_beginning_is_said_before_anything_is_sent(
    write: Write, data: bytes, said: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        file_source([write(data, "a.csv")], Pipeline(fields={"a": "UInt8"}), Reading(), key=None)
    assert refused.value.message.endswith(said)
    assert hint in (refused.value.hint or "")
    assert "--skip-bad-rows" in (refused.value.hint or "")


def test_a_long_cell_of_lines_at_the_end_of_the_look_is_no_fault(
    write: Write, drain: Drain
) -> None:
    cell = b"line\n" * 20_000
    data = b"a,b\n" + b"1,2\n" * 60_000 + b'3,"' + cell + b'"\n4,5\n'
    source = file_source(
        [write(data, "a.csv")], Pipeline(fields={"a": "UInt8"}), Reading(), key=None
    )
    assert len(drain(source)) == 60_002
    assert source.unsendable.count == 0
