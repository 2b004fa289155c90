"""The rules themselves: each of them finds what it is for."""

from __future__ import annotations

import pytest

from tests.plugins.exposition import complaints

GOOD = """\
# HELP nrtctl_a_total Help.
# TYPE nrtctl_a_total counter
nrtctl_a_total{reason="x"} 1
# HELP nrtctl_wait_seconds Help.
# TYPE nrtctl_wait_seconds histogram
nrtctl_wait_seconds_bucket{le="1.0"} 1
nrtctl_wait_seconds_bucket{le="+Inf"} 1
nrtctl_wait_seconds_sum 1
nrtctl_wait_seconds_count 1
# HELP nrtctl_c_records Help.
# TYPE nrtctl_c_records gauge
nrtctl_c_records 1
"""


def test_a_good_one() -> None:
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# HELP nrtctl_c_records Help.\n", ""),
        ("# TYPE nrtctl_c_records gauge\n", ""),
        ("nrtctl_c_records", "nrtctl_c_ms"),
        ("nrtctl_c_records", "nrtctl_C_records"),
        ("nrtctl_c_records", "nrtctl_c_gauge"),
        ("nrtctl_c_records", "nrtctl_c_total"),
        ("nrtctl_c_records", "c_records"),
        ("reason=", "quantile="),
        ("reason=", "Reason="),
        ("nrtctl_c_records 1\n", "nrtctl_c_records 1\nnrtctl_c_records 2\n"),
    ],
)
def test_a_bad_one(old: str, new: str) -> None:
    assert complaints(GOOD.replace(old, new))
