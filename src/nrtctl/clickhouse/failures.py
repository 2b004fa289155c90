"""What may come of a statement beside `nrtctl.errors.QueryError`. Raised by `client`."""

from __future__ import annotations

from nrtctl.errors import ConnectError


class ClickHouseGone(ConnectError):
    """No answer of ClickHouse's: refused, cut, timed out, or somebody else has answered. Whether a
    statement was carried out is not known."""


class AccessRefused(ConnectError):
    """The user or password is wrong, or the user may not do this."""

    def __init__(self, message: str, code: int | None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
