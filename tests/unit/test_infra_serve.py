"""The endpoint's files under infra/: valid to Ray Serve's, Kubernetes' and our own schemas, without secrets."""

import copy
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.unit.test_infra import LOCK, RAY_CLUSTER_FIELDS, _as_pod_template, _groups

INFRA = Path(__file__).parents[2] / "infra"
# Of the API `ray.io/v1` of KubeRay 1.5; its CRD is in no package of the index.
RAY_SERVICE_FIELDS = {"deploymentUnhealthySecondThreshold", "excludeHeadPodFromServeSvc", "rayClusterConfig", "serveConfigV2",
                      "serveService", "serviceUnhealthySecondThreshold", "suspend", "upgradeStrategy", "rayClusterDeletionDelaySeconds"}  # fmt: skip


@pytest.fixture(scope="module")
def ray_service() -> dict:
    return yaml.safe_load((INFRA / "kuberay-serve.yaml").read_text())


@pytest.fixture(scope="module", params=["serve.yaml", "kuberay-serve.yaml"])
def serve_config(request, ray_service) -> dict:
    if request.param == "serve.yaml":
        return yaml.safe_load((INFRA / "serve.yaml").read_text())
    return yaml.safe_load(ray_service["spec"]["serveConfigV2"])


def test_serve_configs_are_valid_to_ray_and_to_the_applications_own_arguments(serve_config):
    from ray.serve.schema import ServeDeploySchema

    from tasks.api.deployment import Arguments, application

    checked = ServeDeploySchema.model_validate(serve_config)
    # Ray takes unknown keys for those of a newer version: none is there by mistake.
    known = {*ServeDeploySchema.model_fields}
    assert serve_config.keys() <= known
    (app,) = checked.applications
    assert serve_config["applications"][0].keys() <= {*type(app).model_fields}
    assert serve_config["http_options"].keys() <= {*type(checked.http_options).model_fields}
    module, name = app.import_path.split(":")
    assert (module, name) == (application.__module__, application.__name__)
    arguments = Arguments.model_validate(app.args)
    assert arguments.api.events is not None
    assert arguments.api.events.startswith("postgresql://")
    assert "@" not in arguments.api.events or ":" not in arguments.api.events.split("//")[1].split("@")[0]
    assert arguments.api.deadline_ms / 1000 < checked.http_options.request_timeout_s


def test_the_application_has_the_replicas_and_gpus_of_its_settings():
    from tasks.api.deployment import Arguments, application

    api = {"min_replicas": 2, "max_replicas": 5, "target_requests": 7, "num_cpus": 3, "num_gpus": 0.5, "max_queue": 10}
    app = application(Arguments.model_validate({"store": "/store", "api": api}))
    deployment = app._bound_deployment
    scaling = deployment._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 5, 7)
    assert {**deployment.ray_actor_options}.items() >= {"num_cpus": 3, "num_gpus": 0.5}.items()
    assert deployment.max_queued_requests == 10


def test_the_application_takes_whether_lists_are_ranked(monkeypatch):
    from tasks.api import deployment

    monkeypatch.setattr(deployment, "bound", lambda place, *rest: place)
    for given, rank in (({}, None), ({"rank": False}, False), ({"rank": True}, True)):
        place = deployment.application(deployment.Arguments.model_validate({"store": "/store", **given}))
        assert place.rank is rank


def test_the_ray_service_is_valid_to_kuberay_and_kubernetes(ray_service):
    assert ray_service.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert (ray_service["apiVersion"], ray_service["kind"]) == ("ray.io/v1", "RayService")
    assert ray_service["spec"].keys() <= RAY_SERVICE_FIELDS
    cluster = {"spec": ray_service["spec"]["rayClusterConfig"]}
    assert cluster["spec"].keys() <= RAY_CLUSTER_FIELDS["spec"]
    head, *workers = _groups(cluster)
    assert head.keys() <= RAY_CLUSTER_FIELDS["head"]
    assert [w.keys() - RAY_CLUSTER_FIELDS["worker"] for w in workers] == [set()] * len(workers)
    for group in _groups(cluster):
        kubernetes_validate.validate(_as_pod_template(group), "1.37", strict=True)
    broken = copy.deepcopy(_as_pod_template(head))
    broken["template"]["spec"]["containers"][0]["envs"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def test_the_ray_service_has_room_for_its_replicas_and_its_secrets_elsewhere(ray_service):
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    spec = ray_service["spec"]["rayClusterConfig"]
    assert spec["authOptions"] == {"mode": "token"}
    assert f"ray=={spec['rayVersion']}\n" in LOCK
    resource = {"metadata": {"name": "genrec-api", "namespace": "default"}, "spec": copy.deepcopy(spec)}
    groups = _derive_autoscaling_config_from_ray_cr(resource)["available_node_types"]
    api = yaml.safe_load(ray_service["spec"]["serveConfigV2"])["applications"][0]["args"]["api"]
    of_a_worker = groups["gpu"]["resources"]
    assert of_a_worker["GPU"] >= api["num_gpus"]
    assert of_a_worker["CPU"] >= api["num_cpus"]
    assert groups["gpu"]["max_workers"] * of_a_worker["GPU"] >= api["max_replicas"] * api["num_gpus"]
    for group in _groups({"spec": spec}):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        secret = {e["name"]: e["valueFrom"]["secretKeyRef"]["name"] for e in container["env"] if "valueFrom" in e}
        assert secret == {"GENREC_API_TOKEN": "genrec-api", "PGPASSWORD": "genrec-api"}
        assert pod["automountServiceAccountToken"] is False


def test_the_operator_can_reach_the_dashboard_that_it_deploys_through_and_ask_whether_a_pod_is_ready(ray_service):
    spec = ray_service["spec"]["rayClusterConfig"]
    # KubeRay has the dashboard listen on all addresses where nothing else is said, and never behind loopback.
    assert spec["headGroupSpec"]["rayStartParams"].get("dashboard-host", "0.0.0.0") == "0.0.0.0"
    assert (spec["authOptions"], spec["headGroupSpec"]["serviceType"]) == ({"mode": "token"}, "ClusterIP")
    (install,) = [line for line in (INFRA / "Dockerfile").read_text().splitlines() if "apt-get install" in line]
    assert "wget" in install.partition("&& rm")[0].split()
