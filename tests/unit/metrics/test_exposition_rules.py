"""The rules themselves: each of promtool's finds what it is for, and so do ours."""

from __future__ import annotations

import pytest

from tests.plugins.exposition import against_rules, complaints, of_promtool, promtool

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
C = "nrtctl_c_records"
UNITS = ("s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d")
OF_PROMTOOL = [
    # LintHelp
    ("# HELP nrtctl_c_records Help.\n", ""),
    # LintMetricUnits
    *((C, f"nrtctl_c_{unit}") for unit in ("minutes", "days", "bits", "milliseconds", "kilobytes")),
    ("nrtctl_wait_seconds", "nrtctl_wait_microseconds"),
    # LintCounter
    ("nrtctl_a_total", "nrtctl_a_records"),
    (C, "nrtctl_c_total"),
    # LintHistogramSummaryReserved
    *((C, f"nrtctl_c_{suffix}") for suffix in ("bucket", "count", "sum")),
    ("reason=", "le="),
    ("reason=", "quantile="),
    # LintMetricTypeInName
    (C, "nrtctl_c_gauge"),
    (C, "nrtctl_gauge_records"),
    ("nrtctl_a_total", "nrtctl_counter_total"),
    ("nrtctl_wait_seconds", "nrtctl_histogram_seconds"),
    # LintReservedChars
    (C, "nrtctl:c_records"),
    # LintCamelCase
    (C, "nrtctl_cRecords"),
    ("reason=", "theReason="),
    # LintUnitAbbreviations
    *((C, f"nrtctl_{unit}") for unit in UNITS),
    (C, "nrtctl_ms_records"),
]
OURS = [
    # LintDuplicateMetric, of newer promtools
    ("nrtctl_c_records 1\n", "nrtctl_c_records 1\nnrtctl_c_records 2\n"),
    ("# TYPE nrtctl_c_records gauge\n", ""),
    (C, "nrtctl_C_records"),
    (C, "c_records"),
    (C, "nrtctl_c_percent"),
    (C, "nrtctl_summary_records"),
    ("reason=", "Reason="),
]


def test_a_good_one() -> None:
    assert complaints(GOOD) == []


@pytest.mark.parametrize(("old", "new"), OF_PROMTOOL + OURS)
def test_a_bad_one(old: str, new: str) -> None:
    assert against_rules(GOOD.replace(old, new))


def test_promtool_has_these_rules() -> None:
    if promtool() is None:
        pytest.skip("promtool is not here")
    for old, new in OF_PROMTOOL:
        assert of_promtool(GOOD.replace(old, new)), (old, new)
