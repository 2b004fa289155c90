"""Who takes part in the comparison with what people would pick, and what it refuses."""

from __future__ import annotations

import pytest

from benchmarks.peers.__main__ import CONNECT, chosen, main


def test_a_peer_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--peers", "product,flume"]) == 1
    assert "no peer 'flume'; there are product, raw, json, connect" in capsys.readouterr().err
    assert main(["--connect-sink", "absent.jar"]) == 1
    assert "absent.jar is no file" in capsys.readouterr().err


def test_connect_is_left_out_without_its_sink() -> None:
    peers, left_out = chosen(["raw", CONNECT], None)
    assert list(peers) == ["raw"]
    assert "no package index" in left_out[CONNECT]
