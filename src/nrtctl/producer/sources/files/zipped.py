"""The one file in a zip archive. Called by `reading`."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from typing import IO, cast

from nrtctl.errors import ConfigError

DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)
"""What reading a damaged archive, or one packed in a way that Python cannot read, raises."""

_OFFICE = "[Content_Types].xml"


def only_member(archive: io.RawIOBase, name: str, *, seekable: bool) -> IO[bytes]:
    """Raises:
    ConfigError: it comes through a pipe, holds no file or several, or has a password.
    """
    if not seekable:
        raise ConfigError(
            f"{name} is a zip archive, which cannot be read from a pipe",
            hint="give the name of the file, or unpack it first: unzip -p FILE.zip | nrtctl …",
        )
    opened = zipfile.ZipFile(cast(IO[bytes], archive))
    members = [
        each
        for each in opened.infolist()
        if not each.is_dir() and not each.filename.startswith("__MACOSX/")
    ]
    if any(each.filename == _OFFICE for each in members):
        raise ConfigError(
            f"{name} is a document of Excel or of another office program",
            hint="save its sheet as CSV and send that file",
        )
    if len(members) != 1:
        raise ConfigError(
            f"{name} is a zip archive of {len(members)} files, and only an archive of a "
            "single file can be read",
            hint="unpack it, and give its files or their directory to --input",
        )
    if members[0].flag_bits & 1:
        raise ConfigError(f"{name} is protected by a password", hint="unpack it first")
    return opened.open(members[0])
