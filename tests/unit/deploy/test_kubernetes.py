"""`deploy/kubernetes`: held to Kubernetes' schemas, the restricted standard, and to nrtctl."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from nrtctl.cli.app import app
from nrtctl.config.load import load_config
from nrtctl.config.shape import fixed_keys
from tests.unit.deploy.files import DEPLOY, ROOT, only, services

BASE = DEPLOY / "kubernetes"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
OBJECTS: list[dict[str, Any]] = [
    each
    for name in KUSTOMIZATION["resources"]
    for each in yaml.safe_load_all((BASE / name).read_text())
]
NAMES = [f"{each['kind']}/{each['metadata']['name']}" for each in OBJECTS]
SCHEMAS = ("1.29.0", "1.33.0", kubernetes_validate.latest_version())


def named(kind: str, name: str) -> dict[str, Any]:
    return OBJECTS[NAMES.index(f"{kind}/{name}")]


PODS = {
    name.partition("/")[2]: each["spec"]["template"]["spec"]
    for name, each in zip(NAMES, OBJECTS, strict=True)
    if each["kind"] in {"Deployment", "Job"}
}
SERVING = {"consumer": 9101, "stats": 9103}


@pytest.mark.parametrize("version", SCHEMAS)
@pytest.mark.parametrize("thing", OBJECTS, ids=NAMES)
def test_each_is_what_kubernetes_takes(thing: dict[str, Any], version: str) -> None:
    """By the API's own schemas (Apache-2.0), from the package kubernetes-validate; strict: no
    unknown key. KEDA's kinds are not in it: see below."""
    if thing["apiVersion"].startswith("keda.sh/"):
        with pytest.raises(kubernetes_validate.SchemaNotFoundError):
            kubernetes_validate.validate(thing, version, strict=True)
    else:
        kubernetes_validate.validate(thing, version, strict=True)


def test_a_wrong_key_would_be_found() -> None:
    wrong = yaml.safe_load(yaml.safe_dump(named("Deployment", "consumer")))
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 5
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, SCHEMAS[-1], strict=True)


