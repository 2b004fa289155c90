"""The work per message of producing, counted: no call a message that is not meant to be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nrtctl.clock import SystemClock
from nrtctl.producer.deliveries import Deliveries
from nrtctl.producer.sources import Source
from nrtctl.producer.sources.files import jsonl
from nrtctl.producer.sources.files.csv import CsvRows
from nrtctl.producer.sources.files.jsonl import JsonLines
from nrtctl.producer.sources.reference_events import ReferenceEvents
from tests.plugins.calls import counted_calls, per_message
from tests.plugins.compiled import needs_native

LINE = b'{"k": "some key", "value": "%06d"}\n'


class Taking:
    """A client whose queue is always empty."""

    def __init__(self) -> None:
        self.calls = 0
        self.messages = 0

    def produce_batch(self, topic: str, messages: list[dict[str, Any]], *, on_delivery: Any) -> int:
        self.calls += 1
        self.messages += len(messages)
        return len(messages)

    def __len__(self) -> int:
        return 0


def work(source: Source, count: int) -> tuple[dict[str, float], Taking]:
    """(calls a message, the client) of sending `count` messages, 1000 at a time."""
    client = Taking()
    deliveries = Deliveries(client, "t", each=False)  # type: ignore[arg-type]
    with counted_calls() as found:
        while client.messages < count:
            deliveries.send(source.take(1000), lambda: True)
    source.close()
    assert client.messages == count
    assert client.calls <= count / 1000 * 1.2
    return per_message(found, count), client


def lines(tmp_path: Path, count: int) -> str:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"".join(LINE % number for number in range(count)))
    return str(path)


@pytest.mark.parametrize("count", [10_000, 40_000])
def test_a_line_costs_no_call(tmp_path: Path, count: int) -> None:
    calls, _ = work(JsonLines(lines(tmp_path, count)), count)
    assert calls == {}


@pytest.mark.parametrize("count", [10_000, 40_000])
def test_a_keyed_line_is_parsed_once(tmp_path: Path, count: int) -> None:
    calls, _ = work(JsonLines(lines(tmp_path, count), key="k"), count)
    assert [name for name in calls if not name.startswith("c:")] == [
        "producer/sources/files/jsonl.py:key_of"
    ]
    assert calls["c:loads"] == 1
    assert sum(calls.values()) <= 8.1, calls


@needs_native
@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("count", [10_000, 40_000])
def test_a_line_of_a_large_file_costs_nothing_by_itself(
    tmp_path: Path, count: int, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "SPANS_FROM", 0)
    source = JsonLines(lines(tmp_path, count), key=key)
    assert source.as_spans()
    taken = 0
    with counted_calls() as found:
        while taken < count:
            taken += len(source.take(1000))
    source.close()
    assert taken == count
    assert sum(found.values()) < count / 10


@pytest.mark.parametrize("count", [10_000, 40_000])
def test_a_row_of_csv_costs_as_many_calls_however_wide_it_is(tmp_path: Path, count: int) -> None:
    found = []
    for width in (3, 12):
        path = tmp_path / f"{width}.csv"
        names = ",".join(f"c{number}" for number in range(width))
        path.write_text(f"{names}\n" + ("1" + ",x" * (width - 1) + "\n") * count)
        calls, _ = work(CsvRows(str(path), fields={"c0": "UInt8"}), count)
        python = {name: each for name, each in calls.items() if not name.startswith("c:")}
        assert sum(python.values()) <= 4.1, python
        assert sum(calls.values()) <= 19.1, calls
        found.append(calls)
    assert found[0].keys() == found[1].keys()


@pytest.mark.parametrize("count", [10_000, 40_000])
def test_a_generated_event_is_put_together_not_computed(count: int) -> None:
    source = ReferenceEvents(1, clock=SystemClock(), users=1000)
    calls, _ = work(source, count)
    python = {name: each for name, each in calls.items() if not name.startswith("c:")}
    assert sum(python.values()) <= 0.5, calls
    assert sum(calls.values()) <= 5.5, calls
