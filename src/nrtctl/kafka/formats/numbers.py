"""Numbers of a few characters that would be huge, as 1e999999999. Pure; used by `encoder` and
`protobuf_encoder`."""

from __future__ import annotations

from decimal import Decimal


def units(number: Decimal, scale: int, digits: int) -> int | None:
    """How many units of 10**-`scale` the number is; None: no whole number of them, or one of more
    than so many digits. That is seen before anything is computed, which could take hours."""
    negative, given, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return None
    if not number:
        return 0
    if number.adjusted() + scale >= digits:
        return None
    behind = exponent + scale
    whole = "".join(map(str, given)) + "0" * behind
    if behind < 0:
        if whole[behind:].strip("0") or -behind >= len(whole):
            return None
        whole = whole[:behind]
    return -int(whole) if negative else int(whole)
