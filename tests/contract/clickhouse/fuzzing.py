"""Mutated requests on the front's port: `python -m tests.contract.clickhouse.fuzzing`.

The short form is a test (`test_fuzz.py`); the long one is run by hand before a release: 20,000
requests for each of ten seeds, each on a front of its own. What must hold: the front answers after
every request, nothing is answered by 500 but what ClickHouse answers so, no header is smuggled in,
its memory grows by a bounded amount, and what was stored before is there.
"""

from __future__ import annotations

import argparse
import base64
import random
import socket
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.contract.clickhouse.test_http import COMPRESS
from tests.plugins.clickhouse_front import ClickHouseFront, LocalServer

WITHIN = 60.0
"""Seconds that a connection may take to be answered or closed, once nothing more is sent."""
MAX_GROWTH = 200 * 2**20

STATEMENTS = [
    b"SELECT 1", b"SELECT count() FROM kept WHERE b = 'x'", b"SELECT {a:String}",
    b"SELECT * FROM kept LIMIT 3 FORMAT JSONEachRow", b"INSERT INTO nope FORMAT TSV\n1\t2\n",
    b"INSERT INTO victim VALUES (1, 'a'), (2, upper('b'))", b"WITH 1 AS x SELECT x",
    b"INSERT INTO victim FORMAT RowBinary\n\x01\x01a", b"EXPLAIN SELECT 1", b"SHOW TABLES",
    b"SELECT 'a\\'b', `x`, $$h$$ /* c /* d */ */ -- e\n, x'41'", b"SELECT (((((((1)))))))",
    b"SELECT number FROM numbers(10) SETTINGS max_threads = 1", b"SELECT [1, 2], (3, 4), map(1, 2)",
    "SELECT\u00a01\u3000AS “x” // ‘y’".encode(), b"KILL QUERY WHERE query_id = 'x'",
]  # fmt: skip
HEADERS = [
    b"Content-Encoding: gzip", b"Content-Encoding: zstd", b"Content-Encoding: lz4",
    b"Content-Encoding: xz", b"Content-Encoding: bz2", b"Content-Encoding: snappy",
    b"Content-Encoding: br", b"Transfer-Encoding: chunked", b"Content-Length: 5",
    b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Expect: 100-continue",
    b"Origin: http://other.example", b"Host: other.example", b"X-ClickHouse-User: \xff\xfe",
    b"X-ClickHouse-Key: \x80", b"X-ClickHouse-Database: a`b", b"X-ClickHouse-Format: \xff",
    b"Authorization: Basic !!!!", b"Authorization: Basic /////w==",
    b"Connection: Upgrade\r\nUpgrade: h2c", b"Accept-Encoding: zstd;q=0, lz4",
    b"Range: bytes=0-", b"Sec-Fetch-Site: cross-site", b"Cookie: " + b"a" * 5000,
]  # fmt: skip
PARAMETERS = [
    b"query_id=%FF%00%0d%0aX: y", b"session_id=s", b"session_id=s&session_timeout=nan",
    b"session_timeout=-1&session_id=t", b"session_id=u&session_timeout=1e400", b"database=x%60y",
    b"default_format=%0d%0aX: y", b"max_threads=%27", b"readonly=1", b"readonly=2",
    b"param_a=%FF", b"wait_end_of_query=1", b"enable_http_compression=1", b"compress=1",
    b"decompress=1", b"decompress=1&compress=1",
    b"%FF=1", b"a" * 3000 + b"=1", b"user=x", b"password=%FF", b"query=SELECT%C2%A01",
    b"param_=x", b"log_comment=%00", b"buffer_size=x",
]  # fmt: skip
PIECES = (
    b"\0", b"\xff", b"'", b"`", b"(", b")", b";", b"\\", b"$$", b"/*", b"{", b"}", b"\r\n",
    b"\xc2\xa0", b"//", b"x'", b"\xe2\x80\x98",
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        if not found:
            break
        at, kind = chance.randrange(len(found)), chance.randrange(5)
        if kind == 0:
            found[at] = chance.randrange(256)
        elif kind == 1:
            found[at : at + 1] = chance.choice(PIECES)
        elif kind == 2:
            del found[at : at + chance.randrange(1, 6)]
        elif kind == 3:
            found[at:at] = chance.randbytes(chance.randrange(1, 6))
        else:
            del found[at:]
    return bytes(found)


def attempt(front: ClickHouseFront, chance: random.Random) -> bytes:
    """What one connection sends: mostly a request, mutated in its statement or as a whole."""
    if chance.random() < 0.03:
        return chance.randbytes(chance.randrange(1, 300))
    statement = mutated(chance.choice(STATEMENTS), chance)
    heads = [b"Host: 127.0.0.1:%d" % front.port]
    if chance.random() < 0.85:
        login = base64.b64encode(f"default:{front.password}".encode())
        heads.append(b"Authorization: Basic " + login)
    heads += chance.sample(HEADERS, chance.choice((0, 0, 0, 1, 2)))
    body = statement
    for head in heads:
        compress = COMPRESS.get(head.removeprefix(b"Content-Encoding: ").decode(errors="replace"))
        if compress is not None and chance.random() < 0.7:
            body = mutated(compress(statement), chance)
    if not any(b"Content-Length" in head or b"chunked" in head for head in heads):
        heads.append(b"Content-Length: %d" % len(body))
    target = b"&".join(chance.sample(PARAMETERS, chance.choice((0, 0, 1, 2))))
    method = chance.choice((b"POST", b"POST", b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"))
    lines = [method + b" /?" + target + b" HTTP/1.1", *heads, b"Connection: close", b"", body]
    request = b"\r\n".join(lines)
    return mutated(request, chance) if chance.random() < 0.15 else request


@dataclass(slots=True)
class Outcome:
    statuses: Counter[str] = field(default_factory=Counter)
    growth: int = 0
    descriptors: int = 0
    slowest: float = 0.0


def _process(front: LocalServer) -> Path:
    assert front.process is not None
    return Path(f"/proc/{front.process.pid}")


def resident(front: LocalServer) -> int:
    return int((_process(front) / "statm").read_text().split()[1]) * 4096


def send(front: LocalServer, data: bytes) -> bytes:
    """What came back until the server closed. Raises OSError: it did not in time."""
    said = bytearray()
    with socket.create_connection(("127.0.0.1", front.port), timeout=WITHIN) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                said += part
        except (BrokenPipeError, ConnectionResetError):
            pass
    return bytes(said)


KEPT = "SELECT count(), sum(a), groupBitXor(cityHash64(b)) FROM kept"


def run(front: ClickHouseFront, count: int, seed: int) -> Outcome:
    """Send `count` attempts. Raises OSError or AssertionError where something does not hold."""
    chance, outcome = random.Random(seed), Outcome()
    for name in ("kept", "victim"):
        front.sql(
            f"CREATE TABLE IF NOT EXISTS {name} (a Int8, b String) ENGINE = MergeTree ORDER BY a"
        )
        front.sql(f"INSERT INTO {name} SELECT number, toString(number) FROM numbers(100)")
    kept, before = front.sql(KEPT), resident(front)
    for number in range(count):
        data = attempt(front, chance)
        began = time.monotonic()
        said = send(front, data)
        outcome.slowest = max(outcome.slowest, time.monotonic() - began)
        outcome.statuses[said[9:12].decode("latin-1")] += 1
        head = said.partition(b"\r\n\r\n")[0].lower()
        assert b"\r\nx: y" not in head, data
        assert not (said[9:12] == b"500" and b"x-clickhouse-exception-code" not in head), data
        if number % 100 == 0:
            outcome.growth = max(outcome.growth, resident(front) - before)
            open_files = len(list((_process(front) / "fd").iterdir()))
            outcome.descriptors = max(outcome.descriptors, open_files)
            assert front.sql("SELECT 1") == "1"
    assert front.sql(KEPT) == kept
    assert outcome.growth < MAX_GROWTH
    front.restart()
    assert front.sql(KEPT) == kept
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 11)))
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as directory:
            front = ClickHouseFront(Path(directory) / "front")
            front.start()
            try:
                outcome = run(front, arguments.requests, seed)
            finally:
                front.kill()
        print(
            f"seed {seed}: {dict(outcome.statuses)}, memory at most "
            f"{outcome.growth / 2**20:.0f} MiB over idle, {outcome.descriptors} descriptors, "
            f"slowest {outcome.slowest:.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
