"""Parquet, Arrow and ORC: every kind of column as JSON, exactly, and what cannot be sent."""

from __future__ import annotations

import datetime
import gzip
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather, orc

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.producer.sources import Record
from nrtctl.producer.sources.files import Reading, file_source, open_records

Write = Callable[..., str]
Drain = Callable[..., list[Record]]
NOON = datetime.datetime(2026, 1, 31, 12, 0, 0, 1500, datetime.UTC)


def written(path: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def texts(path: str, reading: Reading | None = None, **types: str) -> list[str]:
    with open_records([path], reading, types=types) as records:
        return [(each.value or b"").decode() for each in records]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
        (pa.array([-(2**63)]), "-9223372036854775808"),
        (pa.array([Decimal("1.10")], pa.decimal128(38, 2)), "1.10"),
        (pa.array([Decimal("1e20")], pa.decimal256(60, 3)), "100000000000000000000.000"),
        (pa.array([0.1]), "0.1"),
        (pa.array([float("nan")]), '"nan"'),
        (pa.array([float("-inf")]), '"-inf"'),
        (pa.array([True]), "true"),
        (pa.array(["é\n"]), '"é\\n"'),
        (pa.array([b"\xc3\xa9"]), '"é"'),
        (pa.array([None], pa.null()), "null"),
        (pa.array([None], pa.timestamp("ns")), "null"),
        (pa.array([1], pa.timestamp("ns")), '"1970-01-01 00:00:00.000000001"'),
        (pa.array([NOON], pa.timestamp("us", "UTC")), '"2026-01-31 12:00:00.001500Z"'),
        (pa.array([NOON], pa.timestamp("ms", "Asia/Tokyo")), '"2026-01-31 12:00:00.001Z"'),
        (pa.array([NOON.date()]), '"2026-01-31"'),
        (pa.array([b"a"], pa.binary_view()), '"a"'),
        (pa.array([["a"]], pa.list_view(pa.string_view())), '["a"]'),
        (pa.array([[NOON.date()]], pa.large_list_view(pa.date32())), '["2026-01-31"]'),
        (pa.array([datetime.time(1, 2, 3)]), '"01:02:03.000000"'),
        (pa.array([90_000], pa.duration("ms")), "90000"),
        (pa.array(["a"]).dictionary_encode(), '"a"'),
        (pa.array([[1, None]]), "[1,null]"),
        (pa.array([[float("inf"), 1.5]]), '["inf",1.5]'),
        (pa.array([{"a": 1, "b": [{"t": NOON}]}]),
         '{"a":1,"b":[{"t":"2026-01-31 12:00:00.001500Z"}]}'),
        (pa.array([[("k", 1.5), ("l", None)]], pa.map_(pa.string(), pa.float64())),
         '{"k":1.5,"l":null}'),
        (pa.array([[("k", 0)]], pa.map_(pa.string(), pa.timestamp("ms"))),
         '{"k":"1970-01-01 00:00:00.000"}'),
        (pa.array([[{"d": Decimal("0.50")}]]), '[{"d":0.50}]'),
        (pa.array([UUID(int=1).bytes], pa.uuid()), '"00000000-0000-0000-0000-000000000001"'),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else None,
)  # fmt: skip
def test_a_value_of_each_type(tmp_path: Path, column: Any, text: str) -> None:
    assert texts(written(tmp_path / "a", v=column)) == [f'{{"v":{text}}}']


def test_whole_floats_are_integers_where_the_field_is_one(tmp_path: Path) -> None:
    path = written(tmp_path / "a", a=[1.0, 1.5, None], b=[2.0, 3.0, float("nan")])
    assert texts(path, a="Nullable(UInt8)") == [
        '{"a":1,"b":2.0}', '{"a":1.5,"b":3.0}', '{"a":null,"b":"nan"}',
    ]  # fmt: skip


def test_whole_floats_of_any_size_keep_their_digits(tmp_path: Path) -> None:
    path = written(tmp_path / "f", a=pa.array([2.0**63, 2.0**64, -(2.0**70)]))
    found = [json.loads(text)["a"] for text in texts(path, a="Int256")]
    assert found == [2**63, 2**64, -(2**70)]


def test_a_field_that_a_struct_has_twice_is_refused_before_a_row_is_sent(tmp_path: Path) -> None:
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])
    for column in (twice, pa.ListArray.from_arrays([0, 1], twice)):
        path = written(tmp_path / "f", a=column)
        with pytest.raises(ConfigError, match="two fields in the column 'a' are named 'x'"):
            texts(path)


def test_bytes_become_what_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "a", n=[1, 2, 3], v=[b"\xff\x00", b"ok", b"x"])
    with open_records([path]) as records:
        assert [each.origin for each in records] == [f"{path}, row 2", f"{path}, row 3"]
    (example,) = records.unsendable.examples
    assert example.startswith(f"{path}, row 1: column 'v': bytes that are not UTF-8")
    assert texts(path, Reading(binary="base64"))[0] == '{"n":1,"v":"/wA="}'
    assert texts(path, Reading(binary="hex"))[:2] == ['{"n":1,"v":"ff00"}', '{"n":2,"v":"6f6b"}']


def test_many_rows_keep_their_order_and_keys(tmp_path: Path, drain: Drain) -> None:
    pq.write_table(
        pa.table({"k": range(10_000), "t": ["x"] * 10_000}), tmp_path / "a", row_group_size=3000
    )
    source = file_source([str(tmp_path / "a")], Pipeline(fields={"k": "UInt32"}), key="k")
    records = drain(source, 999)
    assert [(key, value) for key, value, _, _ in records] == [
        (b"%d" % n, b'{"k":%d,"t":"x"}' % n) for n in range(10_000)
    ]
    size = source.size_hint()
    assert size is not None
    assert size[0] == size[1]


