"""Run something as another user of the machine, where the tests may: as root."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

OTHER_USER = 12_345
MAY_BE_ANOTHER = os.geteuid() == 0


def as_other_user(do: Callable[[], Any]) -> Any:
    """What `do` returns, or the exception that it ends with, in a process of another user."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(OTHER_USER)
            os.setuid(OTHER_USER)
            try:
                found = do()
            except Exception as error:  # noqa: BLE001
                found = error
            os.write(write, pickle.dumps(found))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        found = pickle.loads(answer.read())
    os.waitpid(child, 0)
    if isinstance(found, Exception):
        raise found
    return found
