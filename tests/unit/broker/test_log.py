"""A log that cannot be written holds nobody up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import logging
from pathlib import Path
from nrtctl.local.process import log_to
log_to(Path("/dev/full"))
for number in range(200):
    logging.getLogger("x").error("%d", number)
print("done")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_nothing_is_said_of_it_on_stderr() -> None:
    """A traceback for each line would fill a pipe that nobody reads, and block."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == (b"done\n", b"")
