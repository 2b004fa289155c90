"""What memory the process takes. With `pytest -s` it prints the figures of docs/local-stack.md."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.clickhouse_front import ClickHouseFront

MiB = 2**20
BETWEEN = pytest.param(1024 * MiB, marks=pytest.mark.long)
ROWS = 100_000
FIELDS = "event_id String, kind String, at Int64, latency UInt32, status String"


def memory(front: ClickHouseFront, name: str = "VmRSS") -> int:
    """Bytes of the process: VmRSS now, VmHWM at its highest."""
    assert front.process is not None
    lines = Path(f"/proc/{front.process.pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def chain(front: ClickHouseFront) -> None:
    """As the pipeline's: a landing that stores nothing, its JSON parsed, a table with a rollup."""
    front.sql("CREATE TABLE landing (value String) ENGINE = Null")
    front.sql(
        f"CREATE TABLE events ({FIELDS}, PROJECTION r (SELECT kind, count(), avg(latency),"
        " quantiles(0.5, 0.95)(latency) GROUP BY kind)) ENGINE = MergeTree ORDER BY at"
    )
    front.sql(
        "CREATE MATERIALIZED VIEW parsed TO events AS SELECT tupleElement(v, 1) AS event_id,"
        " v.2 AS kind, v.3 AS at, v.4 AS latency, v.5 AS status FROM (SELECT JSONExtract(value,"
        f" 'Tuple({FIELDS})') AS v FROM landing)"
    )


def lines(count: int) -> bytes:
    """Messages of about 300 bytes."""
    made = (
        {"event_id": f"{n:032x}", "kind": f"k{n % 5}", "at": n, "latency": n % 997,
         "status": "SUCCESS", "padding": "x" * 170}
        for n in range(count)
    )  # fmt: skip
    return b"\n".join(json.dumps(row).encode() for row in made)


def insert_at_once(front: ClickHouseFront, data: bytes, *, clients: int, rounds: int) -> int:
    """Inserts that were acknowledged, of `clients` × `rounds`."""
    done: list[int] = []

    def client() -> None:
        for _ in range(rounds):
            answer = front.request(data, query="INSERT INTO landing FORMAT LineAsString")
            assert answer.status == 200 or answer.code == 241, answer.text
            if answer.status == 200:
                done.append(1)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(done)


@pytest.mark.parametrize(
    "limit", [512 * MiB, BETWEEN, pytest.param(4096 * MiB, marks=pytest.mark.long)]
)
def test_inserts_at_once(make_clickhouse_front: Callable[..., ClickHouseFront], limit: int) -> None:
    front = make_clickhouse_front("--max-memory", str(limit))
    chain(front)
    whole = lines(ROWS)
    print(f"\nmax_memory {limit // MiB} MiB: started {memory(front) // MiB} MiB", end="")
    stored = 0
    for rows, clients, rounds in ((500, 4, 10), (20_000, 4, 4), (100_000, 4, 2)):
        data = b"\n".join(whole.split(b"\n", rows)[:rows])
        done = insert_at_once(front, data, clients=clients, rounds=rounds)
        stored += rows * done
        print(
            f"; {clients} × {rows} rows {memory(front, 'VmHWM') // MiB} MiB"
            f" ({done} of {clients * rounds} acknowledged)",
            end="",
        )
    print()
    assert front.sql("SELECT count() FROM events") == str(stored)
    assert done


@pytest.mark.parametrize("limit", [512 * MiB, BETWEEN])
def test_max_memory_is_about_the_process(
    make_clickhouse_front: Callable[..., ClickHouseFront], limit: int
) -> None:
    """Each query alone would take more."""
    front = make_clickhouse_front("--max-memory", str(limit))
    codes: list[int] = []
    sql = "SELECT length(groupArray(number)) FROM numbers(400000000)"
    threads = [
        threading.Thread(target=lambda: codes.append(front.request(sql).code)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"\nmax_memory {limit // MiB} MiB: highest {memory(front, 'VmHWM') // MiB} MiB")
    assert codes == [241] * 4
    assert memory(front, "VmHWM") < limit * 3 // 2
    assert front.sql("SELECT 1") == "1"


def test_a_long_answer_is_not_held(make_clickhouse_front: Callable[..., ClickHouseFront]) -> None:
    """250 MB, read as it comes."""
    front = make_clickhouse_front()
    front.sql("SELECT number, toString(number) FROM numbers(1000000) FORMAT TSV")
    before = memory(front, "VmHWM")
    connection = front.connection()
    headers = {"X-ClickHouse-Key": front.password}
    sql = "SELECT repeat('x', 100) FROM numbers(2500000) FORMAT TSV"
    connection.request("POST", "/", sql, headers)
    answer = connection.getresponse()
    size = 0
    while piece := answer.read(MiB):
        size += len(piece)
    connection.close()
    grown = memory(front, "VmHWM") - before
    print(f"\nan answer of {size // MiB} MiB: {grown // MiB} MiB more")
    assert size == 2_500_000 * 101
    assert grown < 128 * MiB
