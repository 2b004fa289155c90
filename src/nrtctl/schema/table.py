"""The pipeline's own table where it is there already: what it lacks, and how it gets that.

Called by `apply` before it changes anything. Every change is first tried on an empty table of the
same structure, so that a table is changed as a whole or not at all.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from nrtctl.clickhouse.error_codes import OF_ITS_SQL, meaning_of
from nrtctl.clock import SystemClock
from nrtctl.errors import ConfigError, QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.keeping import keeps
from nrtctl.schema import ddl, existing, projections
from nrtctl.schema.check import Client
from nrtctl.schema.empty_table import alter_without_rows
from nrtctl.schema.existing import Existing

ENGINES = ("MergeTree", "ReplicatedMergeTree", "SharedMergeTree")
"""Those that keep each row as it was inserted, so that rows can be counted by their offsets."""

_ADDED_BY = "added by nrtctl to a table that was there"
"""The comment of `_topic` in a table that nrtctl did not create."""

_CONSTRAINT = re.compile(r"^    CONSTRAINT (\S+) (?:CHECK|ASSUME) ", re.MULTILINE)
_COLUMN_TTL = re.compile(r"^    (`\S+`) [^\n']* TTL ", re.MULTILINE)
"""In a statement as the engine writes it, with a line for each column."""

_FAMILY = re.compile(r"\b(String|Float|Bool)")
"""Numbers or names as text, whole numbers as floating-point numbers and truths as numbers are of
another meaning."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an existing table needs.

    Attributes:
        clauses: of one ALTER TABLE, in their order.
        without: projections of rollups that must be dropped before; `apply` adds them again.
        again: the table has no rows, and what is wanted cannot be altered.
        converts: it has none, and rows might get other values by it.
        words: for `Step`.
        ttl, settings: of `again`: what a user has given it, and the new one gets.
    """

    clauses: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    again: bool = False
    converts: bool = False
    words: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    ttl: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


class _Column(NamedTuple):
    kind: str
    made_by: str
    """The kind of its default: DEFAULT, MATERIALIZED, ALIAS, EPHEMERAL, or nothing."""
    key: bool
    comment: str


@dataclass(slots=True)
class _Found:
    """What the comparison has found so far."""

    added: dict[str, str] = field(default_factory=dict)
    typed: dict[str, tuple[str, str]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    converts: bool = False


def change(
    client: Client,
    pipeline: Pipeline,
    database: str,
    there: Existing,
    column_types: Mapping[str, str],
) -> Change:
    """What the table of the pipeline, which exists, needs; tried.

    Raises:
        ConfigError: it cannot be had; nothing was changed.
    """
    name = f"{database}.{pipeline.table}"
    engine = there.tables[pipeline.table]
    if engine not in ENGINES:
        raise ConfigError(
            f"{name} cannot be used for the rows: {_why_not(engine)}", hint=_another_table()
        )
    columns = _columns(client, database, pipeline.table)
    made_here = (
        all(column in columns for column in existing.BEFORE)
        and columns["_topic"].comment != _ADDED_BY
    )
    empty = not client.query(f"SELECT 1 FROM {name} LIMIT 1")
    wanted = ddl.table_columns(pipeline, column_types)
    found = _compared(client, pipeline, wanted, columns, made_here=made_here, empty=empty)
    _keys(client, pipeline, database, found, made_here=made_here, empty=empty)
    if pipeline.rows is None and {"_row", "_rows"} <= columns.keys():
        if not (empty and made_here):
            raise ConfigError(
                f"pipeline.rows: in the table {name} a message may be several rows, and without "
                "pipeline.rows each row would count as a message",
                hint=f"set pipeline.rows again, or {_anew(pipeline)}",
            )
        found.again.append("without pipeline.rows")
    if found.refused:
        raise ConfigError(
            f"{'; '.join(found.refused)}",
            hint=_how(pipeline, made_here=made_here),
        )
    idle = tuple(each for each in columns if each not in wanted)
    if found.again and made_here:
        return _again(client, pipeline, database, column_types, [*found.again, *_gone(idle)])
    without = tuple(
        each
        for each, query in there.projections(pipeline.table).items()
        if any(re.search(rf"\b{column}\b", query) for column in found.typed)
    )
    clauses = [f"MODIFY COLUMN `{each}` {kind}" for each, (_, kind) in found.typed.items()]
    words = [f"{each} {old} → {new}" for each, (old, new) in found.typed.items()]
    if found.added:
        words.append(f"+ {', '.join(found.added)}")
    settings = [] if "_topic" in columns else [f"MODIFY SETTING {ddl.WINDOW}"]
    anew = projections.changed(pipeline, database, there)
    known = there.projections(pipeline.table)
    dropped = [*without, *(each for each in anew if each in known and each not in without)]
    built = [sql for each, sql in ddl.projections(pipeline).items() if each in {*anew, *without}]
    computed, plain = (
        [*clauses, *_adding(more), *settings]
        for more in (_computed(pipeline, found.added), found.added)
    )
    if not plain and not built:
        return Change(idle=idle)
    chosen, refusal = _tried(client, pipeline, database, dropped, built, computed, plain)
    if chosen is None and not (made_here and empty):
        raise ConfigError(
            f"pipeline: the table {name} cannot be changed as the configuration asks: {refusal}",
            hint=_how(pipeline, made_here=made_here),
        )
    if chosen is None:
        return _again(client, pipeline, database, column_types, [*words, *_gone(idle)])
    return Change(tuple(chosen), without, converts=found.converts, words=tuple(words), idle=idle)


def _trial_name(table: str) -> str:
    """Of its own, so that two that run at once do not disturb each other."""
    return f"{table}_trial_{secrets.token_hex(4)}"


def drop_trials(client: Client, database: str, table: str, there: Existing) -> None:
    """Those that were left when the one who tried was killed."""
    trial = f"^{table}_trial_[0-9a-f]{{8}}$"
    if not any(re.search(trial, name) for name in there.tables):
        return
    for (name,) in client.query(
        "SELECT name FROM system.tables WHERE database = {d:String} "
        "AND match(name, {p:String}) AND metadata_modification_time < now() - 60",
        {"d": database, "p": trial},
    ):
        client.command(f"DROP TABLE IF EXISTS {database}.{name}")


def try_new(
    client: Client, pipeline: Pipeline, database: str, column_types: Mapping[str, str]
) -> None:
    """Raises ConfigError: the engine refuses the table, which does not exist, in the database,
    which does."""
    trial = pipeline.model_copy(update={"table": _trial_name(pipeline.table)})
    try:
        client.command(ddl.table(trial, database, column_types))
    except QueryError as error:
        if meaning_of(error).cause not in OF_ITS_SQL:
            raise
        raise ConfigError(
            f"pipeline: the table {database}.{pipeline.table} cannot be created: {error.message}"
        ) from error
    finally:
        client.command(f"DROP TABLE IF EXISTS {database}.{trial.table}")


def carry_out(client: Client, pipeline: Pipeline, database: str, wanted: Change) -> bool:
    """Alter the table; of `again`, see `make_again`. Whether it was done; else rows came that it
    would have changed."""
    name, clauses = pipeline.table, ", ".join(wanted.clauses)
    for each in wanted.without:
        projections.drop(client, database, name, each)
    if wanted.converts:
        return alter_without_rows(client, database, name, clauses, SystemClock())
    if clauses:
        client.command(f"ALTER TABLE {database}.{name} {clauses}")
    return True


def _again(
    client: Client,
    pipeline: Pipeline,
    database: str,
    column_types: Mapping[str, str],
    words: Sequence[str],
) -> Change:
    """The table is created again, with the TTL and the settings that a user has given it.

    Raises:
        ConfigError: the new one cannot have them, or something else of the user's would be lost.
    """
    name = f"{database}.{pipeline.table}"
    trial = pipeline.model_copy(update={"table": _trial_name(pipeline.table)})
    there_ttl, there_settings = _by_hand(client, database, pipeline.table)
    hint = f"remove it from {name}, run `nrtctl up`, and add it again"
    ttl, settings = "", dict[str, str]()
    try:
        client.command(ddl.table(trial, database, column_types))
        if lost := _lost(client, database, pipeline.table, trial.table):
            raise ConfigError(
                f"the table {name} must be created again for this ({', '.join(words)}), and "
                f"{', '.join(lost)} would be lost",
                hint=hint,
            )
        _, own = _by_hand(client, database, trial.table)
        ttl = there_ttl
        settings = {key: value for key, value in there_settings.items() if own.get(key) != value}
        if ttl or settings:
            client.command(f"DROP TABLE IF EXISTS {database}.{trial.table}")
            client.command(ddl.table(trial, database, column_types, ttl=ttl, settings=settings))
    except QueryError as error:
        if meaning_of(error).cause not in OF_ITS_SQL:
            raise
        kept = [f"TTL {ttl}"] * bool(ttl) + [f"{key} = {each}" for key, each in settings.items()]
        raise ConfigError(
            f"the table {name} must be created again for this ({', '.join(words)}), and cannot "
            f"keep {', '.join(kept) or 'its structure'}: {error.message}",
            hint=hint,
        ) from error
    finally:
        client.command(f"DROP TABLE IF EXISTS {database}.{trial.table}")
    return Change(again=True, words=tuple(words), ttl=ttl, settings=settings)


def _gone(idle: Sequence[str]) -> list[str]:
    """In words, the columns that the pipeline does not have."""
    return [f"without {name}" for name in idle if not name.startswith("_")]


def _lost(client: Client, database: str, table: str, new: str) -> list[str]:
    """What somebody has given the table, and the new one does not have, beside ordinary columns."""
    at = {"d": database, "t": table}
    found = client.query(
        "SELECT 'index', name FROM system.data_skipping_indices "
        "WHERE database = {d:String} AND table = {t:String} "
        "AND NOT startsWith(name, 'auto_minmax_index_') "  # the server's own
        "UNION ALL SELECT 'projection', name FROM system.projections "
        "WHERE database = {d:String} AND table = {t:String} "
        "AND NOT startsWith(name, 'nrtctl_') AND position(query, ' AS _value1') = 0 "
        "UNION ALL SELECT 'comment', '' FROM system.tables "
        "WHERE database = {d:String} AND name = {t:String} AND comment != ''",
        at,
    )
    lost = [f"its {kind} {name}".rstrip() for kind, name in sorted(found)]
    ((create,),) = client.query(
        "SELECT formatQuery(create_table_query) FROM system.tables "
        "WHERE database = {d:String} AND name = {t:String}",
        at,
    )
    lost += [f"its constraint {each}" for each in _CONSTRAINT.findall(str(create))]
    lost += [f"the TTL of {each}" for each in _COLUMN_TTL.findall(str(create))]
    of_columns = (
        "SELECT name, default_kind IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL'), compression_codec, "
        "comment FROM system.columns WHERE database = {d:String} AND table = {t:String}"
    )
    kept = {row[0]: row[1:] for row in client.query(of_columns, {"d": database, "t": new})}
    for name, computed, *own in client.query(of_columns, at):
        if computed and name not in kept:
            lost.append(f"its column {name}")
            continue
        others = kept.get(name, (0, "", ""))[1:]
        for what, mine, other in zip(("codec", "comment"), own, others, strict=True):
            lost += [f"the {what} of {name}"] * bool(mine and mine != other)
    return lost


def _by_hand(client: Client, database: str, table: str) -> tuple[str, dict[str, str]]:
    """The TTL and the settings that a table has."""
    ((text,),) = client.query(
        "SELECT engine_full FROM system.tables WHERE database = {d:String} AND name = {t:String}",
        {"d": database, "t": table},
    )
    engine, _, settings = str(text).rpartition(" SETTINGS ")
    return engine.partition(" TTL ")[2], ddl.settings_of(settings)


_WHOLE = {"mutations_sync": 2}


def _columns(client: Client, database: str, table: str) -> dict[str, _Column]:
    rows = client.query(
        "SELECT name, type, default_kind, is_in_sorting_key OR is_in_partition_key "
        "OR is_in_primary_key, comment FROM system.columns "
        "WHERE database = {d:String} AND table = {t:String}",
        {"d": database, "t": table},
    )
    return {
        str(name): _Column(str(kind), str(made), bool(key), str(comment))
        for name, kind, made, key, comment in rows
    }


def _compared(
    client: Client,
    pipeline: Pipeline,
    wanted: Mapping[str, str],
    columns: Mapping[str, _Column],
    *,
    made_here: bool,
    empty: bool,
) -> _Found:
    found = _Found()
    for name, kind in existing.canonical(client, wanted).items():
        there = columns.get(name)
        if there is None:
            found.added[name] = wanted[name]
            if name == "_topic":
                found.added[name] += f" COMMENT '{_ADDED_BY}'"
        elif there.made_by in {"ALIAS", "MATERIALIZED", "EPHEMERAL"}:
            found.refused.append(
                f"{_key(pipeline, name)}: the column {name} of the table is {there.made_by}, so "
                "nothing can be inserted into it"
            )
        elif there.kind == kind:
            continue
        elif name.startswith("_"):
            if not made_here:
                found.refused.append(
                    f"the table has a column {name} of the type {there.kind}, and nrtctl needs "
                    f"that name for {kind}"
                )
        elif not made_here and keeps(there.kind, kind):
            continue
        elif empty:
            found.typed[name] = (there.kind, kind)
            found.converts |= not widens(there.kind, kind)
            found.again += [f"{name} {there.kind} → {kind}"] * there.key
            if there.key and not made_here:
                found.refused.append(_another_type(pipeline, name, there, kind))
        elif widens(there.kind, kind) and not there.key:
            found.typed[name] = (there.kind, kind)
        else:
            found.refused.append(_another_type(pipeline, name, there, kind))
    return found


def widens(stored: str, wanted: str) -> bool:
    """Whether a column of the type `stored` can have the type `wanted` without a changed value, or
    another meaning of it. Pure."""
    families = [_FAMILY.search(kind) for kind in (stored, wanted)]
    return keeps(wanted, stored) and len({each and each[0] for each in families}) == 1


def _another_type(pipeline: Pipeline, name: str, there: _Column, kind: str) -> str:
    start = (
        f"{_key(pipeline, name)}: the table {pipeline.table} stores {there.kind}, but the "
        f"configuration says {kind}"
    )
    if there.key:
        return f"{start}, and the type of stored values cannot be changed in a key of the table"
    return (
        f"{start}, which cannot hold each of them unchanged, and the type of stored values "
        "cannot be changed to that"
    )


def _key(pipeline: Pipeline, name: str) -> str:
    return f"pipeline.{'fields' if name in pipeline.fields else 'columns'}.{name}"


def _keys(
    client: Client,
    pipeline: Pipeline,
    database: str,
    found: _Found,
    *,
    made_here: bool,
    empty: bool,
) -> None:
    for key, verb, has, wanted in existing.other_keys(client, pipeline, database):
        if not made_here and not getattr(pipeline, key):
            continue
        if empty and made_here:
            found.again.append(f"{verb} by {wanted or 'nothing'}")
            continue
        found.refused.append(
            (
                f"pipeline.{key}: the table {database}.{pipeline.table} is {verb} by ({has}), "
                f"but the configuration says ({wanted}); a table with rows cannot be {verb} in "
                "another way"
            )
            if not empty
            else f"pipeline.{key}: the table {database}.{pipeline.table}, which nrtctl has not "
            f"created, is {verb} by ({has}), but the configuration says ({wanted})"
        )


def _how(pipeline: Pipeline, *, made_here: bool) -> str:
    if made_here:
        return f"use a new column, or {_anew(pipeline)}"
    return "change the configuration to match the table, or set pipeline.table to an unused name"


def _anew(pipeline: Pipeline) -> str:
    """How the old messages come into a table as it is wanted."""
    if pipeline.topics is not None:  # `replay.into` refuses it: each topic has a group of its own
        return "set pipeline.table to a new name and leave out consumer.group, to store all again"
    return (
        f"run `nrtctl replay load --into {pipeline.table}_2 --swap`, which creates a new table "
        "from the old messages"
    )


def _another_table() -> str:
    return (
        "set pipeline.table to an unused name, and let a materialized view of your own pass "
        "the rows on to this table"
    )


def _why_not(engine: str) -> str:
    if engine.endswith("MergeTree"):
        return (
            f"its engine is {engine}, which merges rows, so that it would be impossible to "
            "tell whether each message is stored once"
        )
    if engine.endswith("View"):
        return f"it is a view ({engine})"
    return (
        f"its engine is {engine}, which supports neither the projections for counting rows nor "
        "deduplication"
    )


def _adding(columns: Mapping[str, str]) -> list[str]:
    return [f"ADD COLUMN IF NOT EXISTS `{name}` {kind}" for name, kind in columns.items()]


def _computed(pipeline: Pipeline, columns: Mapping[str, str]) -> dict[str, str]:
    """A column of the pipeline is its SQL for the rows from before, where the engine allows it."""
    return {
        name: f"{kind} DEFAULT ({pipeline.columns[name]})" if name in pipeline.columns else kind
        for name, kind in columns.items()
    }


def _tried(
    client: Client,
    pipeline: Pipeline,
    database: str,
    dropped: Sequence[str],
    built: Sequence[str],
    *choices: list[str],
) -> tuple[list[str] | None, str]:
    """The first of the lists of clauses that a table of this structure takes, where these
    projections are dropped before and those added after; None: none, and why, in the engine's
    words."""
    table, trial = f"{database}.{pipeline.table}", f"{database}.{_trial_name(pipeline.table)}"
    refusal = ""
    for clauses in choices:
        try:
            client.command(f"CREATE TABLE {trial} AS {table}")
            for each in dropped:
                client.command(f"ALTER TABLE {trial} DROP PROJECTION IF EXISTS {each}", _WHOLE)
            if clauses:
                client.command(f"ALTER TABLE {trial} {', '.join(clauses)}")
            for sql in built:
                client.command(f"ALTER TABLE {trial} ADD {sql}")
        except QueryError as error:
            if meaning_of(error).cause not in OF_ITS_SQL:
                raise
            refusal = error.message
        else:
            return clauses, ""
        finally:
            client.command(f"DROP TABLE IF EXISTS {trial}")
    return None, refusal
