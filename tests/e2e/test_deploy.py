"""What a deployment rests on: SIGTERM loses nothing, and what is scraped is there.

`docker stop` and Kubernetes send SIGTERM and wait.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.test_metrics import end, url_of
from tests.plugins.exposition import get, total
from tests.plugins.stack import COMMAND, Project
from tests.plugins.waiting import eventually
from tests.unit.deploy.files import expressions

EACH = 20_000
SMALL = ("--set", "batch.max_rows=300", "--set", "consumer.max_buffer=1MiB")
"""So that what it still stores after SIGTERM, the messages it holds, is a small part."""
NAME = re.compile(r"\b(?:nrtctl|process)_[a-z0-9_]+")


def stores_batches(url: str) -> bool:
    return total(get(f"{url}/metrics")[1], "nrtctl_batch_rows_count") >= 2


@pytest.mark.parametrize("rounds", [1, pytest.param(3, marks=pytest.mark.long)])
def test_sigterm_under_load_leaves_none_missing_and_none_doubled(
    stack: Project, rounds: int
) -> None:
    lags = []
    for number in range(rounds):
        stack.run("produce", "--count", str(EACH), "--invalid", "3")
        consumer = stack.start("consume", "--metrics-port", "0", *SMALL)
        try:
            url = url_of(consumer)
            eventually(partial(stores_batches, url), "it stores batches")
            consumer.send_signal(signal.SIGTERM)
            assert consumer.wait(60) == 0
        finally:
            end(consumer)
        report = stack.json("verify")
        assert (report["missing"], report["duplicated"]) == (0, 0)
        # What it had inserted it has committed: the next one has nothing to look up.
        sent = EACH * (number + 1)
        assert sent - report["lag"] == report["stored"] + report["dead_letters"]
        lags.append(report["lag"])
    assert any(lags), "it was stopped while there was work"
    stack.run("consume", "--until-end")
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)
    assert report["stored"] + report["dead_letters"] == rounds * EACH


CONTAINER = r"""
mount --make-rprivate / && mount --rbind / /mnt && mount -o remount,ro,bind /mnt || exit 97
exec chroot /mnt setpriv --no-new-privs --bounding-set=-all --inh-caps=-all \
    sh -c 'cd "$0" && ! touch "$0/x" 2>/dev/null && exec "$@"' "$PWD" "$@"
"""


def test_in_a_containers_conditions_sigterm_is_heard(stack: Project) -> None:
    """PID 1, to which no signal comes that it has no handler for; a read-only root file system; no
    capabilities."""
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount", "sh", "-ec", CONTAINER, "-")
    probe = subprocess.run([*unshare, "true"], cwd=stack.directory, capture_output=True)
    if probe.returncode:
        pytest.skip(f"no namespaces here: {probe.stderr.decode().strip()[-200:]}")
    stack.run("produce", "--count", "2000")
    outer = subprocess.Popen(
        [*unshare, *COMMAND, "consume", "--metrics-port", "0"],
        cwd=stack.directory,
        env=stack.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        url = url_of(outer)
        eventually(lambda: get(f"{url}/readyz")[0] == 200, "it is ready")
        inner = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0]
        found = re.search(r"NSpid:.*\n", Path(f"/proc/{inner}/status").read_text())
        assert found
        assert "\t1\n" in found[0]
        os.kill(int(inner), signal.SIGTERM)
        assert outer.wait(60) == 0
    finally:
        end(outer)
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"]) == (0, 0)


def test_what_dashboards_and_alerts_ask_for_is_told(stack: Project) -> None:
    """Every metric with every label, in what the three commands serve."""
    commands = (
        ("produce", "--rate", "200", "--invalid", "20", "--metrics-port", "0"),
        ("consume", "--metrics-port", "0"),
        ("stats", "--serve", "0"),
    )
    asked = {name for text in expressions() for name in NAME.findall(text)}
    assert len(asked) > 15
    running = [stack.start(*command) for command in commands]
    try:
        urls = [url_of(each) for each in running]

        told: dict[str, set[str]] = {}

        def all_told() -> bool:
            for url in urls:
                for family in text_string_to_metric_families(get(f"{url}/metrics")[1]):
                    for sample in family.samples:
                        told.setdefault(sample.name, set()).update(sample.labels)
            return asked <= set(told)

        eventually(all_told, f"told: {asked - set(told)}")
    finally:
        for each in running:
            end(each)
    added = {"job", "instance", "pipeline"}  # by Prometheus; where there are several
    for text in expressions():
        names = NAME.findall(text)
        for name, selector in re.findall(r"(nrtctl_[a-z0-9_]+)\{([^}]*)\}", text):
            assert set(re.findall(r"(\w+)\s*=", selector)) <= told[name] | added, text
        for grouped in re.findall(r"\bby \(([^)]*)\)", text):
            known = set().union(*(told[name] for name in names)) | added
            assert set(re.split(r",\s*", grouped)) <= known, text
