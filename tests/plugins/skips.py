"""A skipped test says nothing: where NRTCTL_REQUIRE_ALL=1 it fails, unless its reason was foreseen.

NRTCTL_REQUIRE_ALL_BUT has the words for which a reason may be given, with commas in between: the
tools and powers that the machine is known not to have.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


def is_foreseen(reason: str) -> bool:
    words = os.environ.get("NRTCTL_REQUIRE_ALL_BUT", "").split(",")
    return any(word.strip() and word.strip() in reason for word in words)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("NRTCTL_REQUIRE_ALL") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not is_foreseen(reason):
            report.outcome = "failed"
            report.longrepr = f"it was skipped, and nothing may be skipped here: {reason}"
    return report
