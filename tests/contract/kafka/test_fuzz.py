"""Mutated requests end their own connection at most. The long form: `fuzzing`."""

from __future__ import annotations

from collections.abc import Callable

from tests.contract.kafka import fuzzing
from tests.plugins.local_broker import LocalBroker


def test_mutated_requests(make_local_broker: Callable[..., LocalBroker]) -> None:
    outcome = fuzzing.run(make_local_broker(), 1_000, seed=1)
    assert outcome.answered > 50
    assert outcome.closed > 50
