"""Prometheus's exposition: fetch it, hold it to the naming rules, and read numbers out of it.

The rules are those of `promtool check metrics` (prometheus/util/promlint) and of
https://prometheus.io/docs/practices/naming/; promtool itself is asked where it is installed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from urllib.error import HTTPError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

_NAME = re.compile(r"(nrtctl|process)_[a-z0-9]+(_[a-z0-9]+)*")
_LABEL = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_NOT_BASE = re.compile(
    r"(^|_)(ms|us|ns|milliseconds|microseconds|nanoseconds|minutes|hours|days|percent|kb|mb|kib"
    r"|mib|kilobytes|megabytes|msec|sec|secs|rows_count|count|sum|bucket)(_|$)"
)
_TYPES = re.compile(r"(^|_)(gauge|counter|histogram|summary|metric)(_|$)")


def get(url: str) -> tuple[int, str]:
    """(status, body)."""
    try:
        with urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def complaints(text: str) -> list[str]:
    """What is wrong with an exposition, one line each."""
    found = []
    families = list(text_string_to_metric_families(text))
    twice = [name for name, n in Counter(each.name for each in families).items() if n > 1]
    found += [f"{name}: twice" for name in twice]
    series = Counter(
        (sample.name, tuple(sorted(sample.labels.items())))
        for each in families
        for sample in each.samples
    )
    found += [f"{key}: twice" for key, n in series.items() if n > 1]
    for each in families:
        if not each.documentation:
            found.append(f"{each.name}: no help")
        if each.type == "unknown":
            found.append(f"{each.name}: no type")
        if not _NAME.fullmatch(each.name):
            found.append(f"{each.name}: not snake_case with a prefix")
        if _NOT_BASE.search(each.name) or _TYPES.search(each.name):
            found.append(f"{each.name}: not a base unit, or a type in the name")
        total = all(sample.name.endswith("_total") for sample in each.samples)
        if each.samples and (each.type == "counter") != total:
            found.append(f"{each.name}: _total is for counters, and for each of them")
        for sample in each.samples:
            own = set(sample.labels) - ({"le"} if each.type == "histogram" else set())
            found += [f"{each.name}: label {label}" for label in own if not _LABEL.fullmatch(label)]
            found += [f"{each.name}: label {label}" for label in own & {"le", "quantile"}]
    if (promtool := shutil.which("promtool")) is not None:
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text.encode(), capture_output=True, check=False
        )
        if done.returncode:
            found.append((done.stdout + done.stderr).decode())
    return found


def total(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of that name with those labels."""
    return sum(
        sample.value
        for each in text_string_to_metric_families(text)
        for sample in each.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def by_label(text: str, name: str, label: str) -> dict[str, float]:
    return {
        sample.labels[label]: sample.value
        for each in text_string_to_metric_families(text)
        for sample in each.samples
        if sample.name == name
    }
