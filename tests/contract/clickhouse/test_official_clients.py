"""The official clients for Java and Go, and SQLAlchemy, with their defaults, against the local
ClickHouse: what programs do with them, and what tools ask before they show a database.

`test_blocks` and `test_native` hold what they need, byte by byte, in `make test`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.maven import libraries

# The first run on a machine fetches them.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CLIENTS = Path(__file__).parent / "clients"
JDBC = "com.clickhouse:clickhouse-jdbc:0.10.0"
GO = "v2.51.0"


def run(*command: str, at: Path) -> str:
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.skipif(
    None in (shutil.which("javac"), shutil.which("mvn")), reason="javac and Maven are needed"
)
def test_the_jdbc_driver(clickhouse_front: ClickHouseFront, tmp_path: Path) -> None:
    jars = libraries(JDBC)
    run("javac", "-d", ".", str(CLIENTS / "Jdbc.java"), at=tmp_path)
    address = f"{clickhouse_front.host}:{clickhouse_front.port}"
    said = run(
        "java", "-cp", f"{jars}/*:.", "Jdbc", address, clickhouse_front.password, at=tmp_path
    )
    assert said.splitlines() == [
        "1000 999 1970-01-01 09:00:00", "300000", "47", "n t at ",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is needed")
def test_the_go_client(clickhouse_front: ClickHouseFront, tmp_path: Path) -> None:
    shutil.copy(CLIENTS / "go" / "main.go", tmp_path)
    run("go", "mod", "init", "nrtctl/client", at=tmp_path)
    run("go", "get", f"github.com/ClickHouse/clickhouse-go/v2@{GO}", at=tmp_path)
    address = f"{clickhouse_front.host}:{clickhouse_front.port}"
    said = run("go", "run", ".", address, clickhouse_front.password, at=tmp_path)
    assert said.splitlines() == ["1000 999 Asia/Tokyo true"] * 4


@pytest.mark.skipif(
    None in (shutil.which("javac"), shutil.which("mvn")), reason="javac and Maven are needed"
)
def test_a_database_is_inspected_by_the_jdbc_driver(
    make_clickhouse_front: Callable[..., ClickHouseFront], tmp_path: Path
) -> None:
    front, jars = make_clickhouse_front(), libraries(JDBC)
    run("javac", "-d", ".", str(CLIENTS / "Inspect.java"), at=tmp_path)
    address = f"{front.host}:{front.port}"
    said = run("java", "-cp", f"{jars}/*:.", "Inspect", address, front.password, at=tmp_path)
    assert said.splitlines() == [
        "ClickHouse true",
        "true",
        "[customers:VIEW, orders:TABLE]",
        "[amount:Decimal(18, 4):NO, customer:Nullable(String):YES, id:UInt64:NO, "
        "placed_at:DateTime64(3, 'UTC'):NO, tags:Array(LowCardinality(String)):NO]",
        "true",
        "[id]",
        "[]",
        "[]",
        "5 amount 1",
        "19.5",
    ]


def test_a_database_is_inspected_by_sqlalchemy(
    make_clickhouse_front: Callable[..., ClickHouseFront], tmp_path: Path
) -> None:
    front = make_clickhouse_front()
    run(sys.executable, "-m", "venv", "venv", at=tmp_path)
    run("venv/bin/pip", "install", "-q", "clickhouse-connect[sqlalchemy]", at=tmp_path)
    url = f"clickhousedb://default:{front.password}@{front.host}:{front.port}/default"
    said = run("venv/bin/python", str(CLIENTS / "inspect_sql.py"), url, at=tmp_path)
    assert said.splitlines() == [
        "True",
        "['customers', 'orders']",
        str(
            [
                ("id", "UInt64"),
                ("customer", "Nullable(String)"),
                ("amount", "Decimal(18, 4)"),
                ("placed_at", "DateTime64(3, 'UTC')"),
                ("tags", "Array(LowCardinality(String))"),
            ]
        ),
        "[]",
        "[] []",
        "True False",
        "['id', 'customer', 'amount', 'placed_at', 'tags'] ['1', 'Ada', '12.5000']",
        "19.5000",
    ]
