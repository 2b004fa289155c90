"""Blocks of Native for a client, made of bytes as the engine writes them."""

from __future__ import annotations

from nrtctl.local.front.native import NativeFor
from nrtctl.local.front.native_types import kind_of

INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"


def test_a_type_that_is_not_utf8_stays_as_it_is() -> None:
    kind = b"Enum8('\xff' = 1)"
    head = b"\x01a" + bytes([len(kind)]) + kind
    given = NativeFor(54_460, list).piece(b"\x01\x01" + head + b"\x01")
    assert given == INFO + b"\x01\x01" + head + b"\0\x01"


def test_a_path_of_json_may_be_named_like_a_parameter() -> None:
    kind = kind_of("JSON(max_dynamic_paths=2, SKIP z, max_dynamic_x UInt32, `a b` UInt8)")
    assert [each.name for each in kind.within] == ["UInt8", "UInt32"]
