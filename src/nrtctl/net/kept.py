"""Short texts that the local stack keeps in files of their own, such as its passwords."""

from __future__ import annotations

from pathlib import Path


def kept(path: Path) -> str:
    """The text; empty where a full or broken disk left something that is none. Raises OSError."""
    try:
        return path.read_bytes().decode().strip()
    except UnicodeDecodeError:
        return ""
