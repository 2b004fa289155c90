"""What is done in C, so that no object is made for each message: `fetch.c` for `native_fetch`,
`lines.c` for `bulk` and for files that are produced.

It is there where nrtctl was installed with a C compiler. Without it all is done in Python.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Final

LIBRARY: Final = Path(__file__).with_name("functions.native")
"""Made by hatch_build.py."""

_WAITS: Final = frozenset({"fetch"})
"""Other threads of Python go on meanwhile."""

_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "sources": (c_char_p, []),
    "use": (None, [c_void_p]),
    "made": (c_void_p, []),
    "fetch": (c_size_t, [c_void_p, c_int, c_void_p, c_void_p, c_size_t]),
    "runs": (c_size_t, [c_void_p, c_void_p, c_size_t, c_void_p, c_void_p]),
    "sizes": (c_size_t, [c_void_p, c_size_t, c_size_t, c_void_p]),
    "rows": (None, [c_void_p, c_size_t, c_char_p, c_size_t, c_char_p]),
    "destroy": (None, [c_void_p, c_size_t]),
    "has": (c_int, [c_char_p, c_size_t, c_char_p, c_size_t]),
    "ends": (c_size_t, [c_char_p, c_size_t]),
    "lines": (c_size_t, [c_char_p, c_size_t, c_void_p, c_void_p, c_void_p]),
    "keys": (None, [c_char_p, c_char_p, c_size_t, *[c_void_p] * 2, c_size_t, *[c_void_p] * 2]),
    "messages": (
        c_size_t,
        [
            *(c_char_p, c_size_t, c_void_p, c_void_p, c_size_t),
            *(c_char_p, c_size_t, c_void_p, c_void_p, c_void_p),
        ],
    ),
    "refused": (c_size_t, [c_void_p, c_size_t, c_void_p]),
}


class Native:
    """The functions, each under its name without `nrtctl_`.

    Raises:
        OSError, AttributeError: the file is not what was made of these sources.
    """

    def __init__(self, path: Path) -> None:
        waits, does_not_wait = ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(waits if name in _WAITS else does_not_wait, f"nrtctl_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@cache
def native() -> Native | None:
    """None where it was not compiled, or was for another machine or of other sources."""
    if sys.byteorder != "little" or sys.maxsize < 2**32 or not LIBRARY.exists():
        return None
    try:
        found = Native(LIBRARY)
    except (OSError, AttributeError):
        return None
    return found if found.sources() == _digest() else None


def _digest() -> bytes:
    """Of the sources that lie here, as hatch_build.py makes it."""
    code = sorted(path.name for path in LIBRARY.parent.glob("*.[ch]"))
    text = b"".join((LIBRARY.parent / name).read_bytes() for name in code)
    return hashlib.sha256(text).hexdigest().encode()
