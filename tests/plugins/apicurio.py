"""A pytest plugin: Apicurio Registry, which serves Confluent's API too, data in memory.

Java and Maven are needed; the program is resolved once into the cache of `apache_kafka`. 3.0.9 is
the newest that runs on Java 17.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.apache_kafka import cache_directory
from tests.plugins.ports import free_port
from tests.plugins.schema_registry import Requests
from tests.plugins.waiting import eventually

VERSION = "3.0.9"
_NAME = f"apicurio-registry-app-{VERSION}"


class Apicurio(Requests):
    host, base = "127.0.0.1", "/apis/ccompat/v7"

    def __init__(self) -> None:
        self.port = free_port()


def _resolved() -> Path:
    """The directory of the program, filled by Maven when it is not there yet."""
    home = cache_directory() / f"apicurio-{VERSION}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come at once
        if not (home / "complete").exists():
            artifact = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
            command = ["mvn", "-q", "-B", "-ntp", "dependency:copy", f"-Dartifact={artifact}"]
            command += [f"-DoutputDirectory={home}", "-Dmdep.overWriteSnapshots=false"]
            subprocess.run(command, cwd=home, check=True, timeout=280)
            with tarfile.open(home / f"{_NAME}-all.tar.gz") as archive:
                archive.extractall(home, filter="data")
            (home / "complete").touch()
    return home


@pytest.fixture(scope="session")
def apicurio() -> Iterator[Apicurio]:
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"Apicurio needs {' and '.join(missing)}")
    home, made = _resolved(), Apicurio()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [
                *("java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m"),
                *(f"-Dquarkus.http.port={made.port}", "-Dquarkus.http.host=127.0.0.1"),
                *("-Dapicurio.storage.kind=sql", "-Dapicurio.storage.sql.kind=h2"),
                *("-jar", f"{_NAME}-runner.jar"),
            ],
            cwd=home,
            stdout=log,
            stderr=log,
        )

        def answers() -> bool:
            assert process.poll() is None, "Apicurio has ended"
            try:
                return made.ask("GET", "/subjects")[0] == 200
            except OSError:
                return False

        try:
            eventually(answers, "that Apicurio answers", within=180)
            status, found = made.ask("PUT", "/config", {"compatibility": "BACKWARD"})
            assert status == 200, found
            yield made
        finally:
            process.kill()
            process.wait()
