"""Whether a pipeline's types and SQL can be applied, and the types of its columns.

Called by `apply` before it changes anything. The engine is asked about every expression, over empty
tables of the right shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

from nrtctl.clickhouse.error_codes import OF_ITS_SQL, Failure, meaning_of
from nrtctl.clickhouse.queries import Statements
from nrtctl.errors import ConfigError, QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.condition_text import parse_condition
from nrtctl.schema import ddl, latest
from nrtctl.schema.allowing import allowing
from nrtctl.schema.columns import field_types, misfit
from nrtctl.schema.condition_sql import patterns
from nrtctl.schema.parsing import columns_as_named, parse_query

_CONDITION = re.compile(r"(?:LowCardinality\()?(?:Nullable\()?(?:U?Int8|Bool)\)*")
_MANY_ROWS = re.compile(
    r"^\s*FUNCTION id: \d+, function_name: (?:(arrayJoin),|\w+, function_type: window)",
    re.MULTILINE,
)

_CALLED = re.compile(r"function_name: (\w+)")
_VARYING = re.compile(
    r"(?:now|rand|generate|current|localtime|UTC_?timestamp|dateTimeToUUID|rowNumber|blockNumber)\w*"
    r"|today|yesterday|curdate|fuzzBits|\w*uptime|\w*queryID|\w*connectionID|transactionID|hostName"
    r"|FQDN|get\w*Setting\w*|blockS\w+|filesystem\w+|running\w+|neighbor|file",
    re.IGNORECASE,
)
"""Functions that may give two values for the same arguments."""

_QUERY = re.compile(r"^\s*QUERY id: ", re.MULTILINE)
_QUERIES = 2
"""Of an expression that reads no table: the one that it is in, and the one of the rows."""

_TABLE = re.compile(r"^\s*TABLE id: ", re.MULTILINE)
_ALIAS = re.compile(r"\balias: (\w+)")

_SCOPE = " In scope "
_WHERE = re.compile(rf"[.:]?{_SCOPE}.*?(\. Maybe you meant: .*?)?(\. \([A-Z_]+\))?$", re.DOTALL)
"""In an error of the engine, the whole statement around what is wrong."""

_RULE = "nrtctl_rule_{}"
"""A name for an expression among others, which no column has."""

_LOOKED_UP = re.compile(r"(?:dict|join)\w+")

_FEW_VALUES = re.compile(
    r"LowCardinality\((?!(?:Nullable\()?(?:String|FixedString)\b)"
    r"(\w+(?:\((?:[^()]|\([^()]*\))*\))?)\)"
)


Client = Statements
"""The part of `ClickHouseClient` that applying needs."""


def pipeline_types(client: Client, pipeline: Pipeline) -> dict[str, str]:
    """The types of the pipeline's columns, as the engine derives them.

    Raises:
        ConfigError: a field's type is not supported, or the engine refuses an expression.
    """
    try:
        field_types(pipeline)
    except ValueError as error:
        raise ConfigError(f"pipeline.fields: {error}") from error
    client = allowing(client, pipeline)
    _patterns(client, pipeline)
    landing = _empty(ddl.landing_columns(decoded=pipeline.is_decoded))
    _defaults(client, pipeline)
    _described(client, "pipeline.fields", parse_query(_fields_only(pipeline), landing))
    _one_expression_each(client, _expressions(pipeline))
    every = ", ".join(["*", *columns_as_named(pipeline)])
    rows = f"SELECT {every} FROM (SELECT * FROM {_empty(ddl.parsed_columns(pipeline))})"
    described = _all_described(client, pipeline, rows)
    types = {}
    for name, sql in pipeline.columns.items():
        if name not in described:
            raise ConfigError(f"pipeline.columns.{name}: {sql!r} is not a single value")
        types[name] = _may_be_stored(client, described[name])
    for number, (text, sql) in enumerate(pipeline.rejects.items()):
        kind = described.get(_RULE.format(number), "no value")
        if not _CONDITION.fullmatch(kind):
            raise ConfigError(
                f"pipeline.rejects.{text!r}: {sql!r} returns {kind}, not true or false",
                hint="write a condition, such as `amount > 100`",
            )
    _a_row_for_a_row(client, pipeline, rows)
    table = _empty(_without_defaults(ddl.table_columns(pipeline, types)))
    for name, rollup in pipeline.rollups.items():
        _described(client, f"pipeline.rollups.{name}", ddl.rollup_query(rollup, table))
    _latest(client, pipeline, types, table)
    if pipeline.partition_by:
        _described(
            client, "pipeline.partition_by", f"SELECT ({pipeline.partition_by}) AS p FROM {table}"
        )
    return types


def _all_described(client: Client, pipeline: Pipeline, rows: str) -> dict[str, str]:
    """The types of all that `rows` have, and of the reject rules, whose names are `_RULE`.

    Asked for together; one after the other where the engine refuses that, which tells what of it.
    """
    rules = {_RULE.format(number): sql for number, sql in enumerate(pipeline.rejects.values())}
    together = "".join(f", ({sql}) AS {name}" for name, sql in rules.items())
    with suppress(ConfigError):
        return _described(client, "pipeline", f"SELECT *{together} FROM ({rows})")
    try:
        described = _described(client, "pipeline.columns", rows)
    except ConfigError:
        _wrong_column(client, pipeline, f"(SELECT * FROM {_empty(ddl.parsed_columns(pipeline))})")
        raise
    for text, (name, sql) in zip(pipeline.rejects, rules.items(), strict=True):
        key = f"pipeline.rejects.{text!r}"
        described |= _described(client, key, f"SELECT ({sql}) AS {name} FROM ({rows})")
    return described


def _wrong_column(client: Client, pipeline: Pipeline, rows: str) -> None:
    """Raises ConfigError: the engine refuses a column beside those before it. One that refers to
    one behind it is passed over."""
    named = dict(zip(pipeline.columns, columns_as_named(pipeline), strict=True))
    accepted: list[str] = []
    for name, sql in named.items():
        try:
            client.query(f"DESCRIBE (SELECT {', '.join(['*', *accepted, sql])} FROM {rows})")
        except QueryError as error:
            others = [f"`{each}`" for each, other in named.items() if other not in accepted]
            why = _WHERE.sub(r"\1\2", error.message)
            if meaning_of(error).cause in OF_ITS_SQL and not any(each in why for each in others):
                raise ConfigError(f"pipeline.columns.{name}: {why}") from error
        else:
            accepted.append(sql)


def _may_be_stored(client: Client, kind: str) -> str:
    """The type of a column for values of `kind`: what is computed from a LowCardinality text has a
    type of which servers make no column unless they are told to."""
    plain = _FEW_VALUES.sub(lambda found: found[1], kind)
    if plain == kind:
        return kind
    try:
        client.query(f"DESCRIBE (SELECT * FROM {_empty({'x': kind})})")
    except QueryError as error:
        if meaning_of(error).cause not in OF_ITS_SQL:
            raise
        return plain
    return kind


def _defaults(client: Client, pipeline: Pipeline) -> None:
    """Refuse a default that does not fit its type, as a value in a message would not."""
    for name, kind in field_types(pipeline).items():
        spec = pipeline.fields[name]
        for given in dict.fromkeys(spec.defaults):
            if given is None:
                continue
            ((wrong,),) = client.query(misfit(kind, spec.type, given))
            if wrong and spec.default == "empty":
                raise ConfigError(
                    f'pipeline.fields.{name}: default: "empty": the type {spec.type} cannot be '
                    "empty",
                    hint="make them Nullable, as in Tuple(id Nullable(UInt32), tags Array(String))",
                )
            if wrong:
                raise ConfigError(
                    f"pipeline.fields.{name}: default: {given} is not a {spec.type}",
                    hint="write a default as it would be in a message: times as ISO 8601",
                )


def _patterns(client: Client, pipeline: Pipeline) -> None:
    """Refuse a regular expression that ClickHouse does not know, such as one that looks ahead."""
    if pipeline.when is None:
        return
    for pattern in patterns(parse_condition(pipeline.when)):
        try:
            client.query(f"SELECT match('', {pattern})")
        except QueryError as error:
            if meaning_of(error).failure not in {Failure.DATA, Failure.STOP}:
                raise
            raise ConfigError(
                f"pipeline.when: ClickHouse does not accept the regular expression {pattern}: "
                f"{error.message}"
            ) from error


def _fields_only(pipeline: Pipeline) -> Pipeline:
    return pipeline.model_copy(update={"columns": {}, "rejects": {}})


def _a_row_for_a_row(client: Client, pipeline: Pipeline, rows: str) -> None:
    """Refuse what would multiply rows, or depend on which messages came in one batch."""
    named = {f"columns.{name}": sql for name, sql in pipeline.columns.items()}
    named |= {f"rejects.{name!r}": sql for name, sql in pipeline.rejects.items()}
    _alone(client, named, rows)


def _alone(client: Client, named: Mapping[str, str], rows: str) -> None:
    """Asked about all together; one after the other where something is found, or refused."""
    every = ", ".join(f"({sql}) AS {_RULE.format(at)}" for at, sql in enumerate(named.values()))
    with suppress(QueryError):
        if not named or _many_rows(client, every, rows) is None:
            return
    for key, sql in named.items():
        if found := _many_rows(client, f"({sql}) AS r", rows):
            raise ConfigError(
                f"pipeline.{key}: {sql!r} uses {found}, which needs more than one message",
                hint="a column or rule is computed from the fields of a single message",
            )


def _many_rows(client: Client, expressions: str, rows: str) -> str | None:
    """What of it makes several rows of one, or one of several."""
    tree = client.query(f"EXPLAIN QUERY TREE SELECT {expressions} FROM ({rows})")
    found = _MANY_ROWS.search("\n".join(str(line) for (line,) in tree))
    return None if found is None else found[1] or "a window function"


def _empty(columns: Mapping[str, str]) -> str:
    return f"null({literal(ddl.structure(columns))})"


def _without_defaults(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: kind.split(" DEFAULT ")[0] for name, kind in columns.items()}


def _described(client: Client, key: str, query: str) -> dict[str, str]:
    try:
        rows = client.query(f"DESCRIBE ({query})")
    except QueryError as error:
        if meaning_of(error).cause not in OF_ITS_SQL:
            raise
        why = _WHERE.sub(r"\1\2", error.message)
        raise ConfigError(f"{key}: {why}") from error
    return {str(row[0]): str(row[1]) for row in rows}


def _expressions(pipeline: Pipeline) -> dict[str, str]:
    """Key of the configuration to SQL."""
    named = {f"columns.{n}": sql for n, sql in pipeline.columns.items()}
    named |= {f"rejects.{n!r}": sql for n, sql in pipeline.rejects.items()}
    for rollup, definition in pipeline.rollups.items():
        named |= {f"rollups.{rollup}.by.{n}": sql for n, sql in definition.by.items()}
        named |= {f"rollups.{rollup}.values.{n}": sql for n, sql in definition.values.items()}
    if pipeline.partition_by:
        named["partition_by"] = pipeline.partition_by
    return named | _of_latest(pipeline)


def _of_latest(pipeline: Pipeline) -> dict[str, str]:
    """Key of the configuration to SQL, of the current states."""
    return {
        f"latest.{name}.{key}": sql
        for name, each in pipeline.latest.items()
        for key, sql in (("version", each.version), ("deleted", each.deleted))
        if sql is not None
    }


def _latest(client: Client, pipeline: Pipeline, types: Mapping[str, str], table: str) -> None:
    """Refuse a current state that would depend on more than the rows, or have no order."""
    if not pipeline.latest:
        return
    known = {name: kind.text for name, kind in field_types(pipeline).items()} | dict(types)
    columns = ", ".join(latest.columns_of_rows(pipeline))
    rows = f"SELECT {columns} FROM {table}"
    for name, each in pipeline.latest.items():
        for column in each.key:
            if latest.NO_KEY.search(known[column]):
                raise ConfigError(
                    f"pipeline.latest.{name}.key: {column} is {known[column]}, some of whose "
                    "values equal no value, so it cannot be a key",
                    hint='make a column from it: id = "coalesce(new_id, old_id, 0)"',
                )
    for key, sql in _of_latest(pipeline).items():
        beside = f"SELECT {columns}, ({sql}) AS r FROM ({rows})"
        kind = _described(client, f"pipeline.{key}", beside).get("r", "no value")
        if key.endswith(".deleted") and not _CONDITION.fullmatch(kind):
            raise ConfigError(
                f"pipeline.{key}: {sql!r} returns {kind}, not true or false",
                hint="write a condition, such as `op = 'd'`",
            )
        if key.endswith(".version") and not latest.VERSION.fullmatch(kind):
            raise ConfigError(
                f"pipeline.{key}: {sql!r} returns {kind}, but a version must be a whole number "
                "of up to 64 bits, a DateTime64 or a Decimal of up to 18 digits, and never NULL",
                hint="convert it, as in toDateTime64(changed, 0), toInt64(number) or "
                "ifNull(number, 0)",
            )
    _alone(client, _of_latest(pipeline), rows)
    _of_the_row_alone(client, _of_latest(pipeline), rows)
    _the_same_each_time(client, pipeline, rows)


def _of_the_row_alone(client: Client, named: Mapping[str, str], rows: str) -> None:
    """Refuse what reads other rows, or gives a name to a part of it, which would be read where the
    state's own column of that name is meant."""
    for key, sql in named.items():
        written, resolved = (_tree(client, sql, rows, passes) for passes in (0, 1))
        if len(_QUERY.findall(written)) > _QUERIES or _TABLE.search(resolved):
            raise ConfigError(
                f"pipeline.{key}: {sql!r} reads a table, whose rows may change, so a current "
                "state would differ from the table",
                hint="compute it from the fields and columns of the row alone",
            )
        if found := _ALIAS.search(written):
            raise ConfigError(
                f"pipeline.{key}: {sql!r} has a part with a name of its own, {found[1]}",
                hint="leave out AS; that part can be a column in [pipeline.columns]",
            )


