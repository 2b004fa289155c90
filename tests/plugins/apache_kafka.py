"""A pytest plugin: one node of Apache Kafka 4 (KRaft, combined), on free loopback ports.

`apache_kafka` is session-scoped and started when first asked for. Java and Maven are needed; the
jars are resolved once into a cache directory ($NRTCTL_TEST_CACHE, else the user's cache directory),
and so are their classes as Java has them in memory.
Without them the test is skipped, or, with NRTCTL_REQUIRE_KAFKA=1, fails.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from tests.plugins.ports import free_port

VERSION = "4.1.0"
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>nrtctl</groupId><artifactId>apache-kafka</artifactId><version>1</version>
<packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{VERSION}</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId>
<version>{VERSION}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>2.24.3</version></dependency>
</dependencies></project>
"""
_LOG4J = """Configuration:
  status: error
  Appenders:
    File:
      name: file
      fileName: "${sys:kafka.log}"
      PatternLayout: {pattern: "%d %p %c: %m%n"}
  Loggers:
    Root: {level: INFO, AppenderRef: {ref: file}}
"""
_CLUSTER_ID = "bnJ0Y3RsLXRlc3QtY2x1c2"


def cache_directory() -> Path:
    given = os.environ.get("NRTCTL_TEST_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nrtctl-tests"


class Unavailable(Exception):
    """Apache Kafka cannot be had here, and why."""


def available_jars() -> Path:
    """The directory of Kafka's jars. Raises Unavailable: without Java or Maven, or Maven failed."""
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing:
        raise Unavailable(f"Apache Kafka needs {' and '.join(missing)}")
    try:
        return _resolve_jars()
    except (subprocess.SubprocessError, OSError) as error:
        raise Unavailable(f"Apache Kafka cannot be resolved: {error}") from error


def unavailable(reason: Unavailable) -> NoReturn:
    """Skip the test, or fail it where Apache Kafka is required."""
    if os.environ.get("NRTCTL_REQUIRE_KAFKA") == "1":
        pytest.fail(str(reason))
    pytest.skip(str(reason))


def _resolve_jars() -> Path:
    """The directory of Kafka's jars, filled by Maven when it is not there yet."""
    home = cache_directory() / f"apache-kafka-{VERSION}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come at once
        _fill(home)
        _keep_classes(home / "libs")
    return home / "libs"


def _fill(home: Path) -> None:
    complete = home / "complete"
    if complete.exists() and complete.read_text() == _POM:
        return
    (home / "pom.xml").write_text(_POM)
    subprocess.run(
        [
            *("mvn", "-q", "-B", "-ntp", "dependency:copy-dependencies"),
            *("-DincludeScope=runtime", f"-DoutputDirectory={home / 'libs'}"),
        ],
        cwd=home,
        check=True,
        timeout=280,
    )
    for archive in home.glob("*.jsa"):
        archive.unlink()  # of other jars
    complete.write_text(_POM)


def java_command(jars: Path) -> list[str]:
    """The beginning of a command that runs a class of the jars, and is quick to start."""
    return [*_java(jars), "-Xshare:auto", f"-XX:SharedArchiveFile={_archive(jars)}"]


def _java(jars: Path) -> list[str]:
    quick = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:disable")
    return ["java", *quick, "-cp", f"{jars}/*"]


def _archive(jars: Path) -> Path:
    """Where the classes that a broker loads are kept as this Java has them in memory.

    With it a start takes half of the CPU; where it is missing or does not fit, Java goes without.
    """
    java = Path(shutil.which("java") or "java").resolve()
    mark = zlib.crc32(f"{java} {java.stat().st_mtime_ns}".encode())
    return jars.parent / f"classes-{mark:08x}.jsa"


def _keep_classes(jars: Path) -> None:
    """Make the archive, which a broker writes at its end."""
    archive = _archive(jars)
    if archive.exists():
        return
    with tempfile.TemporaryDirectory() as directory:
        kafka = ApacheKafka(Path(directory), jars)
        made = Path(directory) / "classes.jsa"
        kafka.java = [*_java(jars), f"-XX:ArchiveClassesAtExit={made}"]
        kafka.start()
        process = kafka.process
        kafka.stop()
        if process is not None and process.returncode != -signal.SIGKILL and made.exists():
            shutil.move(made, archive)


class ApacheKafka:
    """One node; `bootstrap` is its address, the same after every restart."""

    name = "apache"

    def __init__(
        self,
        directory: Path,
        jars: Path,
        *,
        advertised: str = "127.0.0.1",
        listeners: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
        format_options: Sequence[str] = (),
        java_options: Sequence[str] = (),
    ) -> None:
        """
        Args:
            advertised: host that clients are told to connect to, on the same port.
            listeners: name to security protocol, beside PLAINTEXT; `addresses` has where they are.
            settings: broker settings beside those here.
        """
        self.directory = directory
        self.java = [*java_command(jars), *java_options]
        protocols = {"PLAINTEXT": "PLAINTEXT", **(listeners or {})}
        controller, *ports = (free_port() for _ in range(1 + len(protocols)))
        self.addresses = {
            name: f"127.0.0.1:{port}" for name, port in zip(protocols, ports, strict=True)
        }
        self.port = ports[0]
        self.bootstrap = self.addresses["PLAINTEXT"]
        self.process: subprocess.Popen[bytes] | None = None
        self._log4j = directory / "log4j2.yaml"
        self._log4j.write_text(_LOG4J)
        self._properties = directory / "server.properties"
        given = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": ",".join(
                f"{name}://{address}"
                for name, address in [
                    *self.addresses.items(),
                    ("CONTROLLER", f"127.0.0.1:{controller}"),
                ]
            ),
            "advertised.listeners": ",".join(
                f"{name}://{advertised}:{address.rpartition(':')[2]}"
                for name, address in self.addresses.items()
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}"
                for name, protocol in [*protocols.items(), ("CONTROLLER", "PLAINTEXT")]
            ),
            "log.dirs": directory / "data",
            "auto.create.topics.enable": "false",
            "message.max.bytes": 10 * 1024 * 1024,
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
            "group.initial.rebalance.delay.ms": 50,
            "group.min.session.timeout.ms": 1000,
            "log.retention.check.interval.ms": 500,
            "log.initial.task.delay.ms": 100,
            "log.cleaner.backoff.ms": 500,
            "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
            **(settings or {}),
        }
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in given.items()))
        self._run(
            "kafka.tools.StorageTool", "format", *format_options, "-t", _CLUSTER_ID, "-c"
        ).wait(180)

    def _run(self, main: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.directory / "output.log").open("ab") as output:
            return subprocess.Popen(
                [
                    *(*self.java, "-Xmx512m"),
                    f"-Dkafka.log={self.directory / 'kafka.log'}",
                    f"-Dlog4j2.configurationFile={self._log4j}",
                    *(main, *arguments, str(self._properties)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start(self) -> None:
        """Return when it answers. Raises RuntimeError with the log's end if it does not."""
        self.process = self._run("kafka.Kafka")
        deadline = time.monotonic() + 180
        started = self._starts()
        while self._starts() == started:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                output = (self.directory / "output.log").read_text()[-2000:]
                raise RuntimeError(f"Apache Kafka does not start: {output}")
            time.sleep(0.1)

    def _starts(self) -> int:
        log = self.directory / "kafka.log"
        text = log.read_text() if log.exists() else ""
        return text.count("Kafka Server started")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(number)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            self.process = None


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    try:
        jars = available_jars()
    except Unavailable as reason:
        unavailable(reason)
    kafka = ApacheKafka(tmp_path_factory.mktemp("apache-kafka"), jars)
    kafka.start()
    yield kafka
    kafka.stop()
