"""What a draft stores of messages as they are in the world is what they say, value by value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.infer.draft import draft
from nrtctl.producer.drafting import tried
from nrtctl.producer.sample import Taken
from nrtctl.stack.trial_engine import Own


def stored(client: ClickHouseClient, *messages: Any) -> list[dict[str, Any]]:
    """The rows that the draft of these messages stores of them; times and such as JSON has them."""
    taken = Taken()
    for message in messages:
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        taken.add((None, text, 0, ()))
    values = Own(client)
    found = tried(draft(taken.sample, source="s", topic="t", table="t"), taken, values)
    assert found.trial is not None
    assert (found.trial.stored, dict(found.trial.reasons)) == (len(messages), {})
    pipeline = Pipeline(**found.draft.pipeline())
    assert not pipeline.columns
    values.hold(taken.messages, 0)
    parsed = values.parsed(pipeline, 0, len(messages))
    row = ", ".join(f"`{name}`" for name in pipeline.fields)
    shape = ", ".join(f"`{name}` {spec.type}" for name, spec in pipeline.fields.items())
    rows = client.query(
        f"SELECT toJSONString(CAST(tuple({row}), 'Tuple({quoted(shape)})')) FROM {parsed} "
        "WHERE _wrong = ''"
    )
    return [json.loads(text) for (text,) in rows]


def quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


SHAPES: dict[str, tuple[list[Any], list[dict[str, Any]]]] = {
    "search": (
        [
            {
                "took": 5,
                "hits": {
                    "total": {"value": 2},
                    "max_score": None,
                    "hits": [
                        {"_id": "a", "_source": {"@timestamp": "2024-05-06T07:08:09.5Z", "n": 1}},
                        {"_id": "b", "_source": {"@timestamp": "2024-05-06T07:08:10Z"}},
                    ],
                },
            }
        ],
        [
            {"id": "a", "source__timestamp": "2024-05-06 07:08:09.500", "source_n": 1, "took": 5,
             "hits_total_value": 2, "hits_max_score": None},
            {"id": "b", "source__timestamp": "2024-05-06 07:08:10.000", "source_n": None, "took": 5,
             "hits_total_value": 2, "hits_max_score": None},
        ],
    ),
    "prometheus": (
        [
            {
                "status": "success",
                "data": {
                    "result": [
                        {"metric": {"__name__": "up", "job": "a"},
                         "values": [[1435781430.781, "1"], [1435781445, "+Inf"]]},
                        {"metric": {"__name__": "up"}, "values": [[1435781430.5, "0.5"]]},
                    ]
                },
            }
        ],
        [
            {"values_0": at, "values_1": text, "status": "success", "metric": metric}
            for at, text, metric in [
                ("2015-07-01 20:10:30.781", "1", {"__name__": "up", "job": "a"}),
                ("2015-07-01 20:10:45.000", "+Inf", {"__name__": "up", "job": "a"}),
                ("2015-07-01 20:10:30.500", "0.5", {"__name__": "up"}),
            ]
        ],
    ),
    "metrics": (
        [
            {
                "metrics": [
                    {"name": "a", "sum": {"isMonotonic": True, "dataPoints": [{"v": 1.5}]}},
                    {"name": "b", "gauge": {"dataPoints": [{"v": 2}, {"v": 3.25}]}},
                ]
            }
        ],
        [
            {"v": 1.5, "name": "a", "sum_isMonotonic": True},
            {"v": 2, "name": "b", "sum_isMonotonic": None},
            {"v": 3.25, "name": "b", "sum_isMonotonic": None},
        ],
    ),
    "candles": (
        [[[1415398768, 0.32, 4], [1415398828, 0.3, 5]], [[1415398888, 0.25, 6]]],
        [
            {"f_0": "2014-11-07 22:19:28", "f_1": 0.32, "f_2": 4},
            {"f_0": "2014-11-07 22:20:28", "f_1": 0.3, "f_2": 5},
            {"f_0": "2014-11-07 22:21:28", "f_1": 0.25, "f_2": 6},
        ],
    ),
    "a candle": (
        [[1415398768, 0.32, 4], [1415398828, 0.3, 5]],
        [
            {"f_0": "2014-11-07 22:19:28", "f_1": 0.32, "f_2": 4},
            {"f_0": "2014-11-07 22:20:28", "f_1": 0.3, "f_2": 5},
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_every_value_is_stored_as_it_is_meant(client: ClickHouseClient, name: str) -> None:
    messages, rows = SHAPES[name]
    assert stored(client, *messages) == rows
