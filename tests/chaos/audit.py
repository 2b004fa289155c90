"""What must hold after every fault: each message once, and every rollup and current state equal to
its rows.

`nrtctl verify` is asked, and so are Kafka and ClickHouse themselves, without it: a mistake in
`verify` must not hide a loss.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.chaos.arena import BESIDE, Arena
from tests.chaos.limits import Trouble

EVERYTHING = (
    "SELECT _partition, _offset FROM nrt.events UNION ALL "
    "SELECT _partition, _offset FROM nrt.dead_letters WHERE _topic = 'user_events'"
)
TORN = (
    "SELECT count() FROM (SELECT _partition, _offset FROM nrt.events GROUP BY _partition, _offset "
    "HAVING sum(_rows) != count() OR uniqExact(_row) != count())"
)
_ORDER = "intDiv(event_timestamp, 1000), _partition, _offset{row}"
STATE = (
    "SELECT count() FROM (SELECT user_id, argMax((event_id, status), ({order})) AS row "
    "FROM nrt.events GROUP BY user_id HAVING row.2 != 'ERROR') AS wanted FULL JOIN "
    "(SELECT user_id, (event_id, status) AS row FROM nrt.newest) AS found USING user_id "
    "WHERE wanted.row != found.row"
)
WITHOUT_PROJECTIONS = {"optimize_use_projections": 0, "optimize_use_implicit_projections": 0}


@dataclass(frozen=True, slots=True)
class Finding:
    """Numbers of messages, and what else is wrong ("" if nothing is)."""

    lost: int
    duplicated: int
    wrong: str = ""

    @property
    def good(self) -> bool:
        return not (self.lost or self.duplicated or self.wrong)


def audit(arena: Arena) -> Finding:
    """After the last producer and the last consumer have ended.

    Raises:
        Hang, Trouble: something does not answer.
    """
    wrong: list[str] = []
    ends = arena.kafka.ends()
    in_log = sum(high - low for low, high in ends.values())
    expected = arena.expected
    lost = max(0, expected.acknowledged - in_log)
    duplicated = max(0, in_log - expected.acknowledged - expected.unsure)
    if not arena.past(ends) or arena.in_flight():
        wrong.append(f"not committed to the end: {arena.kafka.committed()}, log {ends}")
    everything = EVERYTHING
    if arena.style.several:
        everything = everything.replace("nrt.events ", "nrt.events WHERE _rows > 0 ")
        torn = _numbers(arena, TORN)
        if torn != (0,):
            wrong.append(f"{torn[0]} messages are stored in part")
    rows, distinct = _numbers(
        arena, f"SELECT count(), uniqExact(_partition, _offset) FROM ({everything})"
    )
    lost += max(0, in_log - distinct)
    duplicated += rows - distinct
    code, report = arena.verify()
    said = {name: report[name] for name in ("stored", "dead_letters", "missing", "duplicated")}
    if said["stored"] + said["dead_letters"] != rows or code != (
        0 if lost + duplicated == 0 else 5
    ):
        wrong.append(f"verify ended with {code} and {said}, but there are {rows} rows")
    lost = max(lost, said["missing"])
    duplicated = max(duplicated, said["duplicated"])
    if not lost and not duplicated and not expected.unsure:
        letters = expected.dead
        if said["dead_letters"] != letters:
            wrong.append(f"{said['dead_letters']} dead letters, but {letters} bad messages")
    wrong += _wrong_rollups(arena, report["rows"])
    if arena.style.latest:
        order = _ORDER.format(row=", _row" if arena.style.several else "")
        (differ,) = _numbers(arena, STATE.format(order=order))
        wrong += [f"the current state of {differ} keys is not that of the rows"] if differ else []
    if arena.style.beside:
        for name in BESIDE:
            beside = _of_beside(arena, name)
            lost, duplicated = lost + beside.lost, duplicated + beside.duplicated
            wrong += [beside.wrong] if beside.wrong else []
    return Finding(lost, duplicated, "; ".join(wrong))


def _of_beside(arena: Arena, name: str) -> Finding:
    """The same for a pipeline beside the events, whose consumer may have been ended earlier."""
    arena.run("consume", "--until-end", "--pipeline", name)
    letters = f"SELECT _partition, _offset FROM nrt.dead_letters WHERE _topic = '{name}'"
    rows, distinct = _numbers(
        arena,
        f"SELECT count(), uniqExact(_partition, _offset) FROM "
        f"(SELECT _partition, _offset FROM nrt.{name} UNION ALL {letters})",
    )
    code, report = arena.verify("--pipeline", name)
    expected = arena.expected.beside
    wrong = ""
    if code != (0 if rows == distinct == expected else 5):
        wrong = f"{name}: verify ended with {code} and {report}, but there are {rows} rows"
    if 10 * report["dead_letters"] != expected:
        wrong += f"{name}: {report['dead_letters']} dead letters of {expected} messages"
    return Finding(max(0, expected - distinct), rows - distinct, wrong)


def _numbers(arena: Arena, sql: str) -> tuple[int, ...]:
    text = arena.front.sql(sql, default_format="TSV", **WITHOUT_PROJECTIONS)
    return tuple(int(part) for part in text.split("\t"))


def _wrong_rollups(arena: Arena, stored: int) -> list[str]:
    """The rollup as its projection tells it, against the same aggregation over the rows."""
    sql = "SELECT * FROM nrt.event_metrics ORDER BY minute, event_type"
    forced = stored and not arena.style.shards  # there each shard has its own
    told = _rows(arena, sql, {"force_optimize_projection": 1} if forced else {})
    counted = _rows(arena, sql, WITHOUT_PROJECTIONS)
    wrong = []
    if told != counted:
        differ = [pair for pair in zip(told, counted, strict=False) if pair[0] != pair[1]]
        wrong.append(
            f"the rollup differs from its rows: {len(told)} and {len(counted)} groups, "
            f"first {differ[:1]}"
        )
    total = sum(int(row["total_events"]) for row in told)
    if total != stored:
        wrong.append(f"the rollup counts {total} events, the table holds {stored}")
    return wrong


def _rows(arena: Arena, sql: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    answer = arena.front.request(sql, default_format="JSONEachRow", **settings)
    if answer.status != 200:
        raise Trouble(f"ClickHouse: {answer.text[:500]}")
    return [json.loads(line) for line in answer.text.splitlines()]
