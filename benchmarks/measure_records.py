"""CPU time for the check of a produced batch's records: `python -m benchmarks.measure_records`.

Of 1 MB of each kind of record, a new copy each time, as from a connection. With `--beside FILE`, in
turns with the `wire/records.py` of another version.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, Final

from nrtctl.local.broker.wire import records

SIZE: Final = 1_000_000
COPIES: Final = 8
KINDS: Final = {
    "170 bytes": (155, b"", 0),
    "170 bytes, keys": (140, b"k" * 12, 0),
    "170 bytes, two headers": (120, b"", 2),
    "20 bytes": (9, b"", 0),
    "1 KB": (1000, b"", 0),
}


def varint(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value >= 0x80:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    return bytes([*out, value])


def batch(value_size: int, key: bytes, headers: int) -> tuple[bytes, int]:
    chance = random.Random(1)
    out = bytearray()
    number = 0
    header = varint(5) + b"trace" + varint(12) + b"0123456789ab"
    while len(out) < SIZE:
        size = chance.randint(value_size * 7 // 8, value_size * 9 // 8)
        value = bytes(chance.choices(b'abcdefghij0123456789":,{} ', k=size))
        body = b"\0" + varint(number // 150) + varint(number)
        body += varint(len(key) or -1) + key + varint(size) + value
        body += varint(headers) + header * headers
        out += varint(len(body)) + body
        number += 1
    return bytes(out), number


def check_of(path: str) -> Callable[[Any, int], None]:
    spec = spec_from_file_location("beside", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no module")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    check: Callable[[Any, int], None] = module.check_records
    return check


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--beside", metavar="FILE")
    options = parser.parse_args()
    checks: dict[str, Callable[[Any, int], None]] = {
        "now": records.check_records,
        "one by one": records.check_one_by_one,
    }
    if options.beside:
        checks["beside"] = check_of(options.beside)
    for kind, shape in KINDS.items():
        data, count = batch(*shape)
        used: dict[str, list[float]] = {name: [] for name in checks}
        for _ in range(options.runs):
            for name, check in checks.items():
                copies = [memoryview(bytearray(data)) for _ in range(COPIES)]
                before = time.process_time()
                for copy in copies:
                    check(copy, count)
                used[name].append(1000 * (time.process_time() - before) / COPIES)
        print(f"{kind:24}", *(f"{n} {statistics.median(t):.2f} ms" for n, t in used.items()))


if __name__ == "__main__":
    main()
