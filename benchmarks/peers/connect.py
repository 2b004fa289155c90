"""Kafka Connect with ClickHouse's own sink, as a standalone worker. Called by `peer`.

Connect comes from Maven by name. The sink does not: its jar is given. It writes into a table of the
pipeline's fields alone, since it refuses one with columns that no message has.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from nrtctl.bench.children import Child
from nrtctl.bench.scratch import Pipeline
from nrtctl.errors import NrtctlError
from nrtctl.local.process import write_atomically
from tests.plugins.apache_kafka import VERSION
from tests.plugins.maven import libraries
from tests.plugins.ports import free_port

SESSION_SECONDS = 6
"""After which Kafka gives a killed consumer's partitions away, for every peer; the least that
nrtctl takes."""
MAIN = "org.apache.kafka.connect.cli.ConnectStandalone"
LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
HEAP = ("-Xms256M", "-Xmx2G")
"""What connect-standalone.sh gives it."""
_LOG = """<Configuration><Appenders><Console name="c"><PatternLayout pattern="%d %p %c{1} %m%n"/>
</Console></Appenders><Loggers><Root level="warn"><AppenderRef ref="c"/></Root></Loggers>
</Configuration>"""


def jars() -> Path:
    """Raises NrtctlError: there is no Java or no Maven, or Maven cannot have them."""
    try:
        return libraries(f"org.apache.kafka:connect-runtime:{VERSION}", LOGGING)
    except (OSError, subprocess.SubprocessError) as error:
        raise NrtctlError(f"Kafka Connect cannot be fetched: {error}") from error


def start(pipeline: Pipeline, libs: Path, sink: Path, rows: int) -> Child:
    """Args: rows: how many messages a poll takes at most."""
    _plain_table(pipeline)
    home = pipeline.scratch.directory / f"connect-{pipeline.database}"
    plugin = home / "plugins" / "clickhouse"
    plugin.mkdir(parents=True, exist_ok=True)
    shutil.copy(sink, plugin)
    (home / "log4j2.xml").write_text(_LOG)
    worker, connector = home / "worker.properties", home / "sink.properties"
    _write(worker, _worker(pipeline, home))
    _write(connector, _connector(pipeline, rows))
    command = [
        *("java", *HEAP, "-XX:+UseG1GC", f"-Dlog4j2.configurationFile={home / 'log4j2.xml'}"),
        *("-cp", f"{libs}/*", MAIN, str(worker), str(connector)),
    ]
    return pipeline.scratch.child("Kafka Connect", command)


def _plain_table(pipeline: Pipeline) -> None:
    """In place of the pipeline's: its fields, its sorting key, and nothing else."""
    of = pipeline.scratch.config().pipeline
    fields = ", ".join(f"{name} {field.type}" for name, field in of.fields.items())
    columns = ", ".join(f"{name} DEFAULT {sql}" for name, sql in of.columns.items())
    client = pipeline.scratch.client()
    try:
        if client.query(f"EXISTS TABLE {pipeline.database}.events_landing") == [(1,)]:
            client.command(f"DROP DATABASE {pipeline.database} SYNC")
            client.command(f"CREATE DATABASE {pipeline.database}")
            client.command(
                f"CREATE TABLE {pipeline.table} ({fields}, {columns}) ENGINE = MergeTree "
                f"ORDER BY ({', '.join(of.order_by)})"
            )
    finally:
        client.close()


def _worker(pipeline: Pipeline, home: Path) -> dict[str, str]:
    login = pipeline.scratch.login("java")
    return {
        **login,
        **{f"consumer.{name}": value for name, value in login.items()},
        "listeners": f"http://127.0.0.1:{free_port()}",
        "offset.storage.file.filename": str(home / "offsets"),
        "offset.flush.interval.ms": "5000",
        "plugin.path": str(home / "plugins"),
        "plugin.discovery": "service_load",
        "connector.client.config.override.policy": "All",
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
    }


def _connector(pipeline: Pipeline, rows: int) -> dict[str, str]:
    addresses = pipeline.scratch.addresses()
    url = urlsplit(addresses.clickhouse_url)
    reads = {
        "group.id": pipeline.database, "auto.offset.reset": "earliest",
        "max.poll.records": str(rows), "fetch.min.bytes": "5000000", "fetch.max.wait.ms": "500",
        "fetch.max.bytes": "52428800", "max.partition.fetch.bytes": "16777216",
        "session.timeout.ms": str(SESSION_SECONDS * 1000),
        "heartbeat.interval.ms": str(SESSION_SECONDS * 1000 // 3),
    }  # fmt: skip
    return {
        "name": pipeline.database,
        "connector.class": "com.clickhouse.kafka.connect.ClickHouseSinkConnector",
        "tasks.max": "1",
        "topics": pipeline.topic,
        "topic2TableMap": f"{pipeline.topic}={pipeline.table.partition('.')[2]}",
        "database": pipeline.database,
        "hostname": url.hostname or "",
        "port": str(url.port),
        "ssl": "false",
        "username": "default",
        "password": addresses.clickhouse_password or "",
        "exactlyOnce": "false",
        "ignorePartitionsWhenBatching": "true",
        **{f"consumer.override.{name}": value for name, value in reads.items()},
    }


def _write(path: Path, properties: Mapping[str, str]) -> None:
    """Java's own format, with mode 0600: there are passwords in it."""
    lines = "".join(f"{name}={value}\n" for name, value in properties.items())
    write_atomically(path, lines.replace("\\", "\\\\").encode())
