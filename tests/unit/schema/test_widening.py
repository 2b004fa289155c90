"""Which types a column of stored rows can be given."""

from __future__ import annotations

import pytest

from nrtctl.schema.table import widens

WIDER = [
    ("UInt8", "UInt16"), ("UInt32", "Int64"), ("Int8", "Int256"), ("Int32", "Nullable(Int32)"),
    ("Int32", "Nullable(Int64)"), ("String", "LowCardinality(String)"), ("Float32", "Float64"),
    ("LowCardinality(String)", "LowCardinality(Nullable(String))"), ("Date", "Date32"),
    ("Enum8('a' = 1)", "Enum8('a' = 1, 'b' = 2)"), ("Decimal(9, 2)", "Decimal(12, 3)"),
    ("Array(Int8)", "Array(Int16)"), ("DateTime", "DateTime64(3)"),
]  # fmt: skip
OTHER = [
    ("UInt16", "UInt8"), ("Int64", "UInt64"), ("Nullable(Int32)", "Int32"), ("Int32", "Float64"),
    ("Int32", "String"), ("Enum8('a' = 1)", "String"), ("Enum8('a' = 1)", "Enum8('a' = 2)"),
    ("Enum8('a' = 1, 'b' = 2)", "Enum8('a' = 1)"), ("Float64", "Float32"), ("Bool", "UInt8"),
    ("DateTime64(3)", "DateTime"), ("String", "Int32"), ("Decimal(9, 2)", "Decimal(9, 3)"),
]  # fmt: skip


@pytest.mark.parametrize(("stored", "wanted"), WIDER)
def test_wider(stored: str, wanted: str) -> None:
    assert widens(stored, wanted)


@pytest.mark.parametrize(("stored", "wanted"), OTHER)
def test_not_wider(stored: str, wanted: str) -> None:
    assert not widens(stored, wanted)
