"""Ten minutes of a steady load, with a consumer killed every minute."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MOST_RISE_MB = 16
"""Of a process within the last five minutes: one byte an event, kept, would be 6."""


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_minutes_lose_nothing_and_leak_nothing() -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "10"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() or done.stdout.decode()
    found = json.loads(done.stdout)
    assert found["verify"]["stored"] + found["verify"]["dead_letters"] == found["sent"]
    assert found["kills"] >= 8
    lasting = {"kafka", "consumer 1", "stats", "dashboard"}
    assert lasting <= found["memory_rise_mb"].keys()
    assert {n: each for n, each in found["memory_rise_mb"].items() if n in lasting
            and each > MOST_RISE_MB} == {}  # fmt: skip
    for name in lasting - {"kafka"}:
        low, high = found["descriptors"][name]
        assert high - low <= 4, name
    assert found["most_parts"] < 300
