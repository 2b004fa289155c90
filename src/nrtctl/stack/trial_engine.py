"""An engine to ask about messages without storing them. Called by `nrtctl try` and `init --from`.

With the extra `local` it is an engine of its own: a process in a temporary directory, which both
end with the command. Without the extra, the configured ClickHouse is asked, which is only read.
"""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nrtctl.config.load import load_config
from nrtctl.config.model import Config
from nrtctl.errors import ConnectError
from nrtctl.net.kept import kept
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.schema import INSERT_SETTINGS, ddl
from nrtctl.schema.parsing import parse_query
from nrtctl.stack import spawn
from nrtctl.stack.addresses import Addresses
from nrtctl.store.envelope import COLUMNS, Headers, row_encoder

if TYPE_CHECKING:
    from nrtctl.clickhouse.client import ClickHouseClient

TOPIC = "messages"
TABLE = "default.messages"
PARSED = "default.messages_parsed"
PATIENCE = "10m"
"""For an answer of the own engine."""

MAX_BYTES_OWN = 32 * 2**20
MAX_BYTES_ASKED = 2**20
"""Of messages in one question: in a table of the own engine, and within a statement."""

Message = tuple[bytes | None, bytes | None, int, Headers]
"""Key, value, time in ms since the epoch, headers."""


class Values(Protocol):
    """Puts messages before an engine."""

    client: ClickHouseClient
    most_bytes: int

    def hold(self, messages: Sequence[Message], first: int) -> None:
        """Have these messages instead of the former ones; the first has this number."""
        ...

    def source(self, first: int, last: int) -> str:
        """SQL: those of these numbers, as rows of the landing table."""
        ...

    def parsed(self, pipeline: Pipeline, first: int, last: int) -> str:
        """SQL: what the pipeline's parsing makes of them."""
        ...


class Own:
    """In a table of an engine of our own."""

    most_bytes = MAX_BYTES_OWN

    def __init__(self, client: ClickHouseClient) -> None:
        self.client = client
        columns = ddl.structure(ddl.landing_columns())
        client.command(f"DROP TABLE IF EXISTS {TABLE}")
        client.command(f"CREATE TABLE {TABLE} ({columns}) ENGINE = Memory")

    def hold(self, messages: Sequence[Message], first: int) -> None:
        encode = row_encoder(TOPIC, 1, 0)
        body = b"".join(
            encode(number, moment, key, value, headers)
            for number, (key, value, moment, headers) in enumerate(messages, first)
        )
        self.client.command(f"TRUNCATE TABLE {TABLE}")
        self.client.insert(TABLE, COLUMNS, body, dict(INSERT_SETTINGS))

    def source(self, first: int, last: int) -> str:
        return f"(SELECT * FROM {TABLE} WHERE _offset BETWEEN {first} AND {last})"

    def parsed(self, pipeline: Pipeline, first: int, last: int) -> str:
        columns = ddl.structure(ddl.parsed_columns(pipeline))
        self.client.command(f"DROP TABLE IF EXISTS {PARSED}")
        self.client.command(f"CREATE TABLE {PARSED} ({columns}) ENGINE = Memory")
        query = parse_query(pipeline, self.source(first, last))
        self.client.command(f"INSERT INTO {PARSED} {query}", dict(INSERT_SETTINGS))
        return PARSED


class Asked:
    """Within the statements, for a server on which nothing may be changed."""

    most_bytes = MAX_BYTES_ASKED

    def __init__(self, client: ClickHouseClient) -> None:
        self.client = client
        self._lines: list[str] = []
        self._first = 0

    def hold(self, messages: Sequence[Message], first: int) -> None:
        self._first = first
        self._lines = [
            json.dumps(
                {
                    "n": number,
                    "t": moment,
                    "k": _text(key),
                    "v": _text(value),
                    "h": [[_text(_bytes(name)), _text(each)] for name, each in headers or ()],
                }
            )
            for number, (key, value, moment, headers) in enumerate(messages, first)
        ]

    def source(self, first: int, last: int) -> str:
        lines = self._lines[first - self._first : last + 1 - self._first]
        shape = (
            "n Int64, t Int64, k Nullable(String), v Nullable(String), "
            "h Array(Tuple(String, Nullable(String)))"
        )
        headers = "arrayMap(x -> (base64Decode(x.1), base64Decode(x.2)), h)"
        kinds = ddl.landing_columns()
        columns = {
            "_topic": literal(TOPIC),
            "_incarnation": "1",
            "_partition": "0",
            "_offset": "n",
            "_timestamp": "fromUnixTimestamp64Milli(t, 'UTC')",
            "_headers": headers,
            "_key": "base64Decode(k)",
            "_value": "base64Decode(v)",
        }
        listed = ", ".join(
            f"CAST({sql}, {literal(kinds[name].partition(' DEFAULT ')[0])}) AS {name}"
            for name, sql in columns.items()
        )
        text = "\n".join(lines)
        return f"(SELECT {listed} FROM format(JSONEachRow, {literal(shape)}, {literal(text)}))"

    def parsed(self, pipeline: Pipeline, first: int, last: int) -> str:
        return f"({parse_query(pipeline, self.source(first, last))})"


def _bytes(name: str | bytes) -> bytes:
    return name.encode() if isinstance(name, str) else name


def _text(given: bytes | None) -> str | None:
    return None if given is None else base64.b64encode(given).decode()


def own_engine_installed() -> bool:
    """Whether the extra `local` has what an engine of our own needs."""
    return all(find_spec(name) is not None for name in spawn.FRONT.needs)


@contextmanager
def engine(config: Config | None, state_dir: Path | None) -> Iterator[Values]:
    """Args: config, state_dir: of the ClickHouse that is asked without the extra `local`; None:
        there is none.

    Raises:
        ConnectError: neither is there.
    """
    if own_engine_installed():
        with _own() as client:
            yield Own(client)
        return

    hint = (
        "run `pip install '.[local]'` in the directory of nrtctl's source, which installs an "
        "engine, or set clickhouse.url to a running server"
    )
    if config is None or state_dir is None:
        raise ConnectError("there is no ClickHouse engine to check the messages with", hint=hint)
    try:
        client = Addresses(config, state_dir).clickhouse_client()
    except ConnectError as error:
        raise ConnectError(
            f"there is no ClickHouse engine to check the messages with: {error.message}", hint=hint
        ) from error
    try:
        yield Asked(client)
    finally:
        client.close()


@contextmanager
def _own() -> Iterator[ClickHouseClient]:
    """An engine in a process and a directory that end here."""
    from nrtctl.clickhouse.client import ClickHouseClient

    directory = Path(tempfile.mkdtemp(prefix="nrtctl-try-")).resolve()
    process = None
    try:
        project = directory / "nrtctl.toml"
        project.touch(mode=0o600)
        config = load_config(
            file=project,
            overrides=[
                "clickhouse.url=http://127.0.0.1:0",
                f"clickhouse.request_timeout={PATIENCE}",
            ],
            environ={"HOME": str(directory)},
        ).config
        process = spawn.spawn(spawn.FRONT, config, directory, 0, "try", attached=True)
        endpoint = spawn.announced(spawn.FRONT, process, directory, lambda _: None)
        password = kept(directory / spawn.FRONT.name / "password")
        client = ClickHouseClient(
            config.clickhouse, url=f"http://{endpoint.address}", password=password
        )
        try:
            yield client
        finally:
            client.close()
    finally:
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        shutil.rmtree(directory, ignore_errors=True)
