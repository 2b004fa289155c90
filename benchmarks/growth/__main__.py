"""How the cost of storing messages grows with the work:

    python -m benchmarks.growth [events] [fields] [bytes] [workers] [table]

CPU-seconds a million messages of ClickHouse and of the consumer (without its start), the memory of
both, and the rate, over more events, more fields in a message, larger messages, more workers, and a
larger table. Printed as Markdown, with sentences that say how cost grows. Each has a scratch stack
that is gone afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.growth import measure
from benchmarks.growth.shown import Growth, draw
from benchmarks.growth.table import table
from nrtctl.bench.machine import machine
from nrtctl.errors import ConfigError, NrtctlError

NAMES = ("events", "fields", "bytes", "workers", "table")

SIZES = {
    "events": ("1000000,10000000,50000000", "2000,4000", "events in the backlog"),
    "fields": ("1,10,300", "1,5", "fields in a message"),
    "bytes": ("100,1000,100000,1000000", "100,1000", "bytes of a message"),
    "workers": ("1,2,3,4", "1,2", "processes of the consumer"),
    "rows": ("1000000,20000000,200000000", "1000,20000", "rows in the table beforehand"),
}
"""What is measured unless it is said, that of `--small`, and what it is."""
COUNT, SMALL_COUNT = 200_000, 2000


def amounts(text: str) -> list[int]:
    """Numbers above 0 that grow, separated by commas."""
    found = [int(each) for each in text.replace("_", "").split(",")]
    if found != sorted(set(found)) or found[0] < 1:
        raise argparse.ArgumentTypeError(f"{text}: give numbers above 0 that grow")
    return found


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="*", help=f"of {', '.join(NAMES)}; otherwise all of them")
    for name, (usual, _, text) in SIZES.items():
        parser.add_argument(
            f"--{name}", type=amounts, metavar="NUMBERS", help=f"{text}; otherwise {usual}"
        )
    parser.add_argument(
        "--count", type=int,
        help=f"messages in each run of fields, bytes, workers and table; otherwise {COUNT:,}",
    )  # fmt: skip
    parser.add_argument(
        "--volume", type=int, default=300_000_000, metavar="BYTES",
        help="at most so much in each run of bytes, and 20 messages at least",
    )  # fmt: skip
    parser.add_argument("--small", action="store_true", help="little of everything: seconds each")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw it as an SVG, too")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = options().parse_args(arguments)
    for name, (usual, small, _) in SIZES.items():
        if getattr(given, name) is None:
            setattr(given, name, amounts(small if given.small else usual))
    given.count = given.count or (SMALL_COUNT if given.small else COUNT)
    try:
        _check(given)
        about = machine()
        found = [_measures(given)[name]() for name in given.what or NAMES]
    except NrtctlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if given.picture is not None:
        draw(found, given.picture)
    if given.output == "json":
        points = {each.what: [[amount, dict(of)] for amount, of in each.points] for each in found}
        print(json.dumps({"machine": about, "growth": points}, indent=2))
        return 0
    print(f"{about['cores']} cores ({about['processor']}), load before {about['load_before']}")
    for each in found:
        print("", each.table(), "", *each.sentences(), sep="\n", flush=True)
    print(f"\nload afterwards {os.getloadavg()[0]:.2f}")
    return 0


def _check(given: argparse.Namespace) -> None:
    """Raises ConfigError: what is wanted cannot be had."""
    for name in given.what:
        if name not in NAMES:
            raise ConfigError(f"there is no growth of {name!r}; there is {', '.join(NAMES)}")
    if given.picture is not None and find_spec("matplotlib") is None:
        raise ConfigError("--picture needs matplotlib, which comes with the extra `charts`")


def _measures(given: argparse.Namespace) -> dict[str, Callable[[], Growth]]:
    count = given.count
    return {
        "events": lambda: measure.events(given.events, _say),
        "fields": lambda: measure.fields(given.fields, count, _say),
        "bytes": lambda: measure.sizes(given.bytes, count, given.volume, _say),
        "workers": lambda: measure.workers(given.workers, count, _say),
        "table": lambda: table(given.rows, count, _say),
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    # What has been started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
