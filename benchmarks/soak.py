"""A steady load for a long time, with a consumer killed every minute: `make soak`.

    python -m benchmarks.soak --minutes 60 --picture docs/soak.svg

One producer with a ledger, two consumers in one group, each with a `group.instance.id`, `stats`,
and a dashboard with its page open, on a stack of their own. The second consumer is killed once a
minute (SIGKILL) and started again; the first lives on. At the end the producer stops, what it sent
is stored, and `verify` holds the ledger against the tables. Prints JSON, and exits with 1 if a
message was lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.soak_report import Sample, picture, report
from nrtctl.bench.children import Child
from nrtctl.bench.machine import machine, versions
from nrtctl.bench.scratch import Pipeline, scratch_stack
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.errors import NrtctlError, WaitTimeout

LOOK_SECONDS = 5.0
AWAY_SECONDS = 3.0
"""How long a killed consumer is away."""
PATIENCE = 300.0
NAME = "soak"
GROUP = ("--set", f"consumer.group={NAME}")
Say = Callable[[str], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60, help="how long events are sent")
    parser.add_argument("--rate", type=int, default=20_000, help="events a second")
    parser.add_argument("--kill-every", type=float, default=60, help="seconds between two kills")
    parser.add_argument("--picture", type=Path, help="write an SVG of the samples to this file")
    given = parser.parse_args()
    found = soak(given.minutes * 60, given.rate, given.kill_every, given.picture, _say)
    print(json.dumps(found, indent=2))
    sys.exit(0 if found["ok"] else 1)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def soak(
    seconds: float, rate: int, kill_every: float, drawn: Path | None, say: Say
) -> dict[str, Any]:
    """Raises NrtctlError: a command failed, or what was sent was not stored in time."""
    with scratch_stack(()) as stack:
        about = {"machine": machine(), "versions": versions(stack)}
        with stack.pipeline(topic=NAME, database=NAME) as pipeline:
            run = Run(pipeline, rate, seconds)
            with run.at_work():
                run.watch(kill_every, say)
            verified = run.verified()
    if drawn is not None:
        picture(run.samples, run.kills, drawn)
    return {
        **about,
        "rate": rate,
        "sent": run.sent,
        "kills": len(run.kills),
        **report(run.samples),
        "verify": verified,
        "ok": verified["ok"] and verified["ledger"]["ok"],
    }


class Run:
    """One soak: `at_work` starts what it needs, `watch` looks at it, `verified` judges."""

    def __init__(self, pipeline: Pipeline, rate: int, seconds: float) -> None:
        self._pipeline = pipeline
        self._rate = rate
        self._seconds = seconds
        self._ledger = pipeline.scratch.directory / "ledger"
        self._children: dict[str, Child] = {}
        self._client: ClickHouseClient = pipeline.scratch.client(NAME)
        self.samples: list[Sample] = []
        self.kills: list[float] = []
        self.sent = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.callback(self._client.close)

            def start(name: str, command: str, *arguments: str) -> None:
                self._children[name] = stack.enter_context(
                    self._pipeline.start(command, *GROUP, *arguments)
                )

            self._start = start
            self._consume("consumer 1")
            self._consume("consumer 2")
            start("stats", "stats")
            port = _free_port()
            start("dashboard", "dashboard", "--port", str(port))
            stack.enter_context(_page(port))
            start(
                "producer", "produce", "--rate", str(self._rate), "--duration",
                f"{self._seconds:g}s", "--invalid", "1", "--ledger", str(self._ledger),
            )  # fmt: skip
            yield

    def _consume(self, name: str) -> None:
        instance = f'kafka.properties."group.instance.id"={name}'
        self._start(name, "consume", "--member", "--set", instance)

    def watch(self, kill_every: float, say: Say) -> None:
        """Look every few seconds while events are sent, and until they are stored."""
        began = time.monotonic()
        producer, killed, next_look = self._children["producer"], began, began

        def meanwhile() -> None:
            nonlocal killed, next_look
            now = time.monotonic()
            there = "consumer 2" in self._children
            if there and now - killed >= kill_every:
                victim = self._children.pop("consumer 2")
                victim.signal(signal.SIGKILL)
                victim.ended()
                killed = now
                self.kills.append(now - began)
            elif not there and now - killed >= AWAY_SECONDS:
                self._consume("consumer 2")
            if now >= next_look:
                next_look += LOOK_SECONDS
                self.samples.append(self._look(now - began))
                if len(self.samples) % 12 == 0:
                    last = self.samples[-1]
                    say(f"{last.at / 60:.0f} min: {last.rows:,} rows, {len(self.kills)} kills")

        self.sent = json.loads(producer.wait(meanwhile).output)["acknowledged"]
        del self._children["producer"]
        self._until_stored()

    def _until_stored(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while (stored := self._stored()) < self.sent:
            if time.monotonic() > deadline:
                raise WaitTimeout(f"{self.sent - stored} of {self.sent} messages were not stored")
            time.sleep(0.5)
        for name in ("consumer 1", "consumer 2"):
            if child := self._children.pop(name, None):
                child.close_stdin()
                child.wait()

    def _stored(self) -> int:
        return int(self._value("(SELECT count() FROM events) + (SELECT count() FROM dead_letters)"))

    def _look(self, at: float) -> Sample:
        processes = {
            **self._pipeline.scratch.processes,
            **{name: child.pid for name, child in self._children.items()},
        }
        found = {name: _of_process(pid) for name, pid in processes.items()}
        known = {name: each for name, each in found.items() if each is not None}
        since = f"_inserted_at >= now64(3) - toIntervalMillisecond({round(LOOK_SECONDS * 1000)})"
        late = "toUnixTimestamp64Milli(_inserted_at) - toUnixTimestamp64Milli(_timestamp)"
        p99 = self._value(f"(SELECT quantileOrNull(0.99)({late}) FROM events WHERE {since})")
        parts = "(SELECT count() FROM system.parts WHERE active AND database = '{}' AND table = "
        return Sample(
            at,
            {name: memory for name, (memory, _) in known.items()},
            {name: descriptors for name, (_, descriptors) in known.items()},
            int(self._value(parts.format(NAME) + "'events')")),
            None if p99 is None else float(p99),
            int(self._value("(SELECT count() FROM events)")),
        )

    def _value(self, sql: str) -> Any:
        return self._client.query(f"SELECT {sql}")[0][0]

    def verified(self) -> dict[str, Any]:
        with self._pipeline.start("verify", *GROUP, "--ledger", str(self._ledger)) as child:
            found = json.loads(child.wait().output)
        told = ("stored", "dead_letters", "missing", "duplicated", "ok")
        of_ledger = ("entries", "right", "lost", "changed", "repeated", "ok")
        ledger = {name: found["ledger"][name] for name in of_ledger}
        return {**{name: found[name] for name in told}, "ledger": ledger}


def _of_process(pid: int) -> tuple[int, int] | None:
    """(bytes of memory, descriptors); None: it has ended."""
    directory = Path("/proc") / str(pid)
    try:
        pages = int((directory / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(directory / "fd"))
    except OSError:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _page(port: int) -> Iterator[None]:
    """What an open page of the dashboard asks for, again and again."""
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            with suppress(OSError):
                connection.request("GET", "/events")
                answer = connection.getresponse()
                while not ended.is_set() and answer.readline():
                    pass
            connection.close()
            ended.wait(1)

    thread = threading.Thread(target=read, name="page")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    try:
        main()
    except NrtctlError as error:
        sys.exit(error.message)