def test_packed_and_from_a_pipe(tmp_path: Path, drain: Drain) -> None:
    data = Path(written(tmp_path / "a", id=[1, 2])).read_bytes()
    packed = tmp_path / "b"
    packed.write_bytes(gzip.compress(data))
    assert texts(str(packed)) == ['{"id":1}', '{"id":2}']
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    assert texts(str(tmp_path / "pipe")) == ['{"id":1}', '{"id":2}']
    writer.join()


def test_a_full_disk_ends_the_temporary_file_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drain: Drain
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    packed = tmp_path / "b"
    packed.write_bytes(gzip.compress(Path(written(tmp_path / "a", id=[1, 2])).read_bytes()))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full.open("wb"))
    source = file_source([str(packed)], Pipeline(fields={"id": "UInt8"}))
    with pytest.raises(NrtctlError, match=r"temporary file in .*: No space left on device"):
        drain(source)


def test_names_that_are_no_text_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "a"
    pq.write_table(pa.table({"column": [1]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"column", b"\xff" * 6))
    with pytest.raises(ConfigError, match="damaged Parquet file"):
        texts(str(path))


def test_what_cannot_be_read(tmp_path: Path, write: Write) -> None:
    good = Path(written(tmp_path / "a", id=list(range(50_000)))).read_bytes()
    with pytest.raises(ConfigError, match="is a damaged Parquet file"):
        texts(write(good[:-100]))
    broken = bytearray(good)
    broken[100:5000] = bytes(4900)
    with pytest.raises(NrtctlError, match="cannot be read any further"):
        texts(write(bytes(broken)))
    with pytest.raises(ConfigError, match="no column 'k' for the key"):
        file_source([str(tmp_path / "a")], Pipeline(fields={"id": "UInt8"}), key="k")
    with pytest.raises(ConfigError, match="is not a Parquet file"):
        texts(write(b"{}\n"), Reading("parquet"))


ROWS = pa.table(
    {
        "id": pa.array([2**60, None]),
        "at": pa.array([NOON, None], pa.timestamp("us", "UTC")),
        "map": pa.array([[("a", Decimal("1.50"))], []], pa.map_(pa.string(), pa.decimal128(9, 2))),
    }
)


def _stream(path: str) -> None:
    with pa.OSFile(path, "wb") as out, pa.ipc.new_stream(out, ROWS.schema) as to:
        to.write(ROWS)


def _file(path: str) -> None:
    with pa.OSFile(path, "wb") as out, pa.ipc.new_file(out, ROWS.schema) as to:
        to.write(ROWS)


@pytest.mark.parametrize(
    "write_to",
    [
        _stream,
        _file,
        lambda path: feather.write_feather(ROWS, path),
        lambda path: orc.write_table(ROWS, path),
        lambda path: pq.write_table(ROWS, path),
    ],
    ids=["stream", "file", "feather", "orc", "parquet"],
)
def test_the_relatives_of_parquet_hold_the_same(
    tmp_path: Path, write_to: Callable[[str], None]
) -> None:
    path = tmp_path / "a"
    write_to(str(path))
    packed = tmp_path / "b.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for each in (path, packed):
        first, second = (json.loads(text) for text in texts(str(each)))
        assert first["at"].startswith("2026-01-31 12:00:00.0015")
        assert {**first, "at": None} == {"id": 2**60, "at": None, "map": {"a": 1.5}}
        assert second == {"id": None, "at": None, "map": {}}
    with open_records([str(path)]) as records:
        next(records)
        assert records.found[0].types[("map",)] == "Map"
        assert records.found[0].types[("map", "*")] == "Decimal(9, 2)"
        assert records.found[0].types[("id",)] == "Int64"
    for cut, what in ((path.read_bytes()[:-30], ".*"), (b"ARROW1\0\0", "damaged Arrow file")):
        path.write_bytes(cut)
        with pytest.raises(NrtctlError, match=what):
            texts(str(path))


def test_large_batches_come_in_pieces(tmp_path: Path, drain: Drain) -> None:
    path = tmp_path / "a"
    rows = pa.table({"id": list(range(5_000))})
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, rows.schema) as to:
        to.write_table(rows)
    source = file_source([str(path)], Pipeline(fields={"id": "UInt32"}))
    assert [value for _, value, *_ in drain(source)] == [b'{"id":%d}' % at for at in range(5_000)]


def test_a_named_kind_must_be_the_files(tmp_path: Path) -> None:
    path = written(tmp_path / "a", id=[1])
    with pytest.raises(ConfigError, match="is a Parquet file") as wrong:
        texts(path, Reading("avro"))
    assert wrong.value.hint == "leave out --format avro"


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path) -> None:
    path = written(tmp_path / "a", id=[1])
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from nrtctl.errors import ConfigError\n"
        "from nrtctl.producer.sources.files import open_records\n"
        f"try: next(open_records([{path!r}]))\n"
        "except ConfigError as error: print(error, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert "needs pyarrow" in done.stdout
    assert "nrtctl[parquet]" in done.stdout


def test_other_kinds_do_not_import_it(write: Write) -> None:
    code = (
        "import sys\n"
        "from nrtctl.producer.sources.files import open_records\n"
        f"print(len(list(open_records([{write(b'[{}]')!r}]))), 'pyarrow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "1 False\n"


def test_the_file_is_json_all_through(tmp_path: Path) -> None:
    path = written(tmp_path / "a", v=pa.array([[1.5, float("nan")]] * 3000))
    assert {json.dumps(json.loads(text)) for text in texts(path)} == {'{"v": [1.5, "nan"]}'}
