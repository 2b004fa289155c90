"""Bodies of several parts: parameters, and data for a statement as temporary tables."""

from __future__ import annotations

import gzip
import uuid
from typing import Any

import pytest
from clickhouse_connect.driver.external import ExternalData

from tests.plugins.clickhouse_front import Answer, ClickHouseFront

BOUNDARY = "b0undary"
TYPE = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def body(fields: dict[str, str], files: dict[str, bytes] | None = None) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, data in (files or {}).items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n'
        parts.append(f"{head}Content-Type: text/plain\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture
def post(clickhouse_front: ClickHouseFront) -> Any:
    def send(fields: dict[str, str], files: dict[str, bytes] | None = None, **url: Any) -> Answer:
        return clickhouse_front.request(body(fields, files), headers=TYPE, **url)

    return send


def test_the_statement_its_parameters_and_settings_in_parts(post: Any) -> None:
    answer = post({"query": "SELECT {n:UInt8} + 1", "param_n": "3", "max_threads": "1"})
    assert (answer.status, answer.text) == (200, "4\n")
    long = "x" * 300_000
    assert post({"param_s": long}, query="SELECT length({s:String})").text == "300000\n"
    assert post({"query": "SELECT 1", "no_such_setting": "1"}).code == 115


def test_data_for_a_statement(post: Any, clickhouse_front: ClickHouseFront) -> None:
    lines = "".join(f'{n},"{n}"\n' for n in range(100_000)).encode()
    sql = "SELECT count(), sum(a), max(b) FROM ext"
    shape = {"ext_structure": "a UInt64, b String", "ext_format": "CSV"}
    assert post(shape, {"ext": lines}, query=sql).text == "100000\t4999950000\t99999\n"
    assert post({"query": sql}, {"ext": lines}, **shape).text == "100000\t4999950000\t99999\n"
    two = {"a": b"1\t2\n", "b": b"1\t3\n"}
    joined = "SELECT a._2 + b._2 FROM a JOIN b USING (_1)"
    types = {"a_types": "UInt8,UInt8", "b_types": "UInt8,Decimal(9, 2)"}
    assert post({"query": joined, **types}, two).text == "5\n"
    assert post({"query": joined, **types}, two, readonly=1).text == "5\n"
    assert clickhouse_front.request("SELECT * FROM ext").code == 60


def test_data_for_a_table_come_once(clickhouse_front: ClickHouseFront) -> None:
    end = f"--{BOUNDARY}--\r\n".encode()
    twice = body({}, {"x": b"1\n"}).removesuffix(end) + body({}, {"x": b"2\n"})
    sql = "SELECT * FROM x"
    answer = clickhouse_front.request(twice, headers=TYPE, query=sql, x_structure="a Int8")
    assert (answer.code, "two parts" in answer.text) == (36, True)


def test_data_in_a_session_are_gone_with_the_statement(post: Any) -> None:
    session = uuid.uuid4().hex
    shape = {"query": "SELECT sum(a) FROM ext", "ext_structure": "a UInt64"}
    for _ in range(2):
        assert post(shape, {"ext": b"1\n2\n"}, session_id=session).text == "3\n"
    assert post({"query": "SELECT * FROM ext"}, session_id=session).code == 60


@pytest.mark.parametrize(
    ("fields", "files", "code"),
    [
        ({"query": "SELECT 1"}, {"ext": b"1\n"}, 36),
        ({"query": "SELECT 1", "ext_structure": "a Nothing such"}, {"ext": b"1\n"}, 62),
        ({"query": "SELECT 1", "ext_structure": "a UInt8) ENGINE = File(CSV"}, {"ext": b"1"}, 497),
        ({"query": "SELECT 1", "ext_structure": "a String DEFAULT file('x')"}, {"ext": b"1"}, 497),
        ({"query": "SELECT 1", "ext_structure": "a UInt8); DROP TABLE x; --"}, {"ext": b"1"}, 36),
        ({"query": "SELECT 1", "x_structure": "a UInt8", "x_format": "Values"}, {"x": b"(1)"}, 36),
        ({"query": "SELECT 1", "ext_structure": "a UInt8", "ext_format": "No"}, {"ext": b"1"}, 73),
        ({"query": "SELECT sum(a) FROM ext", "ext_structure": "a UInt8"}, {"ext": b"x\n"}, 27),
        ({"query": "INSERT INTO t FORMAT TSV\n1"}, {}, 36),
    ],
)
def test_what_is_refused(
    post: Any, fields: dict[str, str], files: dict[str, bytes], code: int
) -> None:
    answer = post(fields, files)
    assert answer.code == code, answer.text


def test_a_body_that_is_no_form(clickhouse_front: ClickHouseFront) -> None:
    for data, kind in (
        (b"nothing", TYPE["Content-Type"]),
        (body({"query": "SELECT 1"})[:-9], TYPE["Content-Type"]),
        (body({"query": "SELECT 1"}), "multipart/form-data"),
        (body({f"param_{n}": "1" for n in range(1001)}), TYPE["Content-Type"]),
        (body({"param_x": "x" * (2**20 + 1)}), TYPE["Content-Type"]),
        (b"--b0undary\r\n\r\nx\r\n--b0undary--\r\n", TYPE["Content-Type"]),
    ):
        answer = clickhouse_front.request(data, headers={"Content-Type": kind})
        assert answer.status == 400, (data[:60], answer.text)
    packed = gzip.compress(body({"query": "SELECT 7"}))
    headers = {**TYPE, "Content-Encoding": "gzip"}
    assert clickhouse_front.request(packed, headers=headers).text == "7\n"


def test_the_python_client(clickhouse_front: ClickHouseFront) -> None:
    client = clickhouse_front.client(form_encode_query_params=True)
    try:
        data = ExternalData(
            file_name="people.csv", fmt="CSV", structure="name String, age UInt8",
            data=b"ann,31\nbob,42\n",
        )  # fmt: skip
        found = client.query("SELECT name FROM people WHERE age > 40", external_data=data)
        assert found.result_rows == [("bob",)]
        assert client.query("SELECT {v:String}", parameters={"v": "x" * 100_000}).first_row == (
            "x" * 100_000,
        )
    finally:
        client.close()
