"""The files under infra/: valid to the formats' official schemas, without secrets, in agreement with code and lock."""

import copy
import importlib.util
import json
import re
import shutil
import subprocess
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from flows.serve.report_pages import PREFIX

INFRA = Path(__file__).parents[2] / "infra"
LOCK = (INFRA.parent / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((INFRA / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, dict]:
    """Kind -> resource of infra/kuberay.yaml."""
    return {d["kind"]: d for d in yaml.safe_load_all((INFRA / "kuberay.yaml").read_text())}


@pytest.fixture(scope="module")
def cluster(kubernetes):
    return kubernetes["RayCluster"]


@pytest.fixture(scope="module")
def claim(kubernetes):
    return kubernetes["PersistentVolumeClaim"]


def test_compose_publishes_the_ui_and_its_reports_on_one_port_of_loopback_and_nothing_else(compose):
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"prefect": ["127.0.0.1:4200:4200"]}
    assert compose["services"]["prefect"]["volumes"] == ["store:/store:ro"]
    assert "flows.serve.web --host 0.0.0.0 --reports /store/runs" in compose["services"]["prefect"]["command"][0]
    assert compose["services"]["worker"]["environment"]["GENREC_REPORTS_URL"] == PREFIX


def test_compose_asks_for_a_password_everywhere_and_holds_none(compose):
    services = compose["services"]
    for name, variable in (("prefect", "PREFECT_SERVER_API_AUTH_STRING"), ("worker", "PREFECT_API_AUTH_STRING")):
        assert services[name]["environment"][variable].startswith("${PREFECT_AUTH_STRING:?")
    for name in ("worker", "ray-head", "ray-worker"):
        environment = services[name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token"
        assert environment["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray-token"
        assert "ray-token" in services[name]["secrets"]
        assert "store:/store" in services[name]["volumes"]
    assert all(list(secret) == ["file"] for secret in compose["secrets"].values())
    assert services["prefect"]["environment"]["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


def test_compose_names_modules_services_and_secrets_that_exist(compose):
    text = json.dumps(compose["services"])
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module.partition(" ")[0]), module
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        volumes = {v.partition(":")[0] for v in service.get("volumes", [])}
        assert {v for v in volumes if "/" not in v} <= set(compose["volumes"])


# The fields of a RayCluster that the API `ray.io/v1` of KubeRay 1.5 defines, without its pod templates, which are
# Kubernetes' own. KubeRay's CRD is in no package of the index; Ray reads the resource in a test of its own below.
RAY_CLUSTER_FIELDS = {
    "spec": {"authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions", "headGroupSpec",
             "headServiceAnnotations", "managedBy", "rayVersion", "suspend", "workerGroupSpecs"},
    "head": {"enableIngress", "headService", "labels", "rayStartParams", "resources", "serviceType", "template"},
    "worker": {"groupName", "idleTimeoutSeconds", "labels", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams",
               "replicas", "resources", "scaleStrategy", "suspend", "template"},
}  # fmt: skip


@pytest.fixture(scope="module")
def compose_schema() -> jsonschema.Draft202012Validator:
    """The JSON schema of the Compose specification, as the package check-jsonschema ships it."""
    text = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(text))


def test_compose_is_valid_to_the_compose_specification(compose, compose_schema):
    compose_schema.validate(compose)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("services", "worker", "enviroment"), {}),
        (("services", "prefect", "healthcheck", "retry"), 3),
        (("services", "worker", "depends_on", "prefect", "condition"), "service_ready"),
        (("services", "prefect", "ports"), "127.0.0.1:4200:4200"),
        (("secret",), {}),
    ],
    ids=lambda v: ".".join(v) if isinstance(v, tuple) else "",
)
def test_the_compose_specification_refuses_what_is_misspelt_or_misplaced(compose, compose_schema, path, value):
    broken = copy.deepcopy(compose)
    _set(broken, path, value)
    with pytest.raises(jsonschema.ValidationError):
        compose_schema.validate(broken)


def test_pod_templates_and_the_volume_claim_are_valid_to_kubernetes(claim, cluster):
    """Against the OpenAPI schemas of Kubernetes, strictly: a field that it does not know is an error."""
    kubernetes_validate.validate(claim, "1.37", strict=True)
    for group in _groups(cluster):
        kubernetes_validate.validate(_as_pod_template(group), "1.37", strict=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "automountServiceAcountToken"), False),
        (("spec", "volumes"), {"store": {}}),
        (("spec", "container"), []),
    ],
    ids=lambda v: ".".join(v) if isinstance(v, tuple) else "",
)
def test_kubernetes_refuses_a_pod_template_that_is_misspelt(cluster, path, value):
    template = _as_pod_template(_groups(cluster)[0])
    _set(template["template"], path, value)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(template, "1.37", strict=True)


def test_the_ray_cluster_has_no_field_that_kuberay_does_not_define(cluster):
    assert cluster.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert cluster["apiVersion"] == "ray.io/v1"
    head, *workers = _groups(cluster)
    assert cluster["spec"].keys() <= RAY_CLUSTER_FIELDS["spec"]
    assert head.keys() <= RAY_CLUSTER_FIELDS["head"]
    assert [w.keys() - RAY_CLUSTER_FIELDS["worker"] for w in workers] == [set()] * len(workers)


