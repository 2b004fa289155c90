"""Small files that the user names: settings, schemas, offsets. However much there is to read, as of
a device or of another program that writes, no more is read than such a file may have.
"""

from __future__ import annotations

from pathlib import Path

from nrtctl.clock.notices import if_it_lasts
from nrtctl.errors import ConfigError

MOST_BYTES = 16 * 2**20


def read_named(path: Path) -> bytes:
    """The bytes of the file. What another program has yet to write (a pipe) is waited for, and that
    is said.

    Raises:
        ConfigError: it is larger than 16 MiB.
        OSError: it cannot be read.
    """
    with if_it_lasts(lambda: f"waiting for what {path} has to say"), path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{path}: is larger than {MOST_BYTES // 2**20} MiB")
    return data


def named_text(path: Path) -> str:
    """The same as text, without a byte order mark. Raises UnicodeDecodeError: it is not UTF-8."""
    return read_named(path).decode("utf-8-sig")
