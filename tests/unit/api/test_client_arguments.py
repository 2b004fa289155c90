"""What a client does not take is refused before it asks a server."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nrtctl


@pytest.fixture
def client(tmp_path: Path) -> nrtctl.Client:
    file = tmp_path / "nrtctl.toml"
    file.write_text('[stack]\nkind = "external"\n[kafka]\nbootstrap_servers = "127.0.0.1:1"\n')
    return nrtctl.Client(nrtctl.load_config(file=file, environ={}))


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda client: client.produce(count=1, rate=0), "rate must be more than 0, not 0"),
        (lambda client: client.produce(count=1, rate=-1), "rate must be more than 0, not -1"),
        (lambda client: client.produce(count=1, rate=math.inf), "rate must be .*, not inf"),
        (lambda client: client.produce(count=1, rate=math.nan), "rate must be .*, not nan"),
        (lambda client: client.produce(count=-1), "count must be at least 0, not -1"),
        (lambda client: client.produce(duration=-1), "duration must be at least 0, not -1"),
        (lambda client: client.produce([], delivery_timeout=0), "delivery_timeout must be more"),
        (lambda client: client.produce({"page": 7}), "for a single one, write .message."),
        (lambda client: client.produce("text"), "for a single one, write .message."),
        (lambda client: client.produce(b"text"), "for a single one, write .message."),
        (lambda client: client.consume(count=-1), "count must be at least 0, not -1"),
        (lambda client: client.snapshot(window=0), "window must be more than 0, not 0"),
        (lambda client: client.snapshot(interval=0), "interval must be more than 0, not 0"),
        (lambda client: client.replay("start", wait=-1), "wait must be at least 0, not -1"),
        (lambda client: client.replay(47), "47 is not a place in the log"),
        (lambda client: client.replay({"0": 47}), "partitions are numbers, and '0' is none"),
        (lambda client: nrtctl.Client("nrtctl.toml"), "not the name of its file"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_a_call_does_not_take(
    client: nrtctl.Client, call: Callable[[nrtctl.Client], Any], why: str
) -> None:
    with pytest.raises(nrtctl.ConfigError, match=why):
        call(client)