def test_ray_reads_groups_and_resources_from_the_ray_cluster(cluster):
    """By the function with which Ray's autoscaler reads a RayCluster; its result is checked against ray-schema.json."""
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    resource = copy.deepcopy(cluster)
    resource["metadata"]["namespace"] = "default"
    groups = _derive_autoscaling_config_from_ray_cr(resource)["available_node_types"]
    assert groups["headgroup"]["resources"] == {"CPU": 0, "memory": 8 * 1024**3}
    assert groups["gpu"]["resources"] == {"CPU": 8, "GPU": 1, "memory": 64 * 1024**3}
    assert (groups["gpu"]["min_workers"], groups["gpu"]["max_workers"]) == (0, 4)


def _groups(cluster: dict) -> list[dict]:
    return [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]


def _as_pod_template(group: dict) -> dict:
    """A PodTemplate resource that holds the template of a group."""
    template = copy.deepcopy(group["template"])
    return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "group"}, "template": template}


def _set(document: dict, path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        document = document[name]
    document[path[-1]] = value


def test_the_cluster_config_is_valid_to_ray():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((INFRA / "ray-cluster.yaml").read_text())
    validate_config(prepare_config(copy.deepcopy(config)))
    with pytest.raises(jsonschema.ValidationError, match="head_start_ray_command"):
        validate_config({**config, "head_start_ray_command": []})
    starts = [c for name in ("head", "worker") for c in config[f"{name}_start_ray_commands"] if " start " in c]
    assert len(starts) == 2
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in starts)


def test_compose_is_valid_to_docker(tmp_path):
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("no docker compose here")
    done = subprocess.run(
        ["docker", "compose", "-f", str(INFRA / "compose.yaml"), "config", "-q"],
        capture_output=True, text=True, env={"PREFECT_AUTH_STRING": "a:b", "PATH": "/usr/bin:/bin:/usr/local/bin"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_kuberay_has_a_token_gpu_workers_and_one_store_for_all(cluster):
    spec = cluster["spec"]
    assert spec["authOptions"] == {"mode": "token"}
    assert f"ray=={spec['rayVersion']}\n" in LOCK
    groups = _groups(cluster)
    for group in groups:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        assert {"name": "GENREC_STORE", "value": "/store"} in container["env"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert pod["automountServiceAccountToken"] is False
        assert all(isinstance(v, str) for v in group["rayStartParams"].values())
    assert groups[1]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert groups[0]["rayStartParams"]["num-cpus"] == "0"


def test_the_image_is_built_from_files_that_exist():
    copied = _copied()
    assert copied
    assert [c for c in copied if not (INFRA.parent / c).exists()] == []
    assert {"genrec", "tasks", "flows", "conf", "infra/gpu_packages.py"} <= {*copied}
    assert [c for c in copied if _stays_out(c)] == []


def test_no_secret_and_nothing_else_that_a_build_does_not_need_gets_into_the_image_or_the_repository(compose):
    secrets = [f"infra/{secret['file']}" for secret in compose["secrets"].values()]
    assert "infra/secrets/ray-token" in secrets
    for path in [
        *secrets,
        ".env",
        ".git/config",
        ".genrec/api/token",
        "data/events.csv",
        "genrec/data/__pycache__/a.pyc",
    ]:
        assert _stays_out(path), path
    assert [(c, s) for c in _copied() for s in secrets if Path(s).is_relative_to(c)] == []
    assert "infra/secrets/" in (INFRA.parent / ".gitignore").read_text().splitlines()


def _copied() -> list[str]:
    """What the Dockerfile copies out of the project's folder."""
    lines = (INFRA / "Dockerfile").read_text().splitlines()
    return [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]


def _stays_out(path: str) -> bool:
    """Whether .dockerignore keeps a path from a build: by the last pattern that the path, or a folder it is in, is like."""
    within = [path, *map(str, Path(path).parents)]
    out = False
    for line in (INFRA.parent / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        anywhere, name = pattern.startswith("**/"), pattern.removeprefix("**/")
        likes = [fnmatch(Path(part).name if anywhere else part, name) for part in within if part != "."]
        if line and not line.startswith("#") and any(likes):
            out = not line.startswith("!")
    return out


def _gpu_packages():
    spec = importlib.util.spec_from_file_location("gpu_packages", INFRA / "gpu_packages.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


def test_an_environment_for_gpus_gets_the_locked_torch_for_cuda_and_faiss_with_its_libraries():
    commands = _gpu_packages().commands
    (locked,) = re.findall(r"^torch==(.*)$", LOCK, re.MULTILINE)
    swap = [["uninstall", "--quiet", "--yes", "faiss-cpu"], ["install", "--quiet", "faiss-gpu>=1.15.1"]]
    assert commands(f"{locked}+cpu None") == [["install", "--quiet", f"torch==={locked}"], *swap]
    assert commands(f"{locked}+cu130 13.0") == swap


def test_an_environment_whose_torch_stays_one_for_the_cpu_is_refused(monkeypatch):
    module = _gpu_packages()
    monkeypatch.setattr(module, "torch_build", lambda: "2.13.0+cpu None")
    monkeypatch.setattr(module, "commands", lambda build: [])
    with pytest.raises(SystemExit, match=r"torch 2\.13\.0\+cpu is still a build for the CPU"):
        module.main()
