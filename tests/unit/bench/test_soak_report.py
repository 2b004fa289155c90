"""What a soak's samples are made into."""

from __future__ import annotations

from benchmarks.soak_report import MB, Sample, report, slope


def sample(at: float, **given: int) -> Sample:
    memory = {"consumer 1": 50 * MB, **{name: each * MB for name, each in given.items()}}
    return Sample(at, memory, dict.fromkeys(memory, 30), 7, 100 + at, round(at) * 20)


def test_a_slope_is_that_of_the_line_through_the_points() -> None:
    assert slope([]) == slope([(1, 5)]) == slope([(1, 5), (1, 9)]) == 0
    assert slope([(0, 1), (1, 3), (2, 5)]) == 2
    assert slope([(0, 0), (1, 1), (2, 0)]) == 0


def test_memory_counts_from_the_middle_on_and_only_of_what_was_there_all_the_while() -> None:
    first = [sample(at, kafka=10 + 9 * at, killed=40) for at in range(4)]
    second = [sample(at, kafka=40 + at, **({"killed": 40} if at % 2 else {})) for at in range(4, 8)]
    found = report([*first, *second])
    assert found["memory_rise_mb"] == {"consumer 1": 0, "kafka": 3}
    assert found["memory_mb"] == {"consumer 1": 50, "kafka": 47}
    assert found["descriptors"] == {"consumer 1": [30, 30], "kafka": [30, 30]}
    assert (found["seconds"], found["rows"], found["most_parts"]) == (7, 140, 7)
    assert found["p99_ms"] == [100.5, 102.5, 104.5, 106.5]


def test_a_time_without_rows_has_no_p99() -> None:
    samples = [sample(at)._replace(p99_ms=None if at < 4 else 90) for at in range(8)]
    assert report(samples)["p99_ms"] == [None, None, 90, 90]
