"""`python -m tests.chaos --kills N --seed S`: the crash matrix by hand.

The table goes to stdout, each try to stderr as it ends. Exit code 1 if anything was lost or
duplicated, hung, or failed otherwise; a fault that was never reached is a failure too. Ctrl-C ends
it after the tries that are under way.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.chaos.arena import BrokerKind
from tests.chaos.lane import Outcome, run_lane
from tests.chaos.plan import all_faults, plan
from tests.chaos.table import table


def main() -> int:
    options = _arguments().parse_args()
    if options.list:
        print("\n".join(fault.name for fault in all_faults()))
        return 0
    brokers: list[BrokerKind] = (
        ["embedded", "apache"] if options.broker == "both" else [options.broker]
    )
    try:
        lanes = plan(options.kills, options.seed, brokers, options.only)
    except ValueError as error:
        print(f"{error}; --list names them", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    root = Path(tempfile.mkdtemp(prefix="nrtctl-chaos-"))
    began = time.monotonic()

    def tell(outcome: Outcome) -> None:
        print(_line(outcome, time.monotonic() - began), file=sys.stderr, flush=True)

    with ThreadPoolExecutor(options.lanes) as pool:
        longest_first = sorted(lanes.items(), key=lambda lane: -len(lane[1]))
        running = [
            pool.submit(
                run_lane,
                root,
                f"{broker}-{place}",
                tries,
                tell,
                stop,
                several=options.several,
                beside=options.beside,
            )
            for (broker, place), tries in longest_first
        ]
        outcomes = [outcome for lane in running for outcome in lane.result()]
    print(table(outcomes))
    kills = sum(each.of.fault.kills for each in outcomes)
    bad = [outcome for outcome in outcomes if not outcome.good]
    minutes = (time.monotonic() - began) / 60
    print(f"\n{len(outcomes)} tries, {kills} kills, {len(bad)} bad, {minutes:.0f} minutes")
    if not bad:
        root.rmdir()
        return 0
    print(f"what the bad ones left is in {root}", file=sys.stderr)
    return 1


def _line(outcome: Outcome, at: float) -> str:
    of, found = outcome.of, outcome.finding
    text = f"{at:6.0f} s  {'ok ' if outcome.good else 'BAD'} {of.broker:8} {of.fault.name}"
    if outcome.recovery is not None:
        in_flight = ", in flight" if outcome.recovery.in_flight else ""
        text += f": {outcome.recovery.seconds:.1f} s{in_flight}"
    if not outcome.good:
        text += f" (seed {of.seed})"
        if found is not None:
            text += f": lost {found.lost}, duplicated {found.duplicated}"
        text += f"\n{outcome.problem}"
    return text


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="processes to kill, all in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", choices=("embedded", "apache", "both"), default="both")
    parser.add_argument("--only", metavar="TEXT", help="faults whose name contains this")
    parser.add_argument("--lanes", type=int, default=4, help="arenas at work at once")
    parser.add_argument(
        "--several", action="store_true", help="messages may be arrays, a row for each element"
    )
    parser.add_argument(
        "--beside", action="store_true", help="consumers have three pipelines in one process"
    )
    parser.add_argument("--list", action="store_true", help="name the faults, and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
