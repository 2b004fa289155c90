"""Files that are no messages, told by their first bytes. Called by `looking`."""

from __future__ import annotations

import re

_SIGNATURES = (
    (re.compile(rb"\x1f\x8b\x08|BZh[1-9]1AY|\xfd7zXZ\0|\x28\xb5\x2f\xfd|PK\x03\x04"),
     "compressed twice", "unpack it once"),
    (re.compile(rb"\x04\x22\x4d\x18"), "compressed with lz4",
     "decompress it: lz4 -dc FILE | nrtctl …"),
    (re.compile(rb"\xff\x06\0\0sNaPpY"), "compressed with snappy", "decompress it first"),
    (re.compile(rb"\x1f[\x9d\xa0]"), "compressed with compress",
     "decompress it: zcat FILE | nrtctl …"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07"), "an archive", "unpack it first"),
    (re.compile(rb".{257}ustar", re.S), "a tar archive", "unpack it, and give its directory"),
    (re.compile(rb"SQLite format 3\0"), "an SQLite database", "export its table as CSV"),
    (re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
     "a document of Excel or of another office program",
     "save its sheet as CSV and send that file"),
    (re.compile(rb"%PDF-"), "a PDF file", ""),
    (re.compile(rb"\x89HDF\r\n"), "an HDF5 file", "convert it to Parquet or CSV"),
    (re.compile(rb"FEA1"), "a Feather file of version 1", "write it anew: Feather is Arrow now"),
    (re.compile(rb"\s*(?:<\?xml|<!doctype|<html)", re.I), "XML or HTML",
     "convert it to lines of JSON"),
)  # fmt: skip
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def foreign(head: bytes) -> tuple[str, str] | None:
    """(what it is, what to do about it); None: nothing that is known."""
    if head.startswith(_UTF16):
        return None
    for signature, name, remedy in _SIGNATURES:
        if signature.match(head):
            return name, remedy
    return None
