"""The same messages through nrtctl and through what people would pick instead, turn by turn, on one
broker and one engine: `python -m benchmarks.peers --count 1000000 --runs 2`.

Of each peer: rows a second (from the start of its process until the last row is counted), CPU of
the client, of ClickHouse and of Kafka, the client's memory, what became of bad messages, and what a
`kill -9` in the middle and a second start lost and doubled. The stack is a scratch one, gone
afterwards.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.markdown import number, table
from benchmarks.peers import run
from benchmarks.peers.peer import PEERS, Peer, kafka_connect
from nrtctl.bench.figures import figure
from nrtctl.bench.machine import machine, versions
from nrtctl.bench.scratch import Pipeline, Scratch, scratch_stack
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.counted import counted
from nrtctl.errors import NrtctlError

CONNECT = "connect"
SEED, BAD_SEED = 1, 5
BAD_MESSAGES, KILL_MESSAGES = 50_000, 300_000
"""At most so many of the messages go into these two parts, which are about correctness."""
FIGURES = {
    "rate": "rows a second",
    "client_cpu_seconds_per_million": "client, CPU s a million",
    "clickhouse_cpu_seconds_per_million": "ClickHouse, CPU s a million",
    "kafka_cpu_seconds_per_million": "Kafka, CPU s a million",
    "peak_memory_mb": "client, MB",
}


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=1_000_000, help="messages in each run")
    parser.add_argument("--runs", type=int, default=2, help="how often each peer has its turn")
    parser.add_argument(
        "--peers",
        default=",".join([*PEERS, CONNECT]),
        help=f"who takes part, of: {', '.join([*PEERS, CONNECT])}",
    )
    parser.add_argument(
        "--invalid", type=float, default=1.0, metavar="PERCENT",
        help=f"the share of bad messages among at most {BAD_MESSAGES:,}; 0: leave this part out",
    )  # fmt: skip
    parser.add_argument("--no-kill", action="store_true", help="leave the kill out")
    parser.add_argument(
        "--connect-sink", type=Path, metavar="FILE",
        help="the jar of ClickHouse's sink for Kafka Connect with all that it needs in it, as its "
        "releases have it (clickhouse-kafka-connect-VERSION-confluent.jar): it is in no package "
        "index. Connect itself is fetched with Maven, and needs Java",
    )  # fmt: skip
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    given = options().parse_args(arguments)
    try:
        peers, left_out = chosen(given.peers.split(","), given.connect_sink)
        report = measure(given, peers)
    except NrtctlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    report["left_out"] = left_out
    print(json.dumps(report, indent=2) if given.output == "json" else shown(report))
    return 1 if any("failed" in each for each in report["peers"].values()) else 0


def chosen(names: Sequence[str], sink: Path | None) -> tuple[dict[str, Peer], dict[str, str]]:
    """Those that take part, and why others do not.

    Raises:
        NrtctlError: there is no such peer, or the sink is no file.
    """
    known = [*PEERS, CONNECT]
    for name in names:
        if name not in known:
            raise NrtctlError(f"--peers: there is no peer {name!r}; there are {', '.join(known)}")
    if sink is not None and not sink.is_file():
        raise NrtctlError(f"--connect-sink: {sink} is no file")
    peers = {name: PEERS[name] for name in names if name in PEERS}
    if CONNECT not in names:
        return peers, {}
    if sink is None:
        why = "its sink for ClickHouse is in no package index: give its jar as --connect-sink FILE"
        return peers, {CONNECT: why}
    return {**peers, CONNECT: kafka_connect(sink)}, {}


def measure(given: argparse.Namespace, peers: Mapping[str, Peer]) -> dict[str, Any]:
    about = machine()
    found: dict[str, dict[str, Any]] = {name: {"title": peers[name].title} for name in peers}
    with scratch_stack(()) as stack:
        count, few = given.count, min(given.count, BAD_MESSAGES)
        _say("sending the messages")
        _send(stack, "peers", count, SEED)
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in peers}
        for turn in range(1, given.runs + 1):
            for name, peer in peers.items():
                _say(f"run {turn} of {given.runs}: {name}")
                one = _tried(stack, "peers", f"{name}_{turn}", found[name], _ingest(peer, count))
                measured[name] += [] if one is None else [one]
        for name, runs in measured.items():
            for each in runs[0] if runs else ():
                found[name][each] = figure([one[each] for one in runs], 2)
        if given.invalid:
            _send(stack, "bad", few, BAD_SEED, "--invalid", str(given.invalid))
            for name, peer in peers.items():
                _say(f"bad messages: {name}")
                part = _bad(peer, few, given.invalid)
                found[name]["invalid"] = _tried(stack, "bad", f"{name}_bad", found[name], part)
        if not given.no_kill:
            some, topic = min(count, KILL_MESSAGES), "peers"
            if some < count:
                topic = "kill"
                _send(stack, topic, some, SEED)
            for name, peer in peers.items():
                _say(f"a kill: {name}")
                part = _killed(peer, some)
                found[name]["killed"] = _tried(stack, topic, f"{name}_kill", found[name], part)
        return {
            "count": count, "runs": given.runs, "invalid": given.invalid, "peers": found,
            "machine": about, "versions": versions(stack),
        }  # fmt: skip


Part = Callable[[Pipeline, ClickHouseClient], dict[str, Any]]


def _ingest(peer: Peer, count: int) -> Part:
    return lambda pipeline, client: run.ingest(pipeline, client, peer, count)


def _bad(peer: Peer, count: int, invalid: float) -> Part:
    return lambda pipeline, client: run.bad(pipeline, client, peer, count, BAD_SEED, invalid)


def _killed(peer: Peer, count: int) -> Part:
    return lambda pipeline, client: run.killed(pipeline, client, peer, count)


def _tried(
    stack: Scratch, topic: str, database: str, found: dict[str, Any], part: Part
) -> dict[str, Any] | None:
    """What the part finds in a database of its own; None: it failed, which is noted."""
    try:
        with stack.pipeline(topic=topic, database=f"peers_{database}") as pipeline:
            client = stack.client()
            try:
                return part(pipeline, client)
            finally:
                client.close()
    except NrtctlError as error:
        found["failed"] = str(error)
        return None


def _send(stack: Scratch, topic: str, count: int, seed: int, *more: str) -> None:
    with stack.pipeline(topic=topic, database=f"peers_source_{topic}") as pipeline:
        pipeline.run("produce", "--count", str(count), "--seed", str(seed), *more)


def shown(report: Mapping[str, Any]) -> str:
    """The report as tables."""
    peers: Mapping[str, Mapping[str, Any]] = report["peers"]
    about, of = report["machine"], report["versions"]
    parts = [
        f"{report['count']:,} messages, {counted(report['runs'], 'run')} of each in turn, medians; "
        f"{about['cores']} cores ({about['processor']}), load before {about['load_before']}, "
        f"ClickHouse {of['clickhouse']}, librdkafka {of['librdkafka']}",
        table(
            ["peer", *FIGURES.values()],
            [
                [each["title"], *(_median(each, name) for name in FIGURES)]
                for each in peers.values()
            ],
        ),
    ]
    if any("invalid" in each for each in peers.values()):
        parts.append(f"{report['invalid']:g} % of the messages are bad:")
        parts.append(table(
            ["peer", "good ones", "of them stored", "other rows", "dead letters", "it ended"],
            [[each["title"], *_of_bad(each.get("invalid"))] for each in peers.values()],
        ))  # fmt: skip
    if any("killed" in each for each in peers.values()):
        parts.append("`kill -9` in the middle, and started again:")
        parts.append(table(
            ["peer", "messages", "stored at the kill", "lost", "doubled"],
            [[each["title"], *_of_kill(each.get("killed"))] for each in peers.values()],
        ))  # fmt: skip
    parts += [f"{name} is left out: {why}" for name, why in report["left_out"].items()]
    parts += [
        f"{name} failed: {each['failed']}" for name, each in peers.items() if "failed" in each
    ]
    return "\n\n".join(parts)


def _median(peer: Mapping[str, Any], name: str) -> str:
    return number(peer[name]["median"]) if name in peer else "-"


def _of_bad(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["-"] * 5
    counts = [f"{found[name]:,}" for name in ("good", "good_stored", "other_rows", "dead_letters")]
    code = found["ended_with"]
    return [*counts, "by this program" if code is None else f"with {code}"]


def _of_kill(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["-"] * 4
    at = f"{found['stored_at_the_kill']:,}" if found["killed"] else "it had ended before"
    return [f"{found['messages']:,}", at, f"{found['lost']:,}", f"{found['doubled']:,}"]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    # What has been started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sys.exit(main())
