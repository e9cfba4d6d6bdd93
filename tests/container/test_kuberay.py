"""The examples for KubeRay, against what its API of version ray.io/v1 takes, as far as they use it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from talkinghead.fleet.options import EngineName
from tests.conftest import ROOT
from tests.container.test_dockerfile import FINAL, only
from tests.container.words import check_words

yaml = pytest.importorskip("yaml")

FILES = sorted((ROOT / "examples" / "kuberay").glob("*.yaml"))
TEXT, NUMBER, YES, LIST, MAP = str, int, bool, list, dict
QUANTITY = re.compile(r"\d+(\.\d+)?(m|[KMGT]i?)?")
NAME = re.compile(r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?")

CLUSTER = {"rayVersion": TEXT, "enableInTreeAutoscaling": YES, "autoscalerOptions": MAP, "headGroupSpec": MAP,
           "workerGroupSpecs": LIST, "gcsFaultToleranceOptions": MAP, "suspend": YES}  # fmt: skip
FIELDS: Mapping[str, tuple[Mapping[str, type], set[str]]] = {
    "RayJob": (
        {"entrypoint": TEXT, "rayClusterSpec": MAP, "backoffLimit": NUMBER, "shutdownAfterJobFinishes": YES,
         "ttlSecondsAfterFinished": NUMBER, "activeDeadlineSeconds": NUMBER, "submissionMode": TEXT,
         "runtimeEnvYAML": TEXT, "suspend": YES, "submitterPodTemplate": MAP},
        {"entrypoint", "rayClusterSpec"},
    ),
    "RayService": (
        {"serveConfigV2": TEXT, "rayClusterConfig": MAP, "serviceUnhealthySecondThreshold": NUMBER,
         "deploymentUnhealthySecondThreshold": NUMBER, "upgradeStrategy": MAP, "serveService": MAP},
        {"serveConfigV2", "rayClusterConfig"},
    ),
    "cluster": (CLUSTER, {"headGroupSpec", "rayVersion"}),
    "head": ({"rayStartParams": MAP, "template": MAP, "serviceType": TEXT, "headService": MAP}, {"template"}),
    "workers": (
        {"groupName": TEXT, "replicas": NUMBER, "minReplicas": NUMBER, "maxReplicas": NUMBER, "rayStartParams": MAP,
         "template": MAP, "idleTimeoutSeconds": NUMBER, "numOfHosts": NUMBER},
        {"groupName", "minReplicas", "maxReplicas", "template"},
    ),
    "pod": (
        {"securityContext": MAP, "containers": LIST, "volumes": LIST, "terminationGracePeriodSeconds": NUMBER,
         "nodeSelector": MAP, "tolerations": LIST, "serviceAccountName": TEXT, "imagePullSecrets": LIST},
        {"containers"},
    ),
    "container": (
        {"name": TEXT, "image": TEXT, "imagePullPolicy": TEXT, "env": LIST, "envFrom": LIST, "resources": MAP,
         "volumeMounts": LIST, "ports": LIST, "lifecycle": MAP, "securityContext": MAP},
        {"name", "image"},
    ),
}  # fmt: skip
"""Fields by what they belong to, with their types, and those that are required (CRDs of KubeRay 1.7)."""


def check(kind: str, given: Mapping[str, Any]) -> None:
    fields, required = FIELDS[kind]
    assert set(given) <= set(fields), kind
    assert required <= set(given), kind
    for name, value in given.items():
        assert isinstance(value, fields[name]), f"{kind}.{name}"
        assert fields[name] is not int or not isinstance(value, bool), f"{kind}.{name}"


def resource(path: Path) -> Any:
    """What a file asks of KubeRay."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def documents() -> Iterator[Any]:
    for path in FILES:
        yield pytest.param(path, resource(path), id=path.stem)


EVERY = pytest.mark.parametrize(("path", "document"), list(documents()))


def cluster_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = document["spec"]
    return spec.get("rayClusterSpec") or spec["rayClusterConfig"]


def test_there_is_a_batch_and_a_service() -> None:
    assert [path.stem for path in FILES] == ["batch", "service"]


@EVERY
def test_what_is_asked_of_kuberay_is_what_it_takes(path: Path, document: Any) -> None:
    assert document["apiVersion"] == "ray.io/v1"
    assert NAME.fullmatch(document["metadata"]["name"])
    check(document["kind"], document["spec"])
    cluster = cluster_of(document)
    check("cluster", cluster)
    check("head", cluster["headGroupSpec"])
    for group in cluster["workerGroupSpecs"]:
        check("workers", group)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert NAME.fullmatch(group["groupName"])
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        check("pod", pod)
        for container in pod["containers"]:
            check("container", container)
            assert {mount["name"] for mount in container["volumeMounts"]} <= {
                volume["name"] for volume in pod["volumes"]
            }
            for amounts in container["resources"].values():
                assert all(QUANTITY.fullmatch(str(amount)) for amount in amounts.values())


@EVERY
def test_the_containers_are_those_of_the_dockerfile(path: Path, document: Any) -> None:
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    cluster = cluster_of(document)
    assert cluster["rayVersion"] == pins["ray"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": int(only(FINAL, "USER").text)} | {
            "fsGroup": int(only(FINAL, "USER").text)
        }
        assert [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]] == [only(FINAL, "VOLUME").text]


@EVERY
def test_secrets_come_from_kubernetes(path: Path, document: Any) -> None:
    cluster = cluster_of(document)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        for container in group["template"]["spec"]["containers"]:
            assert [one["secretRef"]["name"] for one in container["envFrom"]]
            assert "env" not in container


def test_the_service_takes_its_arguments_and_has_room_for_its_replicas() -> None:
    pytest.importorskip("fastapi")
    from talkinghead.fleet.serve import ScaledOptions

    (service,) = (resource(path) for path in FILES if path.stem == "service")
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    options = ScaledOptions.of(application["args"])
    (group,) = cluster_of(service)["workerGroupSpecs"]
    pod = group["template"]["spec"]
    cores = float(pod["containers"][0]["resources"]["requests"]["cpu"])
    desk = 0.5
    assert options.max_replicas <= (group["maxReplicas"] - 1) * (cores // options.cpus) + (cores - desk) // options.cpus
    assert str(options.data).startswith(pod["containers"][0]["volumeMounts"][0]["mountPath"])
    assert "persistentVolumeClaim" in pod["volumes"][0]


@pytest.mark.skipif("ray" not in get_args(EngineName), reason="needs the engine `ray`")
def test_the_command_of_the_batch_is_one() -> None:
    (job,) = (resource(path) for path in FILES if path.stem == "batch")
    words = shlex.split(job["spec"]["entrypoint"])
    check_words(words)
    (group,) = cluster_of(job)["workerGroupSpecs"]
    (volume,) = group["template"]["spec"]["volumes"]
    workers_per_pod = int(words[words.index("--workers") + 1]) / group["replicas"]
    assert workers_per_pod * float(words[words.index("--scratch-gb") + 1]) <= int(volume["emptyDir"]["sizeLimit"][:-2])


@pytest.mark.thorough
def test_the_service_is_one_for_ray_serve() -> None:
    schema = pytest.importorskip("ray.serve.schema")
    (service,) = (resource(path) for path in FILES if path.stem == "service")
    config = schema.ServeDeploySchema.model_validate(yaml.safe_load(service["spec"]["serveConfigV2"]))
    (application,) = config.applications
    module, _, name = application.import_path.partition(":")
    assert (module, name) == ("talkinghead.fleet.serve", "app")
