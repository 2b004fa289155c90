"""The official clients for Java and Go, with their defaults, against the local ClickHouse.

`test_blocks` and `test_native` hold what they need, byte by byte, in `make test`.
"""

from __future__ import annotations

import shutil
import subprocess
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
