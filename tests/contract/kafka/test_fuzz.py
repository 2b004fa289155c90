"""Mutated requests end their own connection at most. The long form: `fuzzing`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract.kafka import fuzzing
from tests.plugins.local_broker import LocalBroker


@pytest.mark.parametrize("requests", [300, pytest.param(1_000, marks=pytest.mark.long)])
def test_mutated_requests(make_local_broker: Callable[..., LocalBroker], requests: int) -> None:
    outcome = fuzzing.run(make_local_broker(), requests, seed=1)
    assert outcome.answered > requests // 20
    assert outcome.closed > requests // 20
