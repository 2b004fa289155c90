"""`compress=1` and `decompress=1`: ClickHouse's own compressed blocks, both ways."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable

import lz4.block
import pytest
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from nrtctl.local.front.blocks import MOST_OF_A_BLOCK, BlockDecoder, compressed
from nrtctl.local.front.compression import BadBody
from tests.plugins.clickhouse_front import ClickHouseFront

# A block that a server made: Native, one column `s` of String, one row 'abc'.
OF_A_SERVER = bytes.fromhex(
    "f505deebe19e3b6ce11f41d74242245c822200000017000000"
    "f0080100 02ffffffff000101017306537472696e6703616263"
)
ITS_DATA = b"\x01\x00\x02\xff\xff\xff\xff\x00\x01\x01\x01s\x06String\x03abc"

METHODS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "LZ4": (0x82, lambda data: lz4.block.compress(data, store_size=False)),
    "ZSTD": (0x90, zstandard.ZstdCompressor().compress),
    "ZSTD without its size": (
        0x90, zstandard.ZstdCompressor(write_content_size=False).compress,
    ),
    "NONE": (0x02, bytes),
}  # fmt: skip


def block(method: int, body: bytes, plain: int, size: int | None = None) -> bytes:
    rest = struct.pack("<BII", method, len(body) + 9 if size is None else size, plain) + body
    whole = CityHash128(rest)
    return struct.pack("<QQ", whole >> 64, whole & (2**64 - 1)) + rest


def opened(data: bytes) -> bytes:
    decoder = BlockDecoder()
    found = b"".join(decoder.feed(data))
    decoder.finish()
    return found


@pytest.fixture
def table(clickhouse_front: ClickHouseFront) -> str:
    name = f"t{uuid.uuid4().hex}"
    clickhouse_front.sql(f"CREATE TABLE {name} (a UInt64) ENGINE = MergeTree ORDER BY a")
    return name


def test_a_block_of_a_server_is_read() -> None:
    assert opened(OF_A_SERVER) == ITS_DATA


@pytest.mark.parametrize("step", [1, 24, 25, 26, 1000, 2**21])
def test_blocks_that_come_in_pieces(step: int) -> None:
    data = bytes(range(256)) * 5000
    sent = compressed(data) + compressed(b"the end")
    decoder = BlockDecoder()
    found = [p for at in range(0, len(sent), step) for p in decoder.feed(sent[at : at + step])]
    decoder.finish()
    assert b"".join(found) == data + b"the end"


@pytest.mark.parametrize("method", METHODS)
def test_an_insert_of_blocks(clickhouse_front: ClickHouseFront, table: str, method: str) -> None:
    number, compress = METHODS[method]
    lines = "".join(f"{n}\n" for n in range(300_000)).encode()
    statement = f"INSERT INTO {table} FORMAT TSV\n".encode()
    body = b"".join(
        block(number, compress(part), len(part)) for part in (statement, lines[:99], lines[99:])
    )
    clickhouse_front.sql(body, decompress=1)
    assert clickhouse_front.sql(f"SELECT count(), sum(a) FROM {table}") == "300000\t44999850000"
    clickhouse_front.sql(compressed(b"7\n"), query=f"INSERT INTO {table} FORMAT TSV", decompress=1)
    assert clickhouse_front.sql(f"SELECT count() FROM {table}") == "300001"


def test_an_answer_of_blocks(clickhouse_front: ClickHouseFront) -> None:
    wanted = "".join(f"{n}\n" for n in range(500_000))
    answer = clickhouse_front.request("SELECT number FROM numbers(500000)", compress=1)
    assert answer.status == 200
    assert "content-encoding" not in answer.headers
    assert opened(answer.body).decode() == wanted
    both = clickhouse_front.request(
        "SELECT number FROM numbers(500000)",
        headers={"Accept-Encoding": "zstd"},
        compress=1,
        enable_http_compression=1,
    )
    assert both.headers["content-encoding"] == "zstd"
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(both.body)
    assert opened(plain).decode() == wanted
    assert clickhouse_front.request("SELECT 1", compress=0).body == b"1\n"
    assert clickhouse_front.request("SELECT 1 WHERE 0", compress=1).body == b""


def test_an_error_is_a_block_too_but_for_who_was_not_let_in(
    clickhouse_front: ClickHouseFront,
) -> None:
    answer = clickhouse_front.request("SELECT nothing", compress=1)
    assert (answer.status, answer.code) == (404, 47)
    assert b"UNKNOWN_IDENTIFIER" in opened(answer.body)
    late = "SELECT throwIf(number = 400000, 'too far') FROM numbers(500000) SETTINGS max_threads=1"
    answer = clickhouse_front.request(late, compress=1)
    assert answer.status == 200
    assert b"too far" in opened(answer.body)
    stranger = {"X-ClickHouse-Key": "wrong"}
    answer = clickhouse_front.request("SELECT 1", headers=stranger, compress=1)
    assert (answer.status, answer.code) == (403, 516)
    assert b"AUTHENTICATION_FAILED" in answer.body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\0" + OF_A_SERVER[1:], "checksum"),
        (OF_A_SERVER[:-1], "cut off"),
        (OF_A_SERVER[:20], "cut off"),
        (b"SELECT 1", "cut off"),
        (block(0x82, b"x", 5, size=3), "3 bytes"),
        (block(0x82, b"x", MOST_OF_A_BLOCK + 1), f"{MOST_OF_A_BLOCK}"),
        (block(0x82, b"x", 5, size=2**32 - 1), f"{MOST_OF_A_BLOCK}"),
        (block(0x82, b"\xff" * 20, 500), "decompress"),
        (block(0x90, b"\xff" * 20, 500), "decompress"),
        (block(0x90, zstandard.ZstdCompressor().compress(b"x" * 2**20), 5), "1048576 bytes"),
        (block(0x02, b"abc", 5), "holds 3"),
        (block(0x91, b"abc", 3), "0x91"),
    ],
)
def test_what_is_no_block_is_refused(
    clickhouse_front: ClickHouseFront, body: bytes, said: str
) -> None:
    with pytest.raises(BadBody, match=said):
        opened(body)
    answer = clickhouse_front.request(body, decompress=1)
    assert answer.status in {400, 500}
    assert answer.code in {40, 271}
    assert said in answer.text


def test_a_wrong_checksum_may_be_overlooked(clickhouse_front: ClickHouseFront) -> None:
    body = bytes(16) + compressed(b"SELECT 1")[16:]
    assert clickhouse_front.request(body, decompress=1).code == 40
    unchecked = {"http_native_compression_disable_checksumming_on_decompress": 1}
    assert clickhouse_front.sql(body, decompress=1, **unchecked) == "1"


@pytest.mark.parametrize("most", [2**22, pytest.param(2**30, marks=pytest.mark.long)])
def test_a_body_may_not_grow_beyond_bounds(
    make_clickhouse_front: Callable[..., ClickHouseFront], most: int
) -> None:
    front = make_clickhouse_front("--max-body-bytes", str(most))
    size = min(MOST_OF_A_BLOCK, most // 4)
    body = block(0x82, lz4.block.compress(bytes(size), store_size=False), size) * (most // size + 4)
    assert len(body) < most
    answer = front.request(body, query="INSERT INTO nothing FORMAT RowBinary", decompress=1)
    assert (answer.status, answer.code) == (413, 307)


def test_whether_a_result_is_in_blocks_is_a_number(clickhouse_front: ClickHouseFront) -> None:
    assert clickhouse_front.request("SELECT 1", compress="yes").code == 36


def test_statements_of_any_bytes(clickhouse_front: ClickHouseFront) -> None:
    assert clickhouse_front.sql(b"SELECT length('\xff\xfe')") == "2"
    assert clickhouse_front.request(b"SELECT '\xff'").body == b"\xff\n"


def test_only_a_result_has_a_format(clickhouse_front: ClickHouseFront, table: str) -> None:
    for sql in (
        f"DROP TABLE IF EXISTS {table}x", "SET max_threads = 1", f"TRUNCATE TABLE {table}",
        f"ALTER TABLE {table} ADD COLUMN b String", f"OPTIMIZE TABLE {table}",
        f"INSERT INTO {table} (a) SELECT 1",
    ):  # fmt: skip
        answer = clickhouse_front.request(sql)
        assert answer.status == 200, answer.text
        assert "x-clickhouse-format" not in answer.headers, sql
    for sql in ("SELECT 1 WHERE 0", "SHOW TABLES LIKE 'nothing'", f"EXISTS TABLE {table}x"):
        assert clickhouse_front.request(sql).headers["x-clickhouse-format"] == "TabSeparated", sql
