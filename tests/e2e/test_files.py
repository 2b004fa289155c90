"""Files as people have them, sent by `produce`, and the rows that they become."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import re
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.plugins.stack import Project

PIPELINE = """
[pipeline]
topic = "sales"
partitions = 1
table = "sales"
key = "id"
order_by = ["id"]

[pipeline.fields]
id = { type = "UInt32", from = "Order ID" }
name = "String"
price = "Nullable(Decimal(10, 2))"
"""
EXPORT = "Order ID;name;price\r\n1;Müller, Söhne;1.234,56\r\n2;;0,99\r\n"
ROWS = [("1", "Müller, Söhne", "1234.56"), ("2", "", "0.99"), ("3", 'say "hi"\nthere', None)]


@pytest.fixture
def sales(stack: Project) -> Project:
    settings = stack.directory / "nrtctl.toml"
    others = re.sub(r"(?ms)^\[pipeline.*?(?=^\[(?!pipeline)|\Z)", "", settings.read_text())
    settings.write_text(others + PIPELINE)
    stack.run("up")
    return stack


def objects() -> list[bytes]:
    found = []
    for number, name, price in ROWS:
        value = "null" if price is None else price
        found.append(f'{{"Order ID": {number}, "name": {json.dumps(name)}, "price": {value}}}')
    return [each.encode() for each in found]


def stored(project: Project) -> list[tuple[str, str, str | None]]:
    rows = project.rows(
        "SELECT toString(id) AS i, name, toString(price) AS p FROM sales ORDER BY _offset"
    )
    return [(row["i"], row["name"], row["p"]) for row in rows]


def test_every_kind_of_file_becomes_the_rows_that_it_holds(sales: Project) -> None:
    folder = sales.directory / "in"
    folder.mkdir()
    lines = b"\r\n".join(objects())
    array = b"[\n" + b",\n".join(objects()) + b"\n]"
    pretty = "\n".join(json.dumps(json.loads(each), indent=1) for each in objects()).encode()
    quoted = 'Order ID,name,price\n3,"say ""hi""\nthere",\n'
    indexed = ',Order ID,name,price,\n0,1,"Müller, Söhne",1234.56,\n'
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("quoted.csv", quoted)
    files = {
        "01": gzip.compress(lines) + gzip.compress(b""),
        "02.jsonl": lines.decode().encode("utf-16"),
        "03.json": array,
        "04.json.gz": bz2.compress(pretty),
        "05.csv": b"\xef\xbb\xbf" + indexed.encode(),
        "06.tsv": b"Order ID\tname\tprice\n2\t\t0.99\n",
        "07.zip": made.getvalue(),
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).write_bytes(data)
    columns = {"Order ID": pa.array([1, 2, 3], pa.int64()), "name": [name for _, name, _ in ROWS]}
    prices = pa.array([1234.56, 0.99, None]).cast(pa.decimal128(10, 2))
    pq.write_table(pa.table({**columns, "price": prices}), folder / "08.parquet")
    (sales.directory / "export.csv").write_text(EXPORT, encoding="cp1252", newline="")

    assert sales.json("produce", "--input", "in", "in/0*")["acknowledged"] == 18
    sent = sales.json("produce", "--input", "export.csv", "--encoding", "cp1252", "--decimal-comma")
    assert (sent["acknowledged"], sent["failed"]) == (2, 0)
    sales.run("consume", "--until-end")
    assert stored(sales) == [*ROWS * 4, *ROWS, *ROWS, *ROWS[:2]]
    assert sales.value("SELECT count() FROM dead_letters") == 0


def test_a_file_that_is_cut_short_says_what_was_sent(sales: Project) -> None:
    whole = gzip.compress(b"\n".join(objects()) + b"\n")
    (sales.directory / "cut.jsonl.gz").write_bytes(whole[:-6])
    failed = sales.run("produce", "--input", "cut.jsonl.gz", code=1)
    assert b"sent 3, acknowledged 3" in failed.stdout
    said = " ".join(failed.stderr.decode().split())
    assert "its gzip data ends in the middle, so the file is incomplete" in said
    assert "3 messages were sent before that" in said


def test_what_cannot_be_sent_is_refused_before_anything_is(sales: Project) -> None:
    (sales.directory / "good.jsonl").write_bytes(objects()[0])
    for name, data, said in (
        ("a.csv", b"Order ID,name,price\n1,a,1\n2,b\n", "a.csv, line 3: 2 cells"),
        ("a.csv", EXPORT.encode("cp1252"), "give --encoding cp1252"),
        ("a.jsonl", b"PAR1 and then nothing", "a.jsonl is a damaged Parquet file"),
        ("a.json", b'[{"Order ID": 1},\n{"Order ID": 2}\n', "in the middle of an array"),
        ("a", b"some words\nof a text\n", "neither JSON, nor CSV, nor Parquet"),
    ):
        (sales.directory / name).write_bytes(data)
        refused = sales.run("produce", "--input", "good.jsonl", "--input", name, code=2)
        assert refused.stdout == b""
        assert said in " ".join(refused.stderr.decode().split())
    assert sales.json("stats", "--once")["lag_records"] == 0
