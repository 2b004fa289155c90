"""Several questions at once, on threads that nobody has to wait for at the end of the process.

Used by `connections`, `watchers` and `view.dashboard.pasts`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def at_once(work: Sequence[Callable[[], T]], most: int) -> list[T]:
    """What each of them returns, in their order, when all have ended.

    Args:
        most: how many threads there are at once.

    Raises:
        BaseException: what the first that failed has raised.
    """
    found: dict[int, T] = {}
    failed: dict[int, BaseException] = {}
    left = iter(list(enumerate(work)))
    lock = threading.Lock()

    def carry_out() -> None:
        while True:
            with lock:
                at, each = next(left, (-1, None))
            if each is None:
                return
            try:
                found[at] = each()
            except BaseException as error:  # noqa: BLE001
                failed[at] = error

    threads = [
        threading.Thread(target=carry_out, name=f"look-{number}", daemon=True)
        for number in range(min(most, len(work)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at in sorted(failed):
        raise failed[at]
    return [found[at] for at in range(len(work))]
