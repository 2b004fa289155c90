"""A stack for tests of pipelines: a broker and ClickHouse of their own, gone when they end.

    from nrtctl.testing import local_stack

    with local_stack("nrtctl.toml") as stack:
        stack.client.produce([{"order_id": 1, "total": 9.5}])
        stack.client.consume(until_end=True)
        assert stack.client.query("SELECT count() AS rows FROM orders") == [{"rows": 1}]

`nrtctl.testing.fixtures` is the same for pytest. Needs the extra `local`. Nothing here imports a
client library or pytest until a stack is started.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nrtctl.client import Client
    from nrtctl.config.load import Loaded
    from nrtctl.config.model import Config
    from nrtctl.stack.local import Running

__all__ = ["LocalStack", "local_stack"]

ANY_PORT = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class LocalStack:
    """A broker and ClickHouse that run on loopback, for this process alone.

    Attributes:
        config: the pipeline, with the addresses of this stack.
        client: does with it what the commands do.
        bootstrap_servers: where Kafka answers, host:port.
        kafka_properties: what a client that is built on librdkafka needs to connect and log in.
        java_properties: the same for a Java client.
        clickhouse_url: where ClickHouse answers over HTTP.
        clickhouse_user, clickhouse_password: its login.
        database: of the pipeline's tables.
        directory: of its data and logs; deleted at the end.
    """

    config: Config
    client: Client
    bootstrap_servers: str
    kafka_properties: dict[str, str] = field(repr=False)
    java_properties: dict[str, str] = field(repr=False)
    clickhouse_url: str
    clickhouse_user: str
    clickhouse_password: str = field(repr=False)
    database: str
    directory: Path


@contextmanager
def local_stack(
    file: str | Path | None = None,
    *,
    profile: str | None = None,
    pipeline: str | None = None,
    overrides: Sequence[str] = (),
    up: bool = True,
) -> Iterator[LocalStack]:
    """Start a local stack on free ports, in a temporary directory; stop and delete it at the end.

    Args:
        file: the project file whose `[pipeline]`, `[batch]` and `[consumer]`, and whose
            `clickhouse.database`, it runs; None: the reference pipeline. What the file says of
            servers and logins is left out, and so are the environment, a `.env` and the user's
            file.
        profile: overlay `[profile.NAME]` of the file.
        pipeline: which of `[pipelines.NAME]`, or of its topics; None: the only one.
        overrides: settings as `section.key=value`, as `--set` takes them.
        up: make topic, tables and views; else only the two servers are there.

    Raises:
        ConfigError: the extra `local` is not installed, or the configuration is wrong.
        WaitTimeout: the stack did not get ready within 60 s.
        NrtctlError: the temporary directory cannot be written.
    """
    from nrtctl.stack import local
    from nrtctl.stack.spawn import check_installed

    check_installed()
    directory = Path(tempfile.mkdtemp(prefix="nrtctl-stack-")).resolve()
    running: list[Running] = []
    try:
        loaded = _loaded(directory, file, profile, pipeline, overrides)
        running += local.start(loaded.config, loaded.state_dir, attached=True)
        yield _stack(loaded, up=up)
    finally:
        try:
            local.stop(directory / ".nrtctl")
        finally:
            for each in running:
                _reap(each)
            shutil.rmtree(directory, ignore_errors=True)


def _loaded(
    directory: Path,
    file: str | Path | None,
    profile: str | None,
    pipeline: str | None,
    overrides: Sequence[str],
) -> Loaded:
    from nrtctl.config.load import load_config
    from nrtctl.config.shape import KeyPath

    def wanted(path: KeyPath) -> bool:
        kept = path[0] in {"pipeline", "batch", "consumer"}
        return kept or path[:2] == ("clickhouse", "database")

    if file is None:
        project = directory / "nrtctl.toml"
        project.touch(mode=0o600)
    else:
        project = Path(file).resolve()
    return load_config(
        file=project,
        profile=profile,
        pipeline=pipeline,
        overrides=[
            f"kafka.bootstrap_servers={ANY_PORT}",
            f"clickhouse.url=http://{ANY_PORT}",
            f"local.state_dir={directory / '.nrtctl'}",
            "stack.kind=local",
            *overrides,
        ],
        environ={"HOME": str(directory)},
        wanted=wanted,
        dotenv=False,
    )


def _stack(loaded: Loaded, *, up: bool) -> LocalStack:
    from nrtctl.client import Client
    from nrtctl.stack.addresses import Addresses
    from nrtctl.stack.login import connecting

    client = Client(loaded)
    if up:
        client.up()
    config, addresses = loaded.config, Addresses(loaded.config, loaded.state_dir)
    kafka = connecting(addresses.bootstrap_servers, loaded.state_dir)
    return LocalStack(
        config=config,
        client=client,
        bootstrap_servers=addresses.bootstrap_servers,
        kafka_properties=kafka["librdkafka"],
        java_properties=kafka["java"],
        clickhouse_url=addresses.clickhouse_url,
        clickhouse_user=config.clickhouse.username,
        clickhouse_password=addresses.clickhouse_password or "",
        database=config.clickhouse.database,
        directory=loaded.state_dir.parent,
    )


def _reap(half: Running) -> None:
    """The process of a half that was asked to end."""
    process = half.process
    if process is None:
        return
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
