"""What a database holds already, and whether a pipeline fits it. Called by `apply`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from nrtctl.clickhouse.cluster import SUFFIX, local
from nrtctl.errors import ConfigError
from nrtctl.pipeline import METADATA_COLUMNS, Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.schema import ddl
from nrtctl.schema.check import Client
from nrtctl.schema.cluster_ddl import feeding_targets
from nrtctl.schema.steps import MARK

BEFORE = [name for name in METADATA_COLUMNS if name != "_incarnation"]
"""What every table has that nrtctl made; the other column is added to those from before it."""


MADE_BY = "if(engine = 'MaterializedView', substring(create_table_query, 1, 1000), '')"
"""SQL over `system.tables`, for `stores_into`."""

_INTO = re.compile(r"CREATE MATERIALIZED VIEW \S+(?: UUID \S+)? TO (\S+)")


def stores_into(made_by: str) -> str:
    """The table, with its database, that a materialized view of this statement stores into; empty:
    it is no such view."""
    found = _INTO.match(made_by)
    return found[1].replace("`", "") if found else ""


def read_by(query: str, database: str) -> str:
    """The table of the database that a SELECT reads; empty: none."""
    found = re.search(rf"\bFROM `?{database}`?\.`?(\w+)", query)
    return found[1] if found else ""


class Existing:
    """The tables, views and projections of a database before anything was changed.

    `tables`: table or view to engine; `views`: to their queries; `comments`: of both;
    `targets`: materialized view to the table, with its database, that it stores into.
    """

    def __init__(self, client: Client, database: str) -> None:
        self.database = bool(
            client.query("SELECT 1 FROM system.databases WHERE name = {n:String}", {"n": database})
        )
        self.tables: dict[str, str] = {}
        self.comments: dict[str, str] = {}
        self.views: dict[str, str] = {}
        self.targets: dict[str, str] = {}
        self._projections: dict[str, dict[str, str]] = {}
        if self.database:
            self._read(client, database)

    def _read(self, client: Client, database: str) -> None:
        rows = client.query(
            f"SELECT name, engine, comment, as_select, {MADE_BY} FROM system.tables "
            "WHERE database = {d:String} ORDER BY name",
            {"d": database},
        )
        self.tables = {str(row[0]): str(row[1]) for row in rows}
        self.comments = {str(row[0]): str(row[2]) for row in rows}
        self.views = {str(row[0]): str(row[3]) for row in rows if row[1] == "View"}
        self.targets = {str(row[0]): into for row in rows if (into := stores_into(str(row[4])))}
        for table, name, query in client.query(
            "SELECT table, name, query FROM system.projections "
            "WHERE database = {d:String} ORDER BY name",
            {"d": database},
        ):
            self._projections.setdefault(str(table), {})[str(name)] = str(query)

    def projections(self, table: str) -> Mapping[str, str]:
        """Name to query."""
        return self._projections.get(table, {})

    def ours(self, view: str) -> bool:
        """Whether `apply` made it, as its comment says."""
        return self.comments.get(view, "").startswith(MARK)


def columns_of(client: Client, database: str, name: str) -> dict[str, str]:
    """Column to type."""
    rows = client.query(
        "SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {t:String}",
        {"d": database, "t": name},
    )
    return {str(column): str(kind) for column, kind in rows}


def has_ttl(client: Client, database: str, table: str) -> bool:
    """Whether the table loses rows by their age."""
    rows = client.query(
        "SELECT engine_full FROM system.tables WHERE database = {d:String} AND name = {t:String}",
        {"d": database, "t": table},
    )
    return any(" TTL " in str(text) for (text,) in rows)


def columns_of_each(
    client: Client, database: str, names: Collection[str]
) -> dict[str, dict[str, str]]:
    """Of each of these tables, which are there: column to type."""
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    if not names:
        return found
    for table, column, kind in client.query(
        "SELECT table, name, type FROM system.columns "
        "WHERE database = {d:String} AND table IN {t:Array(String)}",
        {"d": database, "t": sorted(names)},
    ):
        found[str(table)][str(column)] = str(kind)
    return found


def canonical(client: Client, columns: Mapping[str, str]) -> dict[str, str]:
    """Column to type, as the engine writes the type."""
    structure = ddl.structure({n: kind.split(" DEFAULT ")[0] for n, kind in columns.items()})
    rows = client.query(
        f"DESCRIBE TABLE null({literal(structure)}) SETTINGS print_pretty_type_names = 0"
    )
    return {str(row[0]): str(row[1]) for row in rows}


def tables(client: Client, pipeline: Pipeline, database: str, engines: Mapping[str, str]) -> None:
    """Refuse what the tables that are there, beside the pipeline's own, do not allow.

    Args:
        engines: table or view to engine, of all that the database has.

    Raises:
        ConfigError
    """
    for name in (pipeline.landing, pipeline.parsed):
        if engines.get(name, "Null") != "Null":
            raise ConfigError(
                f"{database}.{name} exists but was not created by nrtctl (engine {engines[name]})",
                hint="set pipeline.table to another name",
            )
    for name in pipeline.rollups:
        if engines.get(name, "View") != "View":
            raise ConfigError(
                f"{database}.{name} exists but is not a view, and the rollup needs its name",
                hint=f"give the rollup pipeline.rollups.{name} another name",
            )
    if pipeline.dead_letters in engines:
        _ours(
            client,
            database,
            pipeline.dead_letters,
            engines,
            [*BEFORE, "_target", "reason"],
        )


def views(pipeline: Pipeline, there: Existing, *, beside: bool, cluster: str | None = None) -> None:
    """Refuse to replace what the user has made under the name of a view.

    Args:
        beside: the views that are read stay those of another table.

    Raises:
        ConfigError
    """
    built = there.projections(local(pipeline.table, cluster))
    for name in () if beside else pipeline.rollups:
        if name in there.views and not there.ours(name) and name not in built:
            raise ConfigError(
                f"pipeline.rollups.{name}: the view {name} exists and was not created by nrtctl, "
                "but the rollup needs its name",
                hint=f"give the rollup another name, or drop the view {name} first",
            )
    for name in feeding_targets(pipeline, "", cluster):
        if there.tables.get(name, "MaterializedView") != "MaterializedView":
            raise ConfigError(
                f"{name} exists and was not created by nrtctl (engine {there.tables[name]}), but a "
                f"view of the table {pipeline.table} needs its name",
                hint="set pipeline.table to another name",
            )


def targets(
    pipeline: Pipeline, feeding: Mapping[str, tuple[str, str]], found: Mapping[str, str]
) -> None:
    """Refuse views that would go on to store where nobody looks: their table cannot be changed.

    Args:
        feeding: view to (table, query), as the pipeline describes them.
        found: view to table, as they are there.

    Raises:
        ConfigError
    """
    for view, (target, _) in feeding.items():
        if (there := found.get(view, target)) != target:
            raise ConfigError(
                f"the view {view} stores into {there}, but the configuration says {target}, and "
                "that cannot be changed",
                hint=mending_target(pipeline, there, target),
            )


def mending_target(pipeline: Pipeline, there: str, wanted: str) -> str:
    """What to do where a view stores into another table than the pipeline says."""
    name, mine = there.partition(".")[2], wanted.partition(".")[2]
    of_letters = (pipeline.dead_letters, f"{pipeline.dead_letters}{SUFFIX}")
    if mine in of_letters:
        if mine == of_letters[1]:  # on a cluster
            name = name.removesuffix(SUFFIX)
        return (
            f'set pipeline.dead_letters = "{name}", where the dead letters of {pipeline.table} '
            "are; with a new pipeline.table they may have another table"
        )
    return "stop what stores into it, drop the view, and run `nrtctl up`, which creates it again"


def _ours(
    client: Client, database: str, name: str, engines: Mapping[str, str], needs: Sequence[str]
) -> dict[str, str]:
    there = columns_of(client, database, name)
    absent = [column for column in needs if column not in there]
    if not engines[name].endswith("MergeTree") or absent:
        what = f"lacks {', '.join(absent)}" if absent else f"has the engine {engines[name]}"
        raise ConfigError(
            f"{database}.{name} exists with other columns: it {what}",
            hint="set pipeline.table and pipeline.dead_letters to other names, "
            "or clickhouse.database to another database",
        )
    return there


def unchanged(
    client: Client,
    pipeline: Pipeline,
    database: str,
    engines: Mapping[str, str],
    column_types: Mapping[str, str],
) -> None:
    """Refuse a table of rows that is there and is not as the pipeline says.

    Raises:
        ConfigError
    """
    there = _ours(client, database, pipeline.table, engines, BEFORE)
    wanted = canonical(client, ddl.table_columns(pipeline, column_types))
    for name, kind in wanted.items():
        if name not in there or there[name] == kind or name.startswith("_"):
            continue
        section = "fields" if name in pipeline.fields else "columns"
        raise ConfigError(
            f"pipeline.{section}.{name}: the table {database}.{pipeline.table} stores "
            f"{there[name]}, but the configuration says {kind}, and the type of stored values "
            "cannot be changed",
            hint="use a new column, or a new table",
        )
    for key, verb, has, says in other_keys(client, pipeline, database):
        raise ConfigError(
            f"pipeline.{key}: the table {database}.{pipeline.table} is {verb} by ({has}), but "
            f"the configuration says ({says}); a table cannot be {verb} in another way later",
            hint="set pipeline.table to a new table",
        )


def other_keys(
    client: Client, pipeline: Pipeline, database: str
) -> list[tuple[str, str, str, str]]:
    """(key of the configuration, verb, what the table has, what is wanted), where they differ."""
    ((order, partition),) = client.query(
        "SELECT sorting_key, partition_key FROM system.tables "
        "WHERE database = {d:String} AND name = {t:String}",
        {"d": database, "t": pipeline.table},
    )
    wanted_partition = ""
    if pipeline.partition_by:
        text = literal(f"SELECT {pipeline.partition_by}")
        ((formatted,),) = client.query(f"SELECT formatQuerySingleLine({text})")
        wanted_partition = str(formatted).removeprefix("SELECT ")
    pairs = {
        "order_by": ("sorted", str(order), ddl.sorting_key(pipeline)),
        "partition_by": ("partitioned", str(partition), wanted_partition),
    }
    return [
        (key, verb, has, wanted)
        for key, (verb, has, wanted) in pairs.items()
        if _plain(has) != _plain(wanted)
    ]


def _plain(text: str) -> str:
    bare = text.replace(" ", "").replace("`", "")
    return bare[1:-1] if bare.startswith("(") and bare.endswith(")") else bare
