"""Prometheus's and Grafana's files: whole, and found by the two.

That the metrics they ask for are told is shown by tests/e2e/test_deploy.py.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.plugins.exposition import promtool
from tests.unit.deploy.files import DASHBOARDS, DEPLOY, RULES, expressions, services

DATASOURCES = DEPLOY / "grafana/provisioning/datasources/prometheus.yml"


@pytest.mark.parametrize("path", DASHBOARDS, ids=[path.name for path in DASHBOARDS])
def test_a_dashboard_is_whole(path: Path) -> None:
    board = json.loads(path.read_text())
    source = yaml.safe_load(DATASOURCES.read_text())["datasources"][0]
    panels: list[dict[str, Any]] = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert board["uid"]
    for panel in panels:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        assert panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == source["uid"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    source = yaml.safe_load(DATASOURCES.read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/nrtctl.yml").read_text())
    path = provider["providers"][0]["options"]["path"]
    grafana = services()["grafana"]
    assert f"./grafana/dashboards:{path}:ro" in grafana["volumes"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == path
    assert home.name in {each.name for each in DASHBOARDS}


def test_prometheus_finds_its_files() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    prometheus = services()["prometheus"]
    assert "./prometheus:/etc/prometheus:ro" in prometheus["volumes"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in prometheus["command"]
    for name in config["rule_files"]:
        assert (DEPLOY / "prometheus" / Path(name).relative_to("/etc/prometheus")).is_file()
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    asked = {
        name
        for text in expressions()
        for value in re.findall(r'job=~?"([^"]+)"', text)
        for name in value.split("|")
    }
    assert asked
    assert asked <= jobs


def test_promtool_finds_nothing(tmp_path: Path) -> None:
    path = promtool()
    if path is None:
        pytest.skip("promtool is not here")
    text = (DEPLOY / "prometheus/prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"))
    shutil.copy(RULES, tmp_path)
    done = subprocess.run(
        [path, "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


CASES = """
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series:
      - { series: 'nrtctl_pipeline_state{job="kubernetes-pods",state="stopped"}', values: 1x9 }
      - { series: 'nrtctl_up{job="kubernetes-pods",service="registry"}', values: 0x9 }
      - { series: 'nrtctl_up{job="kubernetes-pods",service="kafka"}', values: 1x9 }
      - { series: 'nrtctl_consumer_members{job="kubernetes-pods",group="g"}', values: 0x9 }
      - series: 'nrtctl_consumer_lag_seconds{job="kubernetes-pods",topic="t",partition="3"}'
        values: 90x9
    alert_rule_test:
      - alertname: NrtctlServiceGone
        eval_time: 8m
        exp_alerts:
          - exp_labels: { service: registry }
            exp_annotations: { summary: registry does not answer }
      - alertname: NrtctlNoConsumer
        eval_time: 8m
        exp_alerts:
          - exp_labels: { group: g }
            exp_annotations: { summary: nobody consumes in group g }
      - alertname: NrtctlFallingBehind
        eval_time: 8m
        exp_alerts:
          - exp_labels: { topic: t, partition: "3" }
            exp_annotations: { summary: partition 3 of t is more than a minute behind }
      - { alertname: NrtctlStatsGone, eval_time: 8m, exp_alerts: [] }
  - interval: 1m
    input_series: [{ series: 'up{job="kubernetes-pods"}', values: 0x9 }]
    alert_rule_test:
      - alertname: NrtctlStatsGone
        eval_time: 8m
        exp_alerts:
          - exp_annotations:
              summary: nrtctl stats does not answer, so the other alerts are blind
"""


def test_alerts_fire_whatever_the_job_of_a_scrape_is_called(tmp_path: Path) -> None:
    path = promtool()
    if path is None:
        pytest.skip("promtool is not here")
    shutil.copy(RULES, tmp_path)
    (tmp_path / "cases.yml").write_text(CASES)
    done = subprocess.run(
        [path, "test", "rules", str(tmp_path / "cases.yml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [text for text in expressions() if "job=" in text.replace('up{job="stats"}', "")]
