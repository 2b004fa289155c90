"""Every error that nrtctl raises on purpose, and the exit code each one ends the command with.

    NrtctlError                 1   the command failed
    ├── QueryError              1   ClickHouse refused or failed a statement
    ├── ConfigError             2   the configuration or the call is wrong
    ├── ConnectError            3   Kafka or ClickHouse does not answer, or refuses us
    ├── WaitTimeout             4   it did not get ready, or did not finish, in time
    └── CheckFailed             5   everything ran, and a check says no

An error says what failed, why, and (as `hint`) the command or setting that mends it.
`cli.diagnostics` is the only place that turns one into text on stderr and an exit code.
"""

from __future__ import annotations


class NrtctlError(Exception):
    """Base of the tree.

    Args:
        message: what failed and why, one line, no trailing full stop needed.
        hint: what the user can do about it, best a command; None where nothing helps.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class QueryError(NrtctlError):
    """ClickHouse refused or failed a statement. `code` is its error code, None where unknown."""

    def __init__(self, message: str, code: int | None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class ConfigError(NrtctlError):
    """A wrong key, type, unit, identifier or option."""

    exit_code = 2


class ConnectError(NrtctlError):
    """A service does not answer, or refuses the credentials."""

    exit_code = 3


class WaitTimeout(NrtctlError):
    """Something did not happen within the time allowed."""

    exit_code = 4


class CheckFailed(NrtctlError):
    """The command worked; what it checked does not hold."""

    exit_code = 5
