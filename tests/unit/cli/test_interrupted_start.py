"""Ctrl-C while the command is still being loaded."""

from __future__ import annotations

import subprocess
import sys

LOADING = """
import sys

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "nrtctl.cli.app":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from nrtctl.cli import main
main()
"""


def test_ctrl_c_while_loading_is_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
