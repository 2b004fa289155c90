"""`deploy/docker-compose.yml`, held to the Compose specification, to the images and to nrtctl.

There is no container engine where this is built: what can be known without one is checked here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from nrtctl import __version__
from nrtctl.cli.app import app
from nrtctl.config.load import load_config
from nrtctl.stack.doctor import OLDEST_CLICKHOUSE
from tests.unit.deploy.files import DEPLOY, ROOT, compose, instructions, only, services

SERVICES = services()
OWN = [name for name, each in SERVICES.items() if each["image"].startswith("nrtctl-")]
LONG_RUNNING = [name for name, each in SERVICES.items() if each["restart"] != "no"]
TEXT = (DEPLOY / "docker-compose.yml").read_text()
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)(?:(:[-?])([^}]*))?\}")

# Of each image, from its documentation (the compose file cites it): the ports it serves, the user
# it runs as, where it keeps what must outlive the container.
IMAGES = {
    "kafka": ("apache/kafka", {9092}, "1000:1000", "/var/lib/kafka/data"),
    "clickhouse": ("clickhouse", {8123}, "101:101", "/var/lib/clickhouse"),
    "prometheus": ("prom/prometheus", {9090}, "65534:65534", "/prometheus"),
    "grafana": ("grafana/grafana", {3000}, "472:0", "/var/lib/grafana"),
    "airflow": ("nrtctl-airflow", {8080}, "50000:0", "/opt/airflow"),
}
WRITABLE_ROOT = {"kafka", "airflow"}


def test_it_is_a_compose_file() -> None:
    """By the specification's own schema (Apache-2.0), from the package check-jsonschema."""
    schemas = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor")
    schema = json.loads(schemas.joinpath("compose-spec.json").read_text())
    checker = Draft202012Validator(schema)
    assert [error.message for error in checker.iter_errors(compose())] == []
    broken = compose()
    broken["services"]["kafka"]["healthcheck"]["tests"] = ["CMD"]
    assert list(checker.iter_errors(broken)) != []


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert re.fullmatch(r"v?\d+\.\d+\.\d+(\.\d+)?(-\S+)?", tag), tag
    if name in IMAGES:
        assert image == IMAGES[name][0]
    if name in OWN:
        assert tag == __version__
        assert (DEPLOY / SERVICES[name]["build"]["context"]).resolve() == ROOT
        assert (ROOT / SERVICES[name]["build"]["dockerfile"]).is_file()


def test_what_shares_an_image_shares_its_build() -> None:
    builds: dict[str, set[str]] = {}
    for name in OWN:
        builds.setdefault(SERVICES[name]["image"], set()).add(str(SERVICES[name]["build"]))
    assert all(len(each) == 1 for each in builds.values()), builds


@pytest.mark.parametrize("name", SERVICES)
def test_each_is_guarded(name: str) -> None:
    each = SERVICES[name]
    assert each["cap_drop"] == ["ALL"]
    assert each["security_opt"] == ["no-new-privileges:true"]
    assert not each.get("privileged")
    assert each.get("network_mode") is None
    limits = each["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[mg]", limits["memory"])
    assert each["logging"]["options"]["max-size"]
    assert (each.get("read_only") is True) != (name in WRITABLE_ROOT)
    if name in IMAGES:
        assert each["user"] == IMAGES[name][2]
    else:
        path = ROOT / each["build"]["dockerfile"]
        assert not re.match(r"(root|0)\b", each.get("user") or only(path, "USER"))


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_the_images_and_on_loopback(name: str) -> None:
    inside = set()
    for port in SERVICES[name].get("ports", []):
        host, _, target = port.rpartition(":")
        assert host.startswith("127.0.0.1:"), port
        inside.add(int(target))
    assert inside == (IMAGES[name][1] if name in IMAGES else set())


def test_published_ports_are_what_nrtctl_looks_for(tmp_path: Path) -> None:
    config = load_config(environ={"HOME": str(tmp_path)}, cwd=tmp_path).config
    assert defaults()["KAFKA_PORT"] == str(config.kafka.port())
    assert defaults()["CLICKHOUSE_PORT"] == str(config.clickhouse.port())
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert "HOST://127.0.0.1:${KAFKA_PORT:-9092}" in advertised


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_each_is_asked_how_it_is(name: str) -> None:
    each = SERVICES[name]
    check = each.get("healthcheck")
    if check is None:
        assert "/healthz" in only(ROOT / each["build"]["dockerfile"], "HEALTHCHECK")
        return
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert not re.search(r"\bnc\b|/dev/tcp", " ".join(check["test"]))
    asked = re.findall(r"127\.0\.0\.1:(\d+)|//localhost:(\d+)|kafka:(\d+)", str(check["test"]))
    ports = {int(number) for found in asked for number in found if number}
    served = {int(p.rpartition(":")[2]) for p in each.get("ports", [])} | {
        int(port) for port in each.get("expose", [])
    }
    assert ports <= served | {19092}
    assert ports


