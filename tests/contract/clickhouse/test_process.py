"""The front as a process: who may start it, what it survives, how it ends."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.clickhouse_front import Answer, ClickHouseFront
from tests.plugins.waiting import eventually

Make = Callable[..., ClickHouseFront]


def ended(front: ClickHouseFront) -> tuple[int, str]:
    """The exit code and the last words of a front that does not start."""
    process = front.spawn()
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.decode()


def test_the_password_is_made_once_and_is_its_owners(make_clickhouse_front: Make) -> None:
    front = make_clickhouse_front()
    path = front.data_dir / "password"
    assert path.stat().st_mode & 0o777 == 0o600
    password = front.password
    assert len(password) >= 32
    front.restart()
    assert front.password == password
    assert front.sql("SELECT 1") == "1"


def test_it_binds_loopback_only(clickhouse_front: ClickHouseFront) -> None:
    inode_lines = Path("/proc/net/tcp").read_text().splitlines()
    port = f":{clickhouse_front.port:04X}"
    listening = [line.split()[1] for line in inode_lines if port in line.split()[1]]
    assert f"0100007F{port}" in listening
    assert f"00000000{port}" not in listening


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8123"}, 403),
        ({"Host": "localhost:8123"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_a_web_page_of_another_site_is_refused(
    clickhouse_front: ClickHouseFront, headers: dict[str, str], status: int
) -> None:
    answer = clickhouse_front.request("SELECT 1", headers=headers)
    assert (answer.status, answer.code) == (status, 497 if status == 403 else 0)


def test_the_head_of_a_request_is_bounded(clickhouse_front: ClickHouseFront) -> None:
    with socket.create_connection((clickhouse_front.host, clickhouse_front.port)) as client:
        client.settimeout(30)
        try:
            client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 3_000_000)
            answer = client.recv(100)
        except ConnectionError:
            answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431")
    headers = {f"x-{n}": "1" for n in range(300)}
    assert clickhouse_front.request("SELECT 1", headers=headers).status == 400
    assert clickhouse_front.sql("SELECT 1") == "1"


def test_a_body_is_bounded(make_clickhouse_front: Make) -> None:
    front = make_clickhouse_front("--max-body-bytes", "100000")
    front.sql("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")
    answer = front.request(b"x" * 100_001, query="INSERT INTO t FORMAT LineAsString")
    assert (answer.status, answer.code) == (413, 307)
    front.sql(b"x" * 100_000, query="INSERT INTO t FORMAT LineAsString")
    assert front.sql("SELECT count() FROM t") == "1"


def test_a_silent_client_is_cut_off(make_clickhouse_front: Make) -> None:
    front = make_clickhouse_front("--max-silence", "0.5")
    address = (front.host, front.port)
    key = front.password.encode()
    with socket.create_connection(address) as nothing, socket.create_connection(address) as body:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-Key: %b\r\n" % key
        body.sendall(head + b"Content-Length: 100\r\n\r\nSELECT")
        for client in (nothing, body):
            client.settimeout(30)
        assert nothing.recv(100) == b""
        assert body.recv(100).startswith(b"HTTP/1.1 408")
    assert front.sql("SELECT 1") == "1"


def test_inserts_and_queries_at_once_are_bounded(make_clickhouse_front: Make) -> None:
    front = make_clickhouse_front("--max-inserts", "1", "--max-queries", "2")
    front.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    answers: list[Answer] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(front.request("1\n", query="INSERT INTO t FORMAT TSV"))
        )
        for _ in range(12)
    ]
    threads += [
        threading.Thread(target=lambda: answers.append(front.request("SELECT sleep(0.1)")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 18
    assert front.sql("SELECT count() FROM t") == "12"


def test_connections_are_bounded(clickhouse_front: ClickHouseFront) -> None:
    front = clickhouse_front
    clients = [socket.create_connection((front.host, front.port)) for _ in range(520)]
    try:
        refused = front.request(method="GET", path="/ping")
        assert refused.status == 503
    finally:
        for client in clients:
            client.close()
    eventually(lambda: front.request(method="GET", path="/ping").status == 200, "an answer")
    assert front.sql("SELECT 1") == "1"


@pytest.mark.parametrize(
    "round_", [1, *(pytest.param(each, marks=pytest.mark.long) for each in (0, 2))]
)
def test_kill_9_in_mid_insert_loses_nothing_acknowledged(
    make_clickhouse_front: Make, round_: int
) -> None:
    front = make_clickhouse_front()
    front.sql("CREATE TABLE default.t (n UInt64, i UInt64) ENGINE = MergeTree ORDER BY (n, i)")
    acknowledged: list[int] = []
    numbers = iter(range(10**6))

    def insert() -> None:
        try:
            while True:
                number = next(numbers)
                rows = "".join(f"{number}\t{i}\n" for i in range(20_000))
                if front.request(rows, query="INSERT INTO t FORMAT TSV").status == 200:
                    acknowledged.append(number)
        except OSError:
            pass

    threads = [threading.Thread(target=insert) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(acknowledged) >= 4 + 3 * round_, "inserts")
    front.kill()
    for thread in threads:
        thread.join()
    front.start()
    stored = front.sql("SELECT n, count(), uniqExact(i) FROM t GROUP BY n FORMAT CSV").split("\n")
    whole = {int(line.split(",")[0]) for line in stored if line.endswith(",20000,20000")}
    assert set(acknowledged) <= whole
    assert len(whole) == len(stored), "a part of an insert is there"
    assert list((front.data_dir / "bodies").iterdir()) == []


def test_an_empty_directory_survives_kill_9_and_files_left_by_it_are_deleted(
    make_clickhouse_front: Make,
) -> None:
    front = make_clickhouse_front()
    for _ in range(2):
        front.kill()
        (front.data_dir / "bodies" / "left").write_bytes(b"x")
        front.start()
        assert list((front.data_dir / "bodies").iterdir()) == []
    assert front.sql("SHOW TABLES FROM default") == ""


def test_the_database_default_may_be_dropped(make_clickhouse_front: Make) -> None:
    front = make_clickhouse_front()
    front.sql("DROP DATABASE default")
    refused = front.request("SELECT 1")
    assert (refused.status, refused.code) == (404, 81)
    front.restart()
    assert front.sql("SELECT currentDatabase()", database="default") == "default"


def test_no_directory_for_temporary_files_is_needed(
    make_clickhouse_front: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/proc")
    front = make_clickhouse_front()
    front.kill()
    front.start()
    assert front.sql("SELECT 1") == "1"
    assert len(list((front.data_dir / "tmp").iterdir())) <= 1


def test_a_directory_has_one_owner(make_clickhouse_front: Make) -> None:
    front = make_clickhouse_front()
    assert front.process is not None
    code, why = ended(ClickHouseFront(front.data_dir))
    assert (code, why.count("\n")) == (10, 1)
    assert f"is in use by process {front.process.pid}" in why
    assert front.sql("SELECT 1") == "1"


def test_a_port_in_use(clickhouse_front: ClickHouseFront, tmp_path: Path) -> None:
    other = ClickHouseFront(tmp_path / "other")
    other.port = clickhouse_front.port
    code, why = ended(other)
    assert code == 11
    assert why == f"127.0.0.1:{other.port}: Address already in use\n"


def test_a_foreign_or_broken_directory(make_clickhouse_front: Make, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_text("a file")
    code, why = ended(ClickHouseFront(foreign))
    assert (code, why.count("\n")) == (12, 1)
    front = make_clickhouse_front()
    front.stop()
    shutil.rmtree(front.data_dir / "data")
    (front.data_dir / "data").write_text("a file")
    code, why = ended(front)
    assert code in {1, 12}
    assert why.count("\n") == 1
    assert "Traceback" not in why


SLEEPING = "FROM system.numbers WHERE sleepEachRow(0.01) = 0 SETTINGS max_block_size = 1"
COUNTED = f"SELECT countIf(number < 0) {SLEEPING}"
UNDER_WAY = {
    "before its first piece": COUNTED,
    "between two pieces": f"SELECT repeat('x', 100000) {SLEEPING}",
    "as a whole": f"{COUNTED} FORMAT JSON",
    "of an insert": f"INSERT INTO sink {COUNTED}",
}


def test_statements_under_way_do_not_hold_up_the_end(make_clickhouse_front: Make) -> None:
    """What it was that they waited for made no difference: an answer was not known to be in use by
    a thread when its connection was closed, and the process never ended."""
    front = make_clickhouse_front()
    front.sql("CREATE TABLE sink (n UInt64) ENGINE = MergeTree ORDER BY n")
    answers: dict[str, Answer] = {}

    def ask(name: str) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            answers[name] = front.request(UNDER_WAY[name])

    threads = [threading.Thread(target=ask, args=(name,)) for name in UNDER_WAY]
    for thread in threads:
        thread.start()
    running = "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%'"
    eventually(lambda: front.sql(running) == str(len(UNDER_WAY) + 1), "the statements")
    assert front.stop() == 0
    for thread in threads:
        thread.join()
    assert "between two pieces" not in answers, "an answer that is cut must not look whole"
    assert {a.headers["x-clickhouse-exception-code"] for a in answers.values()} == {"394"}
    assert "stopped" in (front.data_dir / "front.log").read_text()
    front.start()
    assert front.sql("SELECT count() FROM sink") == "0"


def test_a_read_only_disk(small_disk: Path) -> None:
    front = ClickHouseFront(small_disk / "front")
    front.start()
    front.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, why = ended(front)
    assert code == 12
    assert "Read-only file system" in why
    assert "Traceback" not in why
