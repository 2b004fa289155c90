"""A column that throws beside its twin that does not: `python -m benchmarks.measure_throwing`.

Each case goes through a local stack of its own pipeline, from the topic into the table; the seconds
are those that `consume` says, and only this.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator

import nrtctl
from nrtctl.testing import local_stack

AT = "(JSONExtractString(assumeNotNull(_value), 'payload', 'at'))"
THROWS = {"columns": {"at": f"parseDateTimeBestEffort{AT}"}}
TWIN = {
    "columns": {"at": f"parseDateTimeBestEffortOrNull{AT}"},
    "rejects": {"bad at": "at IS NULL"},
}
CASES: dict[str, tuple[int, Callable[[int], str]]] = {
    "1 % of 10,000, the same value": (10_000, lambda n: "" if n % 100 else "n/a"),
    "1 % of 10,000, each its own": (10_000, lambda n: "" if n % 100 else f"06/May/2024:{n}"),
    "200 of 200, the same value": (200, lambda n: "06/May/2024:07:08:09 +0000"),
    "200 of 200, each its own": (200, lambda n: f"06/May/2024:{n}"),
    "all of 10,000, the same value": (10_000, lambda n: "n/a"),
    "1 % of 100,000, the same value": (100_000, lambda n: "" if n % 100 else "n/a"),
}


def lines(count: int, at: Callable[[int], str]) -> Iterator[bytes]:
    for number in range(count):
        yield b'{"id":%d,"payload":{"at":"%s"}}' % (
            number,
            (at(number) or "2024-05-06T07:08:09Z").encode(),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    number = 0
    with local_stack(up=False) as stack:
        for name, (count, at) in CASES.items():
            seconds: dict[str, list[float]] = {"throws": [], "twin": []}
            for _ in range(options.runs):
                for which, sql in (("throws", THROWS), ("twin", TWIN)):
                    number += 1
                    pipeline = nrtctl.Pipeline(
                        topic=f"t{number}",
                        partitions=1,
                        table=f"t{number}",
                        dead_letters=f"d{number}",
                        fields={"id": "UInt32"},
                        **sql,
                    )
                    config = stack.config.model_copy(
                        update={
                            "pipeline": pipeline,
                            "consumer": stack.config.consumer.model_copy(
                                update={"group": f"g{number}"}
                            ),
                        }
                    )
                    client = nrtctl.Client(config)
                    client.up()
                    client.produce(lines(count, at))
                    seconds[which].append(client.consume(until_end=True).seconds)
            throws, twin = (statistics.median(seconds[each]) for each in ("throws", "twin"))
            print(f"{name}: {throws:.2f} s, twin {twin:.2f} s, {throws / twin:.1f}", flush=True)


if __name__ == "__main__":
    main()
