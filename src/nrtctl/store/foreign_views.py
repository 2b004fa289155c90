"""Whether an insert fails because of a materialized view that somebody else has put on our tables.

ClickHouse names the views through which rows were pushed when an insert failed, innermost first.
Where a view could not even be started (its target is gone, or a table that its query reads), it
names none, and the views are looked at. Asked by `throwing` where an insert fails, never before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from nrtctl.clickhouse.client import AccessRefused, ClickHouseGone, QueryError
from nrtctl.clickhouse.cluster import replicas
from nrtctl.clickhouse.error_codes import Cause, explain
from nrtctl.clickhouse.queries import Queries
from nrtctl.pipeline import Pipeline
from nrtctl.schema.cluster_ddl import feeding_views, on_each_server

_NAME = r"(?:`(?:[^`\\]|\\.)*`|\w+)"
_VIEW = rf": while pushing to view ({_NAME})\.({_NAME})(?: \([0-9a-f-]{{36}}\))?"
_PUSHED = re.compile(rf"((?:{_VIEW})+)\.?(?: \([A-Z][A-Z0-9_]*\))(?: \(version [^)]*\)+.*)?$")
"""At the end of an error: what is before may quote a message."""
_INTO = re.compile(
    rf"CREATE MATERIALIZED VIEW {_NAME}\.{_NAME}(?: UUID \S+)? TO ({_NAME})\.({_NAME})"
)

STARTED = frozenset({Cause.STATEMENT, Cause.MISSING, Cause.RIGHTS, Cause.UNKNOWN})
"""Failures of a view that could not be started."""
OF_A_VIEW = STARTED | {Cause.VALUES, Cause.ARGUMENTS, Cause.FORBIDDEN, Cause.READ_ONLY}


class View(NamedTuple):
    """Its names, without quotes."""

    database: str
    name: str

    def __str__(self) -> str:
        return ".".join(map(_quoted, self))


def of_error(
    queries: Queries,
    pipeline: Pipeline,
    database: str,
    cluster: str | None,
    error: QueryError | AccessRefused | ClickHouseGone,
) -> str:
    """Which view that is not nrtctl's an insert fails because of, and why; empty: of none.

    Raises ClickHouseGone.
    """
    if isinstance(error, ClickHouseGone):
        return ""
    said = " ".join(str(error.__cause__ or error.message).split())
    if explain(error.code, said).cause not in OF_A_VIEW:
        return ""
    pushed = pushed_to(said)
    if not pushed:
        return _not_started(queries, pipeline, database, cluster, error)
    own = {View(database, name) for name in feeding_views(pipeline, database, cluster)}
    others = [view for view in pushed if view not in own]
    if not others:
        return ""
    try:
        if others[-1] not in _foreign(queries, own, pipeline, cluster):
            return ""
    except (QueryError, AccessRefused):
        pass  # the user may not look, and the server has named it
    return _words(others[0], error.message)


def pushed_to(said: str) -> list[View]:
    """The views that an error says rows were pushed to when it came, innermost first."""
    found = _PUSHED.search(said)
    if found is None:
        return []
    return [View(*map(_plain, each)) for each in re.findall(_VIEW, found[1])]


def _words(view: View, message: str) -> str:
    why = re.sub(rf"(?:{_VIEW})+", "", message)
    return (
        f"the view {view}, which is not nrtctl's, fails, and with it every insert: {why}; mend it, "
        f"or drop it with `DROP VIEW {view}`: the rows wait for it, and none becomes a dead letter"
    )


def _not_started(
    queries: Queries,
    pipeline: Pipeline,
    database: str,
    cluster: str | None,
    error: QueryError | AccessRefused,
) -> str:
    """As `of_error`, where no view is named: the first that cannot be started."""
    if explain(error.code, error.message).cause not in STARTED:
        return ""
    own = {View(database, name) for name in feeding_views(pipeline, database, cluster)}
    try:
        views = _foreign(queries, own, pipeline, cluster)
    except (QueryError, AccessRefused):
        return ""
    for view, (target, query) in views.items():
        if not query:
            continue  # not to be seen by this user
        if target is not None and not _exists(queries, target):
            return _words(view, f"its target {target} does not exist")
        try:
            queries.query(f"DESCRIBE ({query})")
        except QueryError as found:
            return _words(view, found.message)
    return ""


def _foreign(
    queries: Queries, own: set[View], pipeline: Pipeline, cluster: str | None
) -> Mapping[View, tuple[View | None, str]]:
    """The views behind our tables that are not ours: where each stores what, and its query; a view
    that the user may not see has an empty one."""
    after: dict[View, list[View]] = {}
    views: dict[View, tuple[View | None, str]] = {}
    for base, name, bases, names, made_by, query in queries.query(
        "SELECT database, name, dependencies_database, dependencies_table, "
        "if(engine = 'MaterializedView', create_table_query, ''), as_select "
        f"FROM {replicas('system.tables', cluster)} "
        "WHERE engine = 'MaterializedView' OR notEmpty(dependencies_table)"
    ):
        at = View(base, name)
        after.setdefault(at, []).extend(map(View, bases, names))
        if made_by:
            into = _INTO.match(made_by)
            views[at] = (View(*map(_plain, into.groups())) if into else None, query)
    here = next(iter(own)).database
    tables = on_each_server(pipeline, cluster)
    left = [View(here, name) for name in (tables.landing, tables.parsed)]
    left += [View(here, name) for name in (tables.table, tables.dead_letters)]
    left += list(own)
    seen: set[View] = set()
    found: dict[View, tuple[View | None, str]] = {}
    while left:
        at = left.pop()
        if at in seen:
            continue
        seen.add(at)
        left += after.get(at, [])
        for view in after.get(at, []):
            if view not in own:
                found[view] = views.get(view, (None, ""))
        target = views.get(at, (None, ""))[0]
        left += [] if target is None else [target]
    return found


def _exists(queries: Queries, table: View) -> bool:
    return bool(
        queries.query(
            "SELECT 1 FROM system.tables WHERE database = {database:String} AND name = {n:String}",
            {"database": table.database, "n": table.name},
        )
    )


def _plain(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if name.startswith("`") else name


def _quoted(name: str) -> str:
    if re.fullmatch(r"[A-Za-z_]\w*", name):
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
