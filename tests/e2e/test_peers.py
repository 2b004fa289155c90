"""`python -m benchmarks.peers`: it has each figure, and nrtctl's counts are exact."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.peers.__main__ import CONNECT, FIGURES, shown
from benchmarks.peers.peer import PEERS
from tests.plugins.doc_pages import ROOT


@pytest.mark.long
def test_peers_are_measured_and_the_product_is_exact() -> None:
    command = [sys.executable, "-m", "benchmarks.peers", "--count", "3000", "--runs", "1"]
    done = subprocess.run(
        [*command, "-o", "json"], cwd=ROOT, capture_output=True, check=True, timeout=280
    )
    report = json.loads(done.stdout)
    assert report["peers"].keys() == PEERS.keys()
    assert "--connect-sink" in report["left_out"][CONNECT]
    for each in report["peers"].values():
        assert all(each[name]["median"] >= 0 for name in FIGURES)
        assert each["rate"]["median"] > 0
        assert 0 <= each["killed"]["lost"] <= 3000
    product = report["peers"]["product"]
    bad, killed = product["invalid"], product["killed"]
    assert bad["good_stored"] == bad["good"] < 3000
    assert bad["dead_letters"] == 3000 - bad["good"]
    assert bad["other_rows"] == killed["lost"] == killed["doubled"] == 0
    assert report["peers"]["json"]["invalid"]["ended_with"] != 0
    assert "nrtctl consume" in shown(report)