def test_kafka_listens_where_it_sends_its_clients() -> None:
    environment = SERVICES["kafka"]["environment"]
    listeners = dict(each.split("://") for each in environment["KAFKA_LISTENERS"].split(","))
    advertised = dict(
        each.split("://") for each in environment["KAFKA_ADVERTISED_LISTENERS"].split(",")
    )
    protocols = dict(
        each.split(":") for each in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    assert set(protocols) == set(listeners)
    assert set(advertised) == set(listeners) - {environment["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    inside = SERVICES["consumer"]["environment"]["NRTCTL_KAFKA__BOOTSTRAP_SERVERS"]
    assert advertised["INTERNAL"] == inside
    assert listeners["INTERNAL"] == ":" + inside.rpartition(":")[2]
    assert SERVICES["kafka"]["ports"][0].endswith(listeners["HOST"])
    voter = environment["KAFKA_CONTROLLER_QUORUM_VOTERS"]
    assert voter == f"{environment['KAFKA_NODE_ID']}@kafka{listeners['CONTROLLER']}"
    assert f"kafka:{inside.rpartition(':')[2]}" in str(SERVICES["kafka"]["healthcheck"]["test"])


def test_data_is_on_named_volumes() -> None:
    used = set()
    for name, (_, _, _, place) in IMAGES.items():
        sources = {
            volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES[name]["volumes"]
        }
        assert sources[place] in compose()["volumes"], name
    for each in SERVICES.values():
        for volume in each.get("volumes", []):
            source = VARIABLE.sub(lambda match: match[3] or "", volume).split(":")[0]
            if source.startswith((".", "/")):
                assert (DEPLOY / source).exists(), volume
                assert volume.endswith(":ro"), volume
            else:
                used.add(source)
    assert used == set(compose()["volumes"])


@pytest.mark.parametrize("name", OWN)
def test_variables_are_settings_and_the_pipeline_is_found(name: str, tmp_path: Path) -> None:
    each = SERVICES[name]
    environ = {
        key: VARIABLE.sub(lambda match: "secret", str(value))
        for key, value in each["environment"].items()
        if key.startswith("NRTCTL_")
    }
    mounted = next(v for v in each["volumes"] if v.endswith(":/etc/nrtctl/nrtctl.toml:ro"))
    file = DEPLOY / (VARIABLE.match(mounted) or pytest.fail(mounted))[3]
    loaded = load_config(file=file, environ=environ | {"HOME": str(tmp_path)}, cwd=tmp_path)
    assert loaded.config.stack_kind == "external"
    assert loaded.config.kafka.bootstrap_servers == "kafka:19092"
    assert loaded.config.clickhouse.url == "http://clickhouse:8123"
    password = loaded.config.clickhouse.password
    assert (password is None) == (name == "producer")
    assert file.resolve() == ROOT / "src/nrtctl/config/templates/nrtctl.toml"
    if name != "airflow":
        assert only(ROOT / each["build"]["dockerfile"], "WORKDIR") == "/etc/nrtctl"


@pytest.mark.parametrize("name", [name for name in OWN if name != "airflow"])
def test_commands_are_nrtctls_and_serve_where_they_are_looked_for(name: str) -> None:
    each = SERVICES[name]
    path = ROOT / each["build"]["dockerfile"]
    words = [VARIABLE.sub(lambda match: match[3] or "", str(word)) for word in command(each, path)]
    help_text = CliRunner().invoke(
        app, [words[0], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}
    )
    assert help_text.exit_code == 0
    for option in [word for word in words if word.startswith("--")]:
        assert re.search(rf"(?<!\S){option}\b", help_text.output), option
    ports = [words[at + 1] for at, w in enumerate(words) if w in {"--metrics-port", "--serve"}]
    assert ports == each.get("expose", [])
    if ports:
        assert words[words.index("--metrics-host") + 1] == "0.0.0.0"
        scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
        assert f"{name}:{ports[0]}" in scraped_targets(scraped)
        check = str(each.get("healthcheck") or only(path, "HEALTHCHECK"))
        assert f"127.0.0.1:{ports[0]}/healthz" in check
        if "healthcheck" not in each:
            assert only(path, "EXPOSE") == ports[0]


def command(service: dict[str, Any], path: Path) -> list[str]:
    if "command" in service:
        return [str(word) for word in service["command"]]
    words: list[str] = json.loads(only(path, "CMD"))
    return words


def scraped_targets(config: dict[str, Any]) -> set[str]:
    found = set()
    for job in config["scrape_configs"]:
        for each in job.get("static_configs", []):
            found |= set(each["targets"])
        for each in job.get("dns_sd_configs", []):
            assert each["type"] == "A"
            found |= {f"{name}:{each['port']}" for name in each["names"]}
    return found


def test_a_consumer_can_be_scaled() -> None:
    consumer = SERVICES["consumer"]
    assert "container_name" not in consumer
    assert "hostname" not in consumer
    assert "ports" not in consumer
    assert consumer["stop_grace_period"] == "60s"


def test_airflow_is_asked_for() -> None:
    assert [name for name, each in SERVICES.items() if "profiles" in each] == ["airflow"]
    assert SERVICES["airflow"]["profiles"] == ["airflow"]
    assert list((DEPLOY / "airflow/dags").glob("*.py"))
    assert (
        "/opt/nrtctl/bin/nrtctl /usr/local/bin/nrtctl"
        in dict(instructions(DEPLOY / "airflow.Dockerfile"))["RUN"]
    )


def test_what_depends_waits_for_what_it_needs() -> None:
    for each in SERVICES.values():
        for name, wanted in each.get("depends_on", {}).items():
            condition = wanted["condition"]
            ends = SERVICES[name]["restart"] == "no"
            assert condition == ("service_completed_successfully" if ends else "service_healthy"), (
                name
            )


def defaults() -> dict[str, str]:
    """Of the variables that have one."""
    return {name: value for name, kind, value in VARIABLE.findall(TEXT) if kind == ":-"}


def test_variables_are_explained_and_passwords_have_no_default() -> None:
    example = (DEPLOY / ".env.example").read_text()
    named = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.M))
    uncommented = re.findall(r"^([A-Z_]+)=", example, re.M)
    found = {name: kind for name, kind, _ in VARIABLE.findall(TEXT)}
    assert set(named) == set(found)
    required = sorted(name for name, kind in found.items() if kind == ":?")
    assert required == sorted(uncommented)
    assert required == ["CLICKHOUSE_PASSWORD", "GRAFANA_PASSWORD"]
    assert all(named[name] == "" for name in required)
    given = {name: value for name, value in named.items() if name not in required}
    assert given.pop("PIPELINE_FILE") == "../nrtctl.toml"
    assert given == {k: v for k, v in defaults().items() if k != "PIPELINE_FILE"}


def test_no_secret_is_written_down() -> None:
    for name, each in SERVICES.items():
        for key, value in each.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|_KEY\b", key) and value != "":
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", str(value)), f"{name}: {key}"
    assert subprocess_ignores(".env")


def subprocess_ignores(name: str) -> bool:
    """Neither git nor a build context takes it."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    out_of_context = (ROOT / ".dockerignore").read_text().splitlines()
    return name in ignored and f"**/{name}" in out_of_context


def test_the_package_has_what_up_needs_and_no_env() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    included = targets["targets"]["wheel"]["force-include"]
    assert "deploy/docker-compose.yml" in included
    for source, target in included.items():
        assert (ROOT / source).exists()
        assert target == f"nrtctl/{source}"
        assert source not in {".", "deploy"}, "a .env beside the compose file would come along"
    for name in ("kafka", "clickhouse", "prometheus", "grafana"):
        for volume in SERVICES[name]["volumes"]:
            if volume.startswith("./"):
                path = f"deploy/{volume[2:].split(':')[0]}"
                assert any(path == s or path.startswith(f"{s}/") for s in included), volume


def test_the_build_context_has_what_is_copied() -> None:
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    for name in OWN:
        path = ROOT / SERVICES[name]["build"]["dockerfile"]
        for instruction, rest in instructions(path):
            if instruction == "COPY" and not rest.startswith("--from"):
                for source in shlex.split(rest)[:-1]:
                    assert source in allowed, source
                    assert (ROOT / source).exists()


CHECKS = {
    **{name: str(each["healthcheck"]["test"]) for name, each in SERVICES.items()
       if "http://" in str(each.get("healthcheck", ""))},
    **{path.name: only(path, "HEALTHCHECK") for path in DEPLOY.glob("*.Dockerfile")
       if "http://" in path.read_text()},
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKS)
def test_no_health_check_asks_a_proxy_about_its_own_container(name: str) -> None:
    """Docker gives every container the proxies that its user has configured."""
    words = CHECKS[name]
    assert re.search(r"ProxyHandler\(\{\}\)|noproxy|env.*-u.*http_proxy.*wget", words), words


def test_a_health_check_reaches_its_own_container_past_a_proxy() -> None:
    code = re.search(r'\["python", "-c", "(.*)"\]', CHECKS["consumer.Dockerfile"])
    assert code is not None
    with socket.create_server(("127.0.0.1", 0)) as served:
        served.settimeout(30)
        own = code[1].replace(":9101", f":{served.getsockname()[1]}")
        asked = subprocess.Popen(
            [sys.executable, "-c", own], env={**os.environ, "http_proxy": "http://127.0.0.1:1"}
        )
        connection, _ = served.accept()
        with connection:
            assert connection.recv(1000).startswith(b"GET /healthz HTTP/1.")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            assert asked.wait(30) == 0


def test_the_page_names_the_versions_that_are_pinned_and_the_oldest_that_doctor_takes() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    section = page.partition("## Versions of the servers")[2].partition("\n## ")[0]
    for name in ("kafka", "clickhouse"):
        assert SERVICES[name]["image"].partition(":")[2] in section
    assert f"{'.'.join(map(str, OLDEST_CLICKHOUSE))} and newer" in section
