"""What exactly once costs: `python -m benchmarks.measure_delivery --rounds 4 --max-rows 10000`.

One backlog, read in turns with `consumer.delivery` exactly-once and at-least-once, each time into a
fresh database. Rows a second by the consumer's own clock; the ratio of each pair.
"""

from __future__ import annotations

import argparse
import json
import statistics

from nrtctl.bench.scratch import Scratch, scratch_stack

TOPIC = "delivery"
WAYS = ("exactly-once", "at-least-once")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=4)
    options.add_argument("--max-rows", type=int, default=10_000)
    given = options.parse_args()
    with scratch_stack([f"batch.max_rows={given.max_rows}"]) as stack:
        with stack.pipeline(topic=TOPIC, database="source") as source:
            source.run("produce", "--count", str(given.count))
        ratios = []
        for number in range(given.rounds):
            order = WAYS if number % 2 else WAYS[::-1]
            rates = {way: _rate(stack, way, number, given.count) for way in order}
            ratios.append(rates[WAYS[0]] / rates[WAYS[1]])
            print(
                {way: round(rate) for way, rate in rates.items()}, f"{ratios[-1]:.3f}", flush=True
            )
    median = statistics.median(ratios)
    print(f"exactly-once / at-least-once: median {median:.3f}, {min(ratios):.3f}-{max(ratios):.3f}")


def _rate(stack: Scratch, way: str, number: int, count: int) -> float:
    name = f"{way.replace('-', '_')}_{number}"
    flags = ("--set", f"consumer.group={name}", "--set", f"consumer.delivery={way}")
    with stack.pipeline(topic=TOPIC, database=name) as pipeline:
        done = json.loads(pipeline.run("consume", "--member", "--until-end", *flags).output)
        client = stack.client(name)
        ((stored,),) = client.query(f"SELECT count() FROM {name}.events")
        client.close()
    if stored != count:
        raise SystemExit(f"{way}: {stored} rows")
    return count / float(done["seconds"])


if __name__ == "__main__":
    main()