def _the_same_each_time(client: Client, pipeline: Pipeline, rows: str) -> None:
    """Refuse functions that may give another value for the same row: a state computes the columns
    once more than the table does, and the version and the condition again whenever it is checked.
    """
    columns = {f"columns.{name}": sql for name, sql in pipeline.columns.items()}
    own = _of_latest(pipeline)
    for key, sql in (columns | own).items():
        trees = "\n".join(_tree(client, sql, rows, passes) for passes in (0, 1))
        for called in _CALLED.findall(trees):
            if _VARYING.fullmatch(called) or (key in own and _LOOKED_UP.fullmatch(called)):
                raise ConfigError(
                    f"pipeline.{key}: {sql!r} uses {called}, which may return another value "
                    "each time, so a current state would differ from the table",
                    hint="_timestamp is the message's time",
                )


def _tree(client: Client, sql: str, rows: str, passes: int) -> str:
    """What an expression is made of. Args: passes: 0: as it is written; 1: functions that somebody
    has made of SQL are what they stand for."""
    explained = f"EXPLAIN QUERY TREE run_passes = {passes} SELECT ({sql}) FROM ({rows})"
    return "\n".join(str(line) for (line,) in client.query(explained))


def _one_expression_each(client: Client, named: Mapping[str, str]) -> None:
    """What parses both bare and in parentheses cannot end the parenthesis it will stand in, nor
    comment out what follows."""
    forms = {key: (f"SELECT {sql}", f"SELECT ({sql}) AS x") for key, sql in named.items()}
    if not forms or _parses(client, [each for pair in forms.values() for each in pair]) is None:
        return
    for key, pair in forms.items():
        error = _parses(client, list(pair))
        if error is not None:
            raise ConfigError(
                f"pipeline.{key}: {named[key]!r} is not a single SQL expression: {error.message}"
            ) from error


def _parses(client: Client, statements: list[str]) -> QueryError | None:
    texts = ", ".join(f"formatQuery({literal(text)})" for text in statements)
    try:
        client.query(f"SELECT {texts}")
    except QueryError as error:
        if meaning_of(error).cause not in OF_ITS_SQL:
            raise
        return error
    return None
