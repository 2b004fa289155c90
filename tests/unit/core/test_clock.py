"""The clock that the commands use."""

from __future__ import annotations

import sys
import time

import pytest

from nrtctl.clock import SystemClock


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other clocks")
def test_it_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that stood still would let a consumer write for which others have taken over."""
    slept = {time.CLOCK_BOOTTIME: 3600.0, time.CLOCK_MONOTONIC: 0.0}
    monkeypatch.setattr(time, "clock_gettime", lambda clock: slept[clock])
    assert SystemClock().monotonic() == 3600.0


def test_it_never_goes_back() -> None:
    clock = SystemClock()
    found = [clock.monotonic() for _ in range(1000)]
    assert found == sorted(found)
    assert found[0] > 0
