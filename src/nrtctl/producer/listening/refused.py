"""An answer that is no 202. Raised by whatever looks at a request, turned into HTTP by `app`."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """
    Args:
        status: of HTTP.
        why: what is wrong, and where; a sentence without its full stop.
        headers: of the answer.
        taken: how many events of the request Kafka has all the same.
        of: how many there are; None: that is not known.
        closes: the connection is of no more use.
    """

    def __init__(
        self,
        status: int,
        why: str,
        *,
        headers: Mapping[str, str] | None = None,
        taken: int = 0,
        of: int | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.headers = dict(headers or {})
        self.taken = taken
        self.of = of
        self.closes = closes


def later(status: int, why: str, seconds: int, *, taken: int = 0, of: int | None = None) -> Refused:
    """A refusal that passes: the same request may be sent again after so many seconds."""
    return Refused(status, why, headers={"retry-after": str(seconds)}, taken=taken, of=of)
