"""What is measured of a process is its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nrtctl.bench.children import Child

MB = 2**20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it")
def test_memory_is_not_that_of_the_process_that_started_it(tmp_path: Path) -> None:
    held = bytearray(os.urandom(1)) * (400 * MB)
    program = "import time; held = bytearray(b'x') * (100 << 20); time.sleep(0.3)"
    with Child("a child", [sys.executable, "-c", program], tmp_path, dict(os.environ)) as child:
        used = child.wait()
    assert len(held) == 400 * MB
    assert 100 * MB < used.peak_memory < 200 * MB
