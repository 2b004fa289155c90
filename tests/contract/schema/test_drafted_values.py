"""What a draft stores of messages as they are in the world is what they say, value by value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.infer.draft import draft
from nrtctl.producer.drafting import tried
from nrtctl.producer.sample import take
from nrtctl.producer.sources.files import Read
from nrtctl.stack.trial_engine import Own


def stored(client: ClickHouseClient, *messages: Any) -> list[dict[str, Any]]:
    """The rows that the draft of these messages stores of them; times and such as JSON has them."""
    texts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in messages]
    taken = take(Read(text, None, (), None, "s") for text in texts)
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
    "a queue's records": (
        [
            {
                "Records": [
                    {"id": 1, "body": json.dumps({"Message": json.dumps({"n": 5, "s": "05"})})},
                    {"id": 2, "body": json.dumps({"Message": json.dumps({"n": 6.5, "s": ""})})},
                ]
            }
        ],
        [
            {"id": 1, "body_Message_n": 5, "body_Message_s": "05"},
            {"id": 2, "body_Message_n": 6.5, "body_Message_s": ""},
        ],
    ),
    "documents": (
        [
            {"op": "c", "after": json.dumps({"_id": {"$oid": "5f"}, "n": 1, "tags": ["a"]})},
            {"op": "d", "after": None},
        ],
        [
            {"op": "c", "after__id__oid": "5f", "after_n": 1, "after_tags": ["a"]},
            {"op": "d", "after__id__oid": None, "after_n": None, "after_tags": []},
        ],
    ),
    "attributes of any kind": (
        [
            {"id": 1, "attributes": [{"key": "a", "value": {"stringValue": "x"}}]},
            {"id": 2, "attributes": [
                {"key": "b", "value": {"intValue": "5"}},
                {"key": "c", "value": {"arrayValue": {"values": [{"boolValue": True}]}}},
            ]},
            {"id": 3},
        ],
        [
            {"id": 1, "attributes": [{"key": "a", "value": {"stringValue": "x"}}]},
            {"id": 2, "attributes": [
                {"key": "b", "value": {"intValue": "5"}},
                {"key": "c", "value": {"arrayValue": {"values": [{"boolValue": True}]}}},
            ]},
            {"id": 3, "attributes": []},
        ],
    ),
    "several lines in a message": (
        [b'{"id":1,"at":"2024-05-06"}\n{"id":2}\n', b'{"id":3}', b'\n{"id":4}\r\n{"id":5}'],
        [
            {"id": 1, "at": "2024-05-06"},
            *({"id": number, "at": None} for number in (2, 3, 4, 5)),
        ],
    ),
    "log lines by stream": (
        [
            {
                "streams": [
                    {"stream": {"app": "x"}, "values": [["1570818238000000001", "a"]]},
                    {"stream": {"app": "y"}, "values": [["1570818239000000000", "b"]]},
                ]
            }
        ],
        [
            {"values_0": "2019-10-11 18:23:58.000000001", "values_1": "a", "stream_app": "x"},
            {"values_0": "2019-10-11 18:23:59.000000000", "values_1": "b", "stream_app": "y"},
        ],
    ),
    "extended JSON": (
        [
            {"n": {"$numberLong": "9007199254740993"}, "d": {"$numberDouble": "1.5"},
             "i": {"$numberInt": "5"}, "at": {"$date": {"$numberLong": "1714979289123"}}},
            {"n": {"$numberLong": "-1"}, "d": {"$numberDouble": "-0.25"},
             "i": {"$numberInt": "-5"}, "at": {"$date": {"$numberLong": "-5"}}},
        ],
        [
            {"n__numberLong": 9007199254740993, "d__numberDouble": 1.5, "i__numberInt": 5,
             "at__date__numberLong": "2024-05-06 07:08:09.123"},
            {"n__numberLong": -1, "d__numberDouble": -0.25, "i__numberInt": -5,
             "at__date__numberLong": "1969-12-31 23:59:59.995"},
        ],
    ),
    "names in capitals": (
        [
            {"CREATED_AT": 1714979289, "PRICE": 12.5, "API_VERSION": "2019-02-19"},
            {"CREATED_AT": 1714979290, "PRICE": 13, "API_VERSION": "2019-02-19"},
        ],
        [
            {"CREATED_AT": "2024-05-06 07:08:09", "PRICE": 12.5, "API_VERSION": "2019-02-19"},
            {"CREATED_AT": "2024-05-06 07:08:10", "PRICE": 13, "API_VERSION": "2019-02-19"},
        ],
    ),
    "attributes that are fields": (
        [
            {"attributes": {"id": 1, "title": "a", "created_utc": 1714979289.5}},
            {"attributes": {"id": 2, "title": "b", "created_utc": 1714979290.0}},
        ],
        [
            {"attributes_id": 1, "attributes_title": "a",
             "attributes_created_utc": "2024-05-06 07:08:09.500"},
            {"attributes_id": 2, "attributes_title": "b",
             "attributes_created_utc": "2024-05-06 07:08:10.000"},
        ],
    ),
    "printed by Protobuf": (
        [
            {"orderId": "9007199254740993", "status": "ORDER_OPEN", "itemIds": ["1", "-2"]},
            {"orderId": "-5", "status": "ORDER_PAID", "itemIds": []},
        ],
        [
            {"orderId": 9007199254740993, "status": "ORDER_OPEN", "itemIds": [1, -2]},
            {"orderId": -5, "status": "ORDER_PAID", "itemIds": []},
        ],
    ),
    "rows in a string": (
        [{"payload": json.dumps({"events": [{"id": 1}, {"id": 2}]})}],
        [{"id": 1}, {"id": 2}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_every_value_is_stored_as_it_is_meant(client: ClickHouseClient, name: str) -> None:
    messages, rows = SHAPES[name]
    assert stored(client, *messages) == rows


TIMES: list[tuple[list[Any], list[Any]]] = [
    (["Sunday, 06-Nov-94 08:49:37 GMT", "Monday, 7-Nov-94 08:49:37 GMT"],
     ["1994-11-06 08:49:37", "1994-11-07 08:49:37"]),
    (["Sun Nov  6 08:49:37 1994", "Wed Nov 16 08:49:37 1994"],
     ["1994-11-06 08:49:37", "1994-11-16 08:49:37"]),
    (["Wed Oct 10 20:19:24 +0200 2018"], ["2018-10-10 18:19:24"]),
    (["Tue Nov 14 22:13:21 UTC 2023"], ["2023-11-14 22:13:21"]),
    (["2024-01-02T03:04:05,123", "2024-01-02 03:04:05,5"],
     ["2024-01-02 03:04:05.123", "2024-01-02 03:04:05.500"]),
    (["20240102T030405Z", "20240102T030405.25+0100"],
     ["2024-01-02 03:04:05.000", "2024-01-02 02:04:05.250"]),
    (["2024/01/02 03:04:05.123456", "2024/01/02 03:04:05"],
     ["2024-01-02 03:04:05.123456", "2024-01-02 03:04:05.000000"]),
    (["2024/1/2 03:04:05"], ["2024-01-02 03:04:05"]),
    (["2024/01/02T03:04:05+01:00"], ["2024-01-02 02:04:05"]),
    (["2024.01.02 03:04:05"], ["2024-01-02 03:04:05"]),
    (["10/Oct/2000:13:55:36 -0700"], ["2000-10-10 20:55:36"]),
    (["[10/Oct/2000:13:55:36 -0700]"], ["2000-10-10 20:55:36"]),
    (["10/Oct/2000:13:55:36.789"], ["2000-10-10 13:55:36.789"]),
    (["Jan 2, 2024 3:04:05 PM", "Dec 31, 2023 12:00:00 AM"],
     ["2024-01-02 15:04:05", "2023-12-31 00:00:00"]),
    (["January 2, 2024 15:04"], ["2024-01-02 15:04:00"]),
    (["02 Jan 2024 03:04:05"], ["2024-01-02 03:04:05"]),
    (["2-JAN-24 03.04.05.123456 PM"], ["2024-01-02 15:04:05.123456"]),
    (["02-Jan-1960 03:04:05"], ["1960-01-02 03:04:05.000"]),
    (["2-Jan-24", "31-DEC-68"], ["2024-01-02", "2068-12-31"]),
    (["Monday, January 1, 2024"], ["2024-01-01"]),
    (["1. Januar 2024"], ["1. Januar 2024"]),
    (["2024年1月2日 03:04:05"], ["2024-01-02 03:04:05"]),
    (["2024-01-02 03:04:05.999999999 +0100 UTC"], ["2024-01-02 02:04:05.999999999"]),
    (["2024-01-02-03.04.05.123456"], ["2024-01-02 03:04:05.123456"]),
    (["20240102-03:04:05.123"], ["2024-01-02 03:04:05.123"]),
    (["Jan 02 2024 03:04:05"], ["2024-01-02 03:04:05"]),
    (["2024-01-02T03:04:05Z", "0001-01-01T00:00:00Z"], ["2024-01-02 03:04:05.000", None]),
    (["20240102030405"], ["2024-01-02 03:04:05.000"]),
    (["13-01-2024", "05-02-2024"], ["2024-01-13", "2024-02-05"]),
    (["01-13-2024", "02-05-2024"], ["2024-01-13", "2024-02-05"]),
    (["2024-1-2"], ["2024-01-02"]),
    (["1714979289", "1714979290"], ["2024-05-06 07:08:09", "2024-05-06 07:08:10"]),
    (["1714979289.5", "1714979290"], ["2024-05-06 07:08:09.500", "2024-05-06 07:08:10.000"]),
    (["1355517523.000005"], ["2012-12-14 20:38:43.000005"]),
    (["1714979289123456"], ["2024-05-06 07:08:09.123456"]),
    (["1714979289123456789", ""], ["2024-05-06 07:08:09.123456789", None]),
    ([1714979289123456], ["2024-05-06 07:08:09.123456"]),
    ([1714979289123456789], ["2024-05-06 07:08:09.123456789"]),
    ([1714979289123.25], ["2024-05-06 07:08:09.123250"]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), TIMES, ids=[str(given[0]) for given, _ in TIMES])
def test_times_are_read_however_they_are_spelt(
    client: ClickHouseClient, given: list[Any], wanted: list[Any]
) -> None:
    assert [
        row["made_at"] for row in stored(client, *({"made_at": each} for each in given))
    ] == wanted


@pytest.mark.parametrize(
    "given",
    [
        ["01-02-2024", "05-06-2024"],  # day or month first
        ["13-01-2024", "01-13-2024"],
        ["30 Feb 2024"],
        ["Oct 11 22:14:15"],  # no year
        ["2024/01/02 25:04:05"],
        ["2024/01/02 03:04:05", "soon"],
        ["171497928", "1714979289"],  # 1975
        ["01714979289"],
        ["17149792890"],  # neither seconds nor milliseconds
    ],
)
def test_what_may_be_no_time_stays_text(client: ClickHouseClient, given: list[str]) -> None:
    assert [
        row["made_at"] for row in stored(client, *({"made_at": each} for each in given))
    ] == given


def test_digits_are_times_only_with_a_name_for_it(client: ClickHouseClient) -> None:
    given = {"serial": "1714979289123", "version": "2024.01.02", "date": "2024.01.02"}
    assert stored(client, given) == [{**given, "date": "2024-01-02"}]
