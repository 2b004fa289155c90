"""Prometheus's exposition: fetch it, hold it to the naming rules, and read numbers out of it.

The rules are those of `promtool check metrics` (client_golang, prometheus/testutil/promlint, all
nine of its validations) and of https://prometheus.io/docs/practices/naming/. promtool itself is
asked as well where it is installed; with NRTCTL_REQUIRE_PROMTOOL=1 it must be.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

_NAME = re.compile(r"(nrtctl|process)_[a-z0-9]+(_[a-z0-9]+)*")
_LABEL = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TYPE = re.compile("gauge|counter|histogram|summary|metric|bucket|count|sum|total")
_PREFIX = (
    "pico|nano|micro|milli|centi|deci|deca|hecto|kilo|kibi|mega|mibi|mebi|giga|gibi|tera|tebi|peta"
    "|pebi"
)
_NOT_BASE = re.compile(
    "s|ms|us|ns|sec|msec|secs|b|kb|mb|gb|tb|pb|kib|mib|gib|m|h|d|percent"
    f"|({_PREFIX})(amperes|bytes|celsius|grams|joules|kelvin|meters|metres|seconds|volts)"
    f"|({_PREFIX})?(minutes|hours|days|weeks|kelvins|fahrenheit|rankine|inches|yards|miles|bits"
    "|calories|pounds|ounces)"
)


def promtool() -> str | None:
    """Its path; None: it is not here."""
    path = shutil.which("promtool")
    if path is None and os.environ.get("NRTCTL_REQUIRE_PROMTOOL") == "1":
        pytest.fail("promtool is not here")
    return path


def get(url: str) -> tuple[int, str]:
    """(status, body)."""
    try:
        with urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def complaints(text: str) -> list[str]:
    """What is wrong with an exposition, one line each."""
    return [*against_rules(text), *of_promtool(text)]


def of_promtool(text: str) -> list[str]:
    """What promtool says; nothing where it is not installed."""
    if (path := promtool()) is None:
        return []
    done = subprocess.run(
        [path, "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    return (done.stdout + done.stderr).decode().splitlines() if done.returncode else []


def against_rules(text: str) -> list[str]:
    """What the rules find, one line each."""
    families = list(text_string_to_metric_families(text))
    names = Counter(each.name for each in families)
    series = Counter(
        (sample.name, tuple(sorted(sample.labels.items())))
        for each in families
        for sample in each.samples
    )
    found = [f"{key}: twice" for key, n in [*names.items(), *series.items()] if n > 1]
    # The parser takes and gives a counter with _total, whether it is written so or not.
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)", text, re.MULTILINE):
        if name.endswith("_total") != (kind == "counter"):
            found.append(f"{name}: _total is for counters, and for each of them")
    for each in families:
        found += [f"{each.name}: {problem}" for problem in _of_family(each)]
    return found


def _of_family(family: Metric) -> Iterator[str]:
    if not family.documentation:
        yield "no help"
    if family.type == "unknown":
        yield "no type"
    if not _NAME.fullmatch(family.name):
        yield "not snake_case with a prefix"
    for word in family.name.split("_"):
        if _NOT_BASE.fullmatch(word):
            yield f"{word} is no base unit"
        if _TYPE.fullmatch(word):
            yield f"{word} says a type"
    for sample in family.samples:
        own = set(sample.labels) - ({"le"} if family.type == "histogram" else set())
        for label in own:
            if not _LABEL.fullmatch(label) or label in {"le", "quantile"}:
                yield f"label {label}"


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
