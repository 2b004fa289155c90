"""A ClickHouse cluster of several engines: local fronts as its shards, and one server before them.

The embedded engine has neither Keeper nor ClickHouse's native port, so its Distributed tables reach
no other process. The server here is a local front, too, with an engine of its own in which the
tables are made and nothing is kept. What a cluster does with a statement, it does over HTTP:

- what says ON CLUSTER goes to every shard, in order; one that is away gets it when it is back, and
  the statement fails as one that is late;
- rows that are inserted through a Distributed table go to the shard of their `_partition`, with the
  settings of the insert; without `distributed_foreground_insert` without their token;
- what reads a Distributed table, `cluster(…)` or `clusterAllReplicas(…)` gets the rows of every
  shard from there, and fails where one is away.

Each shard is one server: nothing is replicated. docs/clusters.md says what that leaves open.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from nrtctl.local.front import engine as front_engine
from nrtctl.local.front import grants
from nrtctl.local.front.engine import Engine, Running
from nrtctl.local.front.errors import EngineError
from nrtctl.local.front.outward import Refused
from nrtctl.local.front.statement import quoted
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.one_shard import standing_in

CLUSTER = "shards"
SHARDS = "shards.json"
"""Beside the server's directory: port and password of each shard."""

_CONFIGURATION = """<remote_servers><{cluster}>{shards}</{cluster}></remote_servers>
<macros><shard>0</shard><replica>r0</replica></macros></clickhouse>"""
_SHARD = """<shard><internal_replication>true</internal_replication>
<replica><host>127.0.0.1</host><port>{port}</port></replica></shard>"""
_ON_CLUSTER = f" ON CLUSTER '{CLUSTER}'"
_MADE = re.compile(r"(?:CREATE|ALTER|DROP)[A-Z ]*? (?:IF (?:NOT )?EXISTS )?(\w+\.\w+)")
_INSERT = re.compile(r"\s*INSERT INTO (\S+)\s*(?:\(([^)]*)\))?\s*", re.IGNORECASE)
_FUNCTION = re.compile(rf"cluster(?:AllReplicas)?\('{CLUSTER}', (\w+)\.(\w+)\)")
_VIRTUAL = {"_part": "String", "_part_offset": "UInt64"}
_AWAY = "Code: 279. DB::NetException: All connection tries failed. (ALL_CONNECTION_TRIES_FAILED)"
_LATE = (
    "Code: 159. DB::Exception: Distributed DDL task is not finished on {late} of {all} hosts. "
    "(TIMEOUT_EXCEEDED)"
)


class Away(Exception):
    """A shard does not answer."""


