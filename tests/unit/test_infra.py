"""The files under infra/: they parse, hold no secret, listen inside only, and agree with the code and the lock."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

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


def test_compose_publishes_one_port_and_that_on_loopback(compose):
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"prefect": ["127.0.0.1:4200:4200"]}


def test_compose_asks_for_a_password_everywhere_and_holds_none(compose):
    services = compose["services"]
    for name, variable in (("prefect", "PREFECT_SERVER_API_AUTH_STRING"), ("runner", "PREFECT_API_AUTH_STRING")):
        assert services[name]["environment"][variable].startswith("${PREFECT_AUTH_STRING:?")
    for name in ("runner", "ray-head", "ray-worker"):
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
