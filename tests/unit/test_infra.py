"""The files under infra/: they parse, hold no secret, listen inside only, and agree with the code and the lock."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

INFRA = Path(__file__).parents[2] / "infra"
LOCK = (INFRA.parent / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((INFRA / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def cluster():
    return next(d for d in yaml.safe_load_all((INFRA / "kuberay.yaml").read_text()) if d["kind"] == "RayCluster")


def test_compose_publishes_the_ui_and_the_reports_on_loopback_and_nothing_else(compose):
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"prefect": ["127.0.0.1:4200:4200"], "reports": ["127.0.0.1:4201:4201"]}
    assert compose["services"]["worker"]["environment"]["GENREC_REPORTS_URL"] == "http://127.0.0.1:4201"


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


TEXTS = {"type": "array", "items": {"type": "string"}}
NAMES = {"type": "object", "additionalProperties": {"type": "string"}}
SERVICE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["image"],
    "properties": {
        "image": {"type": "string"},
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "volumes": {"type": "array", "items": {"type": "string", "pattern": r"^[\w./-]+:/[\w./-]+(:ro)?$"}},
        "secrets": TEXTS,
        "environment": NAMES,
        "entrypoint": TEXTS,
        "command": TEXTS,
        "ports": {"type": "array", "items": {"type": "string", "pattern": r"^(\d+\.){3}\d+:\d+:\d+$"}},
        "shm_size": {"type": "string", "pattern": r"^\d+(b|kb|mb|gb)$"},
        "stop_grace_period": {"type": "string", "pattern": r"^\d+(s|m)$"},
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "condition": {"enum": ["service_started", "service_healthy", "service_completed_successfully"]}
                },
            },
        },
        "healthcheck": {
            "type": "object",
            "additionalProperties": False,
            "required": ["test"],
            "properties": {
                "test": {"type": "array", "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}], "items": {"type": "string"}},
                "interval": {"type": "string", "pattern": r"^\d+(s|m)$"},
                "retries": {"type": "integer"},
            },
        },
    },
}
COMPOSE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["services"],
    "patternProperties": {"^x-": {}},
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "services": {"type": "object", "additionalProperties": SERVICE},
        "volumes": {"type": "object"},
        "secrets": {"type": "object", "additionalProperties": {"type": "object", "required": ["file"]}},
    },
}
CONTAINER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "image"],
    "properties": {
        "name": {"type": "string"},
        "image": {"type": "string"},
        "command": TEXTS,
        "env": {
            "type": "array",
            "items": {**NAMES, "required": ["name", "value"]},
        },
        "resources": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"requests": NAMES, "limits": NAMES},
        },
        "volumeMounts": {"type": "array", "items": {"type": "object", "required": ["name", "mountPath"]}},
    },
}
GROUP = {
    "rayStartParams": NAMES,
    "template": {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "additionalProperties": False,
                "required": ["containers"],
                "properties": {
                    "automountServiceAccountToken": {"type": "boolean"},
                    "containers": {"type": "array", "items": CONTAINER},
                    "volumes": {"type": "array", "items": {"type": "object", "required": ["name"]}},
                },
            }
        },
    },
}
COUNT = {"type": "integer", "minimum": 0}
RAY_CLUSTER = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayCluster"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["headGroupSpec"],
            "properties": {
                "rayVersion": {"type": "string"},
                "authOptions": {"properties": {"mode": {"enum": ["disabled", "token"]}}, "additionalProperties": False},
                "headGroupSpec": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["rayStartParams", "template"],
                    "properties": {"serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}, **GROUP},
                },
                "workerGroupSpecs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["groupName", "rayStartParams", "template"],
                        "properties": {
                            "groupName": {"type": "string"},
                            "replicas": COUNT,
                            "minReplicas": COUNT,
                            "maxReplicas": COUNT,
                            **GROUP,
                        },
                    },
                },
            },
        },
    },
}


def test_compose_and_kuberay_have_the_keys_and_types_of_their_formats(compose, cluster):
    """The part of each format that the files use: a key that is misspelt or misplaced is refused."""
    jsonschema.Draft202012Validator(COMPOSE).validate(compose)
    jsonschema.Draft202012Validator(RAY_CLUSTER).validate(cluster)
    compose["services"]["worker"]["enviroment"] = {}
    with pytest.raises(jsonschema.ValidationError, match="enviroment"):
        jsonschema.Draft202012Validator(COMPOSE).validate(compose)
    del compose["services"]["worker"]["enviroment"]


def test_the_cluster_config_is_valid_to_ray():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((INFRA / "ray-cluster.yaml").read_text())
    validate_config(prepare_config(config))
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
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
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
    lines = (INFRA / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert copied
    assert [c for c in copied if not (INFRA.parent / c).exists()] == []
    assert ["flows" in copied, "conf" in copied, "infra" in copied] == [True] * 3
