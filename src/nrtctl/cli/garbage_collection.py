"""How often Python looks for garbage, in commands through which many messages pass.

It holds for the whole process, so the commands set it, and nothing that a program of one's own may
call.
"""

from __future__ import annotations

import gc

CONSUMING = 100_000
"""Objects made before a collection: messages are looked through otherwise, and hold no cycles."""

PRODUCING = 50_000


def collect_rarely(objects: int) -> None:
    """Args: objects: that are made before a collection."""
    gc.set_threshold(objects)


def leave_alone_what_is_there() -> None:
    """What has been made so far is no garbage, and is not looked through again."""
    gc.freeze()