class Shard:
    """Args: late: statements ON CLUSTER that it has not got yet, in their order."""

    def __init__(self, port: int, password: str) -> None:
        self._port = port
        self._password = password
        self.late: list[str] = []

    def send(self, sql: str, body: bytes = b"", settings: Mapping[str, str] | None = None) -> None:
        """Raises Away, EngineError."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            text = urlencode({"query": sql, **(settings or {})}) if body else ""
            headers = {"X-ClickHouse-Key": self._password}
            connection.request("POST", f"/?{text}", body or sql.encode(), headers)
            answer = connection.getresponse()
            said = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise Away from error
        finally:
            connection.close()
        if answer.status != 200:
            raise EngineError(said)

    def carry_out(self, *statements: str) -> None:
        """What is late, and these. Raises Away: it keeps them for later."""
        self.late += statements
        while self.late:
            self.send(self.late[0])
            self.late.pop(0)

    def answers(self) -> bool:
        try:
            self.send("SELECT 1")
        except Away:
            return False
        return True

    def rows(self, columns: Mapping[str, str], source: str) -> str:
        """SQL of a table: what the shard answers."""
        names = ", ".join(columns)
        listed = ", ".join(n if n != "_host" else f"'{self._port}' AS _host" for n in columns)
        asked = {
            "user": "default",
            "password": self._password,
            "query": f"SELECT {listed} FROM {source} FORMAT Native",
        }
        address = f"http://127.0.0.1:{self._port}/?{urlencode(asked)}"
        structure = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        return f"SELECT {names} FROM url({quoted(address)}, 'Native', {quoted(structure)})"


class Server(Engine):
    """The engine of the server that is asked."""

    def __init__(self, path: Path, **options: Any) -> None:
        known = json.loads((Path.cwd().parent / SHARDS).read_text())
        self.shards = [Shard(**each) for each in known]
        self._telling = threading.Lock()
        super().__init__(path, **options)
        self._defaults["http_max_tries"] = "1"
        self.distributed = self._distributed()

    def _refused(self) -> Refused:
        return Refused(frozenset(), frozenset())

    def _distributed(self) -> dict[str, str]:
        """The Distributed tables: to what they stand for on each shard."""
        rows = self.ask(
            "SELECT database || '.' || name, extract(engine_full, '\\', \\'(\\\\w+)\\', _part') "
            "FROM system.tables WHERE engine = 'Distributed' FORMAT TSV"
        )
        pairs = (line.split("\t") for line in rows.splitlines())
        return {name: f"{name.split('.')[0]}.{behind}" for name, behind in pairs}

    @contextmanager
    def connection(
        self, session: Any, database: str, settings: Mapping[str, str], mark: str, tables: Any = ()
    ) -> Iterator[Running]:
        with super().connection(session, database, settings, mark, tables) as running:
            yield Routed(self, running, settings)

    def tell(self, running: Running, sql: str) -> Any:
        """Carry out a statement ON CLUSTER, here and on every shard."""
        plain = standing_in(sql, CLUSTER)
        with self._telling:
            if plain.startswith("SYSTEM SYNC REPLICA"):
                self._send(["SELECT 1"])
                return running.run("SELECT 1 WHERE 0")
            name = _MADE.match(plain)
            here = "ENGINE = Distributed" in plain or bool(name and name[1] in self._only_here())
            here = here or bool(re.match(r"CREATE (?:OR REPLACE )?VIEW", plain))
            result = running.run(self.reading(plain) if here else plain)
            self.distributed = self._distributed()
            if not here:
                self._send([plain])
            return result

    def _only_here(self) -> list[str]:
        return self.ask(
            "SELECT database || '.' || name FROM system.tables WHERE engine IN "
            "('Distributed', 'View')"
        ).splitlines()

    def _send(self, statements: Sequence[str]) -> None:
        late = 0
        for shard in self.shards:
            try:
                shard.carry_out(*statements)
            except Away:
                late += 1
        if late:
            raise EngineError(_LATE.format(late=late, all=len(self.shards)))

    def reading(self, sql: str) -> str:
        """The statement with what the shards answer in the place of their tables."""
        for shard in self.shards:
            if shard.late:
                with self._telling:
                    try:
                        shard.carry_out()
                    except Away:
                        raise EngineError(_AWAY) from None
        found = _FUNCTION.sub(lambda call: self._union(sql, call[1], call[2]), sql)
        if found != sql:
            found = found.replace("hostName()", "_host")
        for name, behind in self.distributed.items():
            if name in found:
                rows = self._union(sql, *behind.split("."))
                found = re.sub(rf"\b(FROM|JOIN)\s+{re.escape(name)}\b", rf"\1 {_text(rows)}", found)
        return found

    def _union(self, sql: str, database: str, table: str) -> str:
        """SQL: the columns that `sql` names, of the rows of every shard; with
        skip_unavailable_shards of those that answer."""
        shards = self.shards
        if "skip_unavailable_shards = 1" in sql:
            shards = [each for each in shards if each.answers()]
        known = self.ask(
            "SELECT name, type FROM system.columns "
            f"WHERE database = '{database}' AND table = '{table}' FORMAT TSVRaw"
        )
        columns = dict(line.split("\t") for line in known.splitlines())
        every = re.search(r"SELECT \*|, \*| \* FROM", sql) is not None
        named = {
            name: kind
            for name, kind in {**columns, **_VIRTUAL}.items()
            if re.search(rf"\b{re.escape(name)}\b", sql) or (every and name not in _VIRTUAL)
        }
        if "hostName()" in sql:
            named["_host"] = "String"
        named = named or dict([next(iter(columns.items()))])
        source = f"{database}.{table}"
        return f"({' UNION ALL '.join(each.rows(named, source) for each in shards)})"


class Routed(Running):
    """A connection whose statements go where they belong."""

    def __init__(self, server: Server, plain: Running, settings: Mapping[str, str]) -> None:
        self._server = server
        self._plain = plain
        self._settings = settings
        self.confirm = plain.confirm

    def run(
        self,
        sql: str | bytes,
        output: str = "TabSeparated",
        values: Mapping[str, str] | None = None,
    ) -> Any:
        text = sql if isinstance(sql, str) else sql.decode()
        if _ON_CLUSTER in text:
            return self._server.tell(self._plain, text)
        into = _INSERT.match(text)
        if into is not None and into[1].replace("`", "") in self._server.distributed:
            listed = f"({into[2]})" if into[2] else ""
            return self._insert(into[1].replace("`", ""), listed, text[into.end() :])
        with _named_failures():
            return self._plain.run(self._server.reading(text), output, values)

    def stream(self, sql: str | bytes, *rest: Any) -> Iterator[bytes]:
        text = sql if isinstance(sql, str) else sql.decode()
        with _named_failures():
            yield from self._plain.stream(self._server.reading(text), *rest)

    def _insert(self, table: str, columns: str, source: str) -> Any:
        """Its rows are taken apart here, and each shard is sent its own. Args: columns: in
        parentheses, or empty."""
        run, shards = self._plain.run, self._server.shards
        run(f"CREATE TEMPORARY TABLE standing_in ENGINE = Memory EMPTY AS SELECT * FROM {table}")
        try:
            with _named_failures():
                source = self._server.reading(source)
                result = run(f"INSERT INTO standing_in {columns} {source}")
            settings = dict(self._settings)
            if settings.get("distributed_foreground_insert") != "1":
                settings.pop("insert_deduplication_token", None)
            behind = self._server.distributed[table]
            statement = f"INSERT INTO {behind} {columns} FORMAT RowBinary"
            for at, shard in enumerate(shards):
                body = run(
                    f"SELECT {columns.strip('()') or '*'} FROM standing_in "
                    f"WHERE positiveModulo(_partition, {len(shards)}) = {at}",
                    "RowBinary",
                ).bytes()
                if body:
                    try:
                        shard.carry_out()
                        shard.send(statement, bytes(body), settings)
                    except Away:
                        raise EngineError(_AWAY) from None
            return result
        finally:
            run("DROP TABLE standing_in")


@contextmanager
def _named_failures() -> Iterator[None]:
    """A shard that is away is said as ClickHouse says it."""
    try:
        yield
    except EngineError as error:
        if any(each in str(error) for each in ("POCO_EXCEPTION", "NETWORK_ERROR")):
            raise EngineError(_AWAY) from error
        raise


def _text(sql: str) -> str:
    """As a replacement of `re.sub`."""
    return sql.replace("\\", "\\\\")


def _configuration(directory: Path, **options: Any) -> Path:
    main = _own_configuration(directory, **options)
    shards = json.loads((Path.cwd().parent / SHARDS).read_text())
    listed = "".join(_SHARD.format(port=each["port"]) for each in shards)
    more = _CONFIGURATION.format(cluster=CLUSTER, shards=listed)
    main.write_text(main.read_text().replace("</clickhouse>", more))
    users = directory / "engine-users.xml"
    users.write_text(re.sub(r"GRANT .* ON", "GRANT ALL ON", users.read_text()))
    return main


_own_configuration = grants.write_configuration


class _Asked(ClickHouseFront):
    command = ("-m", "tests.plugins.several_shards")


class SeveralShards:
    """Shards as processes of their own, and the server before them."""

    def __init__(self, directory: Path, count: int) -> None:
        self.shards = [ClickHouseFront(directory / f"shard{n}") for n in range(count)]
        self.server = _Asked(directory / "server")
        try:
            for each in self.shards:
                each.start()
            known = [{"port": e.port, "password": e.password.strip()} for e in self.shards]
            (directory / SHARDS).write_text(json.dumps(known))
            self.server.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for each in (self.server, *self.shards):
            each.kill()


def main() -> int:
    from nrtctl.local.front.__main__ import main as serve

    vars(front_engine)["write_configuration"] = _configuration
    front_engine.Engine = Server  # type: ignore[misc]
    return serve()


if __name__ == "__main__":
    sys.exit(main())