def test_kustomize_names_files_that_are_there() -> None:
    listed = set(KUSTOMIZATION["resources"])
    assert listed == {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    for generator in KUSTOMIZATION["configMapGenerator"]:
        for name in generator.get("files", []):
            assert (BASE / name).is_file()
    assert named("Namespace", KUSTOMIZATION["namespace"])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here")
def test_kustomize_builds_it() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(BASE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    maps = {each["metadata"]["name"] for each in built if each["kind"] == "ConfigMap"}
    assert len(built) == len(OBJECTS) + len(maps)
    for each in built:
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == "nrtctl"
        if not each["apiVersion"].startswith("keda.sh/"):
            kubernetes_validate.validate(each, SCHEMAS[-1], strict=True)
        if each["kind"] in {"Deployment", "Job"}:
            pod = each["spec"]["template"]["spec"]
            container = pod["containers"][0]
            used = {
                volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume
            }
            used |= {e["configMapRef"]["name"] for e in container["envFrom"] if "configMapRef" in e}
            assert used == maps
            image = services()["consumer"]["image"]
            assert container["image"] == image


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here")
def test_the_overlay_of_the_docs_can_be_built(tmp_path: Path) -> None:
    text = (ROOT / "docs/deploy.md").read_text()
    block = re.search(r"```yaml\n(# overlay/kustomization.yaml\n.*?)```", text, re.S)
    assert block is not None
    shutil.copytree(BASE, tmp_path / "deploy/kubernetes")
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(block[1])
    (overlay / "nrtctl.toml").write_text("[consumer]\ngroup = 'mine'\n")
    done = subprocess.run(
        ["kubectl", "kustomize", str(overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert len(built) == len(OBJECTS) + len(KUSTOMIZATION["configMapGenerator"])
    maps = {
        each["metadata"]["name"].rpartition("-")[0]: each["data"]
        for each in built
        if each["kind"] == "ConfigMap"
    }
    assert "mine" in maps["pipeline"]["nrtctl.toml"]
    assert maps["addresses"]["NRTCTL_CLICKHOUSE__URL"].startswith("https://")
    assert maps["addresses"]["NRTCTL_STACK__KIND"] == "external"
    images = {
        container["image"]
        for each in built
        if each["kind"] in {"Deployment", "Job"}
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"registry.example.com/nrtctl-consumer:0.1.0"}


@pytest.mark.parametrize("name", PODS)
def test_each_pod_is_restricted(name: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    pod = PODS[name]
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == only(
        DEPLOY / "consumer.Dockerfile", "USER"
    )
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert all(set(each) & {"configMap", "secret", "emptyDir"} for each in pod["volumes"])
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]
        mounts = {each["name"] for each in container["volumeMounts"]}
        assert mounts == {each["name"] for each in pod["volumes"]}


@pytest.mark.parametrize("name", PODS)
def test_each_runs_a_command_of_nrtctl(name: str) -> None:
    container = PODS[name]["containers"][0]
    words = container["args"]
    text = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert text.exit_code == 0
    for option in [word for word in words if word.startswith("--")]:
        assert re.search(rf"(?<!\S){option}\b", text.output), option
    if name not in SERVING:
        return
    port = str(SERVING[name])
    assert [p["containerPort"] for p in container["ports"]] == [SERVING[name]]
    option = "--serve" if name == "stats" else "--metrics-port"
    assert words[words.index(option) + 1] == port
    assert container["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    template = named("Deployment", name)["spec"]["template"]["metadata"]
    assert template["annotations"]["prometheus.io/port"] == port


def test_only_the_metrics_can_be_reached() -> None:
    policy = named("NetworkPolicy", "only-metrics")["spec"]
    assert {each["port"] for each in policy["ingress"][0]["ports"]} == set(SERVING.values())


def test_settings_are_settings_and_secrets_are_references(tmp_path: Path) -> None:
    generators = {each["name"]: each for each in KUSTOMIZATION["configMapGenerator"]}
    environ = dict(each.split("=", 1) for each in generators["addresses"]["literals"])
    loaded = load_config(
        file=BASE / "nrtctl.toml", environ=environ | {"HOME": str(tmp_path)}, cwd=tmp_path
    )
    assert loaded.config.stack_kind == "external"
    text = "".join(path.read_text() for path in BASE.iterdir())
    known = {"__".join(key).upper() for key in fixed_keys()}
    mentioned = set(re.findall(r"\bNRTCTL_([A-Z]+__[A-Z_]+)\b", text)) - {"SECTION__KEY"}
    assert mentioned
    assert mentioned <= known
    assert not [key for key in environ if re.search("PASSWORD|SECRET|TOKEN", key)]
    assert "Secret" not in {each["kind"] for each in OBJECTS}
    for pod in PODS.values():
        sources = pod["containers"][0]["envFrom"]
        assert {"secretRef": {"name": "nrtctl-credentials"}} in sources


def test_the_pipeline_is_the_reference_pipeline() -> None:
    """Kustomize takes no file from outside of its directory, nor a link to one."""
    assert (BASE / "nrtctl.toml").read_text() == (
        ROOT / "src/nrtctl/config/templates/nrtctl.toml"
    ).read_text()
    assert not (BASE / "nrtctl.toml").is_symlink()


def test_keda_scales_the_consumer_by_the_lag_of_its_group(tmp_path: Path) -> None:
    """The trigger's names are those of https://keda.sh/docs/2.22/scalers/apache-kafka/."""
    config = load_config(
        file=BASE / "nrtctl.toml", environ={"HOME": str(tmp_path)}, cwd=tmp_path
    ).config
    scaled = named("ScaledObject", "consumer")["spec"]
    assert scaled["scaleTargetRef"]["name"] == named("Deployment", "consumer")["metadata"]["name"]
    assert "replicas" not in named("Deployment", "consumer")["spec"]
    assert scaled["maxReplicaCount"] == config.pipeline.partitions
    assert scaled["minReplicaCount"] == 1
    trigger = scaled["triggers"][0]
    assert trigger["type"] == "kafka"
    told = trigger["metadata"]
    assert set(told) == {
        "bootstrapServersFromEnv",
        "consumerGroup",
        "topic",
        "lagThreshold",
        "offsetResetPolicy",
        "allowIdleConsumers",
    }
    assert all(isinstance(value, str) for value in told.values())
    assert told["consumerGroup"] == config.consumer.group
    assert told["topic"] == config.pipeline.topic
    assert told["offsetResetPolicy"] == config.consumer.start
    literals = KUSTOMIZATION["configMapGenerator"][1]["literals"]
    assert any(each.startswith(f"{told['bootstrapServersFromEnv']}=") for each in literals)


def test_a_consumer_has_time_to_drain_and_goes_alone() -> None:
    pod = PODS["consumer"]
    hook = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert hook[0] == "sleep", "a signal from a hook would make kubelet's the second one"
    compose = int(services()["consumer"]["stop_grace_period"].removesuffix("s"))
    assert pod["terminationGracePeriodSeconds"] >= compose + int(hook[1])
    budget = named("PodDisruptionBudget", "consumer")["spec"]
    assert budget["maxUnavailable"] == 1
    labels = named("Deployment", "consumer")["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    rolling = named("Deployment", "consumer")["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 1, "maxSurge": 0}
