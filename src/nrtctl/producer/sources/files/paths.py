"""The files that a user names: one by one, by a pattern, or by their directory.

Called by `files`.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from nrtctl.errors import ConfigError
from nrtctl.producer.sources.files.reading import STDIN

_HIDDEN = (".", "_")
"""How names begin that stand in a directory and are no data: `.DS_Store`, `_SUCCESS`."""


def files_of(inputs: Iterable[str]) -> list[str]:
    """The files, in the order in which they are sent; each once.

    A directory is every file in it and below it, sorted by path. A pattern is every file that it
    matches, sorted. A name that is there is taken as it is, with whatever signs are in it.

    Raises:
        ConfigError: a directory has no files, a pattern matches none, or stdin is named beside
            others or twice.
    """
    found: dict[str, str] = {}
    given = list(inputs)
    if STDIN in given and len(given) > 1:
        raise ConfigError("stdin (-) cannot be combined with files")
    for each in given:
        for path in _expanded(each):
            found.setdefault(path if path == STDIN else os.path.realpath(path), path)
    return list(found.values())


def _expanded(text: str) -> list[str]:
    if text == STDIN or not text:
        return [text]
    path = Path(text)
    if path.is_dir():
        if not (files := _below(path)):
            raise ConfigError(
                f"the directory {text} has no files to send",
                hint="name a file, or a directory that contains files; hidden ones are not read",
            )
        return files
    if path.exists() or not glob.has_magic(text):
        return [text]
    matched = sorted(glob.glob(text, recursive=True))
    files = [each for match in matched for each in _in_pattern(Path(match))]
    if not files:
        raise ConfigError(
            f"no file matches {text}", hint=f"the pattern was matched from {Path.cwd()}"
        )
    return files


def _in_pattern(match: Path) -> list[str]:
    return _below(match) if match.is_dir() else [str(match)]


def _below(directory: Path) -> list[str]:
    """Links to directories are followed; each directory is read once.

    Raises:
        ConfigError: one of them cannot be read.
    """
    found: list[str] = []
    known = {os.path.realpath(directory)}
    for parent, names, files in os.walk(directory, onerror=_unread, followlinks=True):
        names[:] = [each for each in _shown(names) if _is_new(os.path.join(parent, each), known)]
        paths = [os.path.join(parent, each) for each in _shown(files)]
        found += filter(_may_be_data, paths)
    return sorted(found)


def _unread(error: OSError) -> None:
    raise ConfigError(f"the directory {error.filename} cannot be read: {error.strerror}") from error


def _shown(names: Iterable[str]) -> list[str]:
    return sorted(each for each in names if not each.startswith(_HIDDEN))


def _is_new(directory: str, known: set[str]) -> bool:
    real = os.path.realpath(directory)
    if real in known:
        return False
    known.add(real)
    return True


def _may_be_data(path: str) -> bool:
    """Whether it is no pipe, socket or device. A link that leads nowhere is an error later."""
    return os.path.isfile(path) or not os.path.exists(path)
