"""Any sample of JSON objects is stored whole by the pipeline that is drafted from it."""

from __future__ import annotations

import json
import random
import tomllib
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.pipeline.infer import text
from nrtctl.pipeline.infer.draft import draft
from nrtctl.producer.drafting import tried
from nrtctl.producer.sample import Taken
from nrtctl.stack.trial_engine import Own

KEYS = [
    "id", "name", "created_at", "ts", "a.b", "@t", "größe", "it's", "a`b", "a\\b", "x\ny", "",
    "order", "null", "key", "value", "reason", "_id", "2x", "price", "tags", "labels", "日", "deep",
]  # fmt: skip
SCALARS = [
    0, 7, -5, 2**33, 2**70, -(2**63), 0.5, 1.7e9, 1700000000123, 1e300, None, True, False, "", "-",
    "x", "1.5", "NaN", "yes", "2024-05-06T07:08:09Z", "2024-05-06", "31.12.2023", "192.0.2.1",
    "0b7f1c2e-4d5a-4f60-9a71-33c4d5e6f7a8", "é\u0000\n\"",
]  # fmt: skip


def value(source: random.Random, depth: int) -> Any:
    kind = source.random()
    if depth == 0 or kind < 0.6:
        return source.choice(SCALARS)
    if kind < 0.8:
        keys = source.sample(KEYS, source.randint(0, 4))
        return {key: value(source, depth - 1) for key in keys}
    return [value(source, depth - 1) for _ in range(source.randint(0, 3))]


@pytest.mark.parametrize("seed", range(10))
def test_a_draft_stores_every_message_of_its_sample(client: ClickHouseClient, seed: int) -> None:
    source = random.Random(seed)
    keys = source.sample(KEYS, source.randint(1, 8))
    taken = Taken()
    for _ in range(source.randint(2, 8)):
        message = {key: value(source, 3) for key in keys if source.random() < 0.9}
        taken.add((None, json.dumps({"n": 1, **message}).encode(), 0, ()))
    found = tried(draft(taken.sample, source="s", topic="t", table="t"), taken, Own(client))
    assert found.trial is not None
    assert (found.trial.stored, dict(found.trial.reasons)) == (len(taken.messages), {})
    assert tomllib.loads(text.written(found.draft, ""))["pipeline"] == found.draft.pipeline()
