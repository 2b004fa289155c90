"""Load on `nrtctl listen`: many connections, batches of events, and what each event costs.

    python -m benchmarks.measure_listen http://127.0.0.1:8080/ --requests 1000 --pid PID

Prints the rate, the latencies of the answers, and, with `--pid`, the CPU seconds of that process
for 100,000 events: on a busy machine these can be compared, rates cannot. Every answer must be 202.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from urllib.parse import urlsplit

from nrtctl.clock import SystemClock
from nrtctl.producer.sources.reference_events import ReferenceEvents


def bodies(count: int, size: int) -> list[bytes]:
    """JSON lines. Args: count: bodies; size: events in each."""
    source = ReferenceEvents(1, clock=SystemClock(), users=1000)
    found = []
    for _ in range(count):
        found.append(b"\n".join(value or b"" for _, value, _, _ in source.take(size)))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all its threads."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        line = next(each for each in file if each.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


async def connection(
    host: str, port: int, head: bytes, given: list[bytes], left: list[int], seconds: list[float]
) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    number = 0
    while left[0] > 0:
        left[0] -= 1
        body = given[number % len(given)]
        number += 1
        began = time.perf_counter()
        writer.write(head % len(body) + body)
        await writer.drain()
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        said = await reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"{answer.decode()}{said.decode()}")
        seconds.append(time.perf_counter() - began)
    writer.close()


async def load(url: str, connections: int, requests: int, size: int) -> list[float]:
    """Seconds to each answer."""
    at = urlsplit(url)
    host, port = at.hostname or "127.0.0.1", at.port or 80
    head = (
        f"POST {at.path or '/'} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        "Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
    ).encode()
    given, left = bodies(20, size), [requests]
    seconds: list[float] = []
    await asyncio.gather(
        *(connection(host, port, head, given, left, seconds) for _ in range(connections))
    )
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--events", type=int, default=100, help="in a request")
    parser.add_argument("--pid", type=int, help="of the endpoint")
    given = parser.parse_args()
    before = cpu_seconds(given.pid) if given.pid else 0.0
    began = time.perf_counter()
    seconds = sorted(asyncio.run(load(given.url, given.connections, given.requests, given.events)))
    took = time.perf_counter() - began
    events = len(seconds) * given.events
    print(f"{events:,} events in {took:.1f} s: {events / took:,.0f}/s")
    p50, p99 = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    print(f"answers: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms")
    if given.pid:
        used = cpu_seconds(given.pid) - before
        print(f"CPU of the endpoint: {used / events * 100_000:.2f} s for 100,000 events")
        print(f"its memory at most: {peak_bytes(given.pid) / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
