"""Clients that nobody of this project wrote, with their defaults, against the local broker.

`make test` has what they need byte by byte, and librdkafka and Java's clients themselves.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.local_broker import LocalBroker

# The first run on a machine fetches them.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CLIENTS = Path(__file__).parent / "clients"
STREAMS = "4.1.0"
FRANZ_GO = "v1.22.3"
KAFKAJS = "2.2.4"


def run(*command: str, at: Path) -> str:
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def test_kafka_python_and_aiokafka(local_broker: LocalBroker, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "venv", at=tmp_path)
    run("venv/bin/pip", "install", "-q", "kafka-python", "aiokafka", at=tmp_path)
    program = str(CLIENTS / "python_clients.py")
    assert run("venv/bin/python", program, local_broker.bootstrap, at=tmp_path) == "300 300\n"


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is needed")
def test_kafkajs(local_broker: LocalBroker, tmp_path: Path) -> None:
    shutil.copy(CLIENTS / "kafkajs.mjs", tmp_path)
    run("npm", "install", "--silent", f"kafkajs@{KAFKAJS}", at=tmp_path)
    assert run("node", "kafkajs.mjs", local_broker.bootstrap, at=tmp_path) == "300 300 true\n"


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is needed")
def test_franz_go(local_broker: LocalBroker, tmp_path: Path) -> None:
    shutil.copy(CLIENTS / "go" / "main.go", tmp_path)
    run("go", "mod", "init", "nrtctl/client", at=tmp_path)
    run("go", "get", f"github.com/twmb/franz-go@{FRANZ_GO}", at=tmp_path)
    run("go", "get", "github.com/twmb/franz-go/pkg/kadm@v1.20.0", at=tmp_path)
    assert run("go", "run", ".", local_broker.bootstrap, at=tmp_path) == "500 0 true\n"


@pytest.mark.skipif(
    None in (shutil.which("javac"), shutil.which("mvn")), reason="javac and Maven are needed"
)
def test_kafka_streams_with_a_state_store(local_broker: LocalBroker, tmp_path: Path) -> None:
    (tmp_path / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>nrtctl</groupId><artifactId>streams</artifactId><version>1</version>"
        "<dependencies><dependency><groupId>org.apache.kafka</groupId>"
        f"<artifactId>kafka-streams</artifactId><version>{STREAMS}</version></dependency>"
        "</dependencies></project>"
    )
    run("mvn", "-q", "-B", "-ntp", "dependency:copy-dependencies", "-DoutputDirectory=jars",
        at=tmp_path)  # fmt: skip
    run("javac", "-cp", "jars/*", "-d", ".", str(CLIENTS / "Streams.java"), at=tmp_path)
    said = run("java", "-cp", "jars/*:.", "Streams", local_broker.bootstrap, "state", at=tmp_path)
    assert said == "{k0=100, k1=100, k2=100, k3=100, k4=100}\n"
