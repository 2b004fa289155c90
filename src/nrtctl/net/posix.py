"""What Linux and macOS have and Windows has not. Nothing else imports it (ruff's TID251 says so).

Every module of nrtctl can be imported on any system; what needs one of these there fails when it is
used, and says why. Looked up when it is first asked for: a command that needs none imports none.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from nrtctl.errors import NrtctlError

if TYPE_CHECKING:
    import fcntl
    import grp
    import pwd
    import resource
    import termios
    import tty

__all__ = ["fcntl", "grp", "pwd", "raise_file_limit", "resource", "termios", "tty"]


class _Missing:
    """Raises NrtctlError: something of it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        raise NrtctlError(
            f"this needs {self._name}.{attribute}, which this system does not have",
            hint="nrtctl runs on Linux and macOS; on Windows, in WSL",
        )


def __getattr__(name: str) -> Any:
    import importlib

    if name not in __all__:
        raise AttributeError(name)
    try:
        return importlib.import_module(name)
    except ImportError:
        return _Missing(name)


def raise_file_limit() -> None:
    """Allow as many open files as the system grants."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
