"""Secrets in the environment, in settings, in URLs and in the errors of libraries: looked for in all that is written."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.support.served import Served, clean_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ENVIRONMENT = {
    "HF_TOKEN": "hf_canary4f0c6b1dTOKEN",
    "AWS_SECRET_ACCESS_KEY": "canaryAWS9d1fSECRETkey",
    "GENREC_SOME_PASSWORD": "canaryGENREC77aPASSWORD",
}
URL = "s3://someone:canaryURL5c2ePASSWORD@bucket/shop"
CANARIES = [*ENVIRONMENT.values(), "canaryURL5c2ePASSWORD"]

# The fault switch: while a file is there, every Ray task of a stage writes secrets to its log and fails with them, as
# libraries do that were refused. Python imports a module of this name before anything else.
FAULT = f"""
import logging, os
_info = logging.Logger.info

def info(self, message, *args, **more):
    _info(self, message, *args, **more)
    if message.startswith("%s started in process %d") and os.path.exists(os.environ.get("GENREC_FAULT", "")):
        text = f"refused: {{os.environ['HF_TOKEN']}} {{os.environ['AWS_SECRET_ACCESS_KEY']}} at {URL}"
        self.warning(text)
        raise RuntimeError(text) from OSError(os.environ["GENREC_SOME_PASSWORD"])

logging.Logger.info = info
"""


class Faulty(Served):
    """A `serve` whose environment holds secrets, and whose stages fail with them."""

    def __init__(self, folder: Path, ray: Path) -> None:
        (folder / "sitecustomize.py").write_text(FAULT)
        self.fault, self.ray = folder / "fault", ray
        self.fault.touch()
        places = {"PYTHONPATH": f"{folder}:{ROOT}", "GENREC_FAULT": str(self.fault), "RAY_TMPDIR": str(ray)}
        super().__init__(folder / "store", **ENVIRONMENT, **places)

    def found(self, *more: str) -> list[str]:
        """Where a secret is: in files (the database is one), in what the API shows, on the screen."""
        wanted = [*CANARIES, self.password.partition(":")[2], *more]
        meant = {"password", self.log.name}  # where it may be: when it is made, it is printed once
        files = [p for place in (self.store, self.ray) for p in place.rglob("*") if p.is_file() and not p.is_symlink()]
        assert any(p.suffix == ".db" for p in files)
        assert any(p.parent.name == "logs" for p in files), "no logs of Ray"
        found = []
        for path in files:
            content = path.read_bytes() if path.name not in meant else b""
            found += [f"{secret} in {path}" for secret in wanted if secret.encode() in content]
        kinds = ("flow_runs", "task_runs", "artifacts", "logs", "events")
        shown = str([self.call("POST", f"/{kind}/filter", {}) for kind in kinds])
        shown += self.output().replace(self.password, "", 1)
        return found + [f"{secret} in the API or on the screen" for secret in wanted if secret in shown]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    with tempfile.TemporaryDirectory(prefix="gr", dir="/tmp") as ray:  # the paths of Ray's sockets have to be short
        up = Faulty(tmp_path_factory.mktemp("faulty"), Path(ray))
        yield up
        up.stop()


def test_a_stage_that_fails_with_secrets_shows_its_error_and_log_without_them(faulty):
    run = faulty.start(until="prepare")
    assert faulty.finished(run) == "Failed"
    message = faulty.call("GET", f"/flow_runs/{run}")["state"]["message"]
    assert "RuntimeError: refused: *** *** at s3://***@bucket/shop" in message
    lines = [line["message"] for line in faulty.logs(run)]
    assert "refused: *** *** at s3://***@bucket/shop" in lines
    assert faulty.found() == []

    faulty.fault.unlink()
    faulty.retry(run)
    assert faulty.finished(run) == "Completed"
    assert faulty.found() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data_path", "s3://someone:canaryFORM1@bucket/shop"),
        ("settings", ["data.path=https://canaryFORM2@host/x"]),
        ("settings", ["embed.options.hf_token=canaryFORM3"]),
        ("settings", ["data.options.secret_key='canaryFORM4'"]),
        ("settings", ["api_key=canaryFORM5"]),
        ("settings", ["HF_TOKEN=hf_canaryFORM6"]),
        ("settings", ["sft.epohs=canaryFORM7"]),
        ("settings", ["base.model=hf_canaryFORM8abcdefgh"]),
    ],
)
def test_a_form_refuses_a_secret_before_anything_is_stored(faulty, field, value):
    body = {"parameters": {field: value}}
    refused = faulty.call("POST", f"/deployments/{faulty.deployment()['id']}/create_flow_run", body)
    assert refused[0] == 409
    assert field in refused[1]
    assert "canaryFORM" not in refused[1]
    assert faulty.found("canaryFORM") == []


def test_a_command_with_a_secret_in_its_config_is_refused_and_does_not_repeat_it(faulty, tmp_path):
    settings = tmp_path / "secret.yaml"
    settings.write_text(f"data: {{path: '{URL}'}}\n")
    done = subprocess.run(
        [sys.executable, "-m", "flows", "run", "--config", "conf/table.yaml", "--config", str(settings), "--store",
         str(faulty.store), "--set", f"name={ENVIRONMENT['HF_TOKEN']}", "--set", "HF_TOKEN=hf_canaryCLI"],
        cwd=ROOT, env=clean_environment(**ENVIRONMENT), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "name, data.path, HF_TOKEN: holds a secret" in done.stderr
    assert "canary" not in done.stdout + done.stderr
    assert faulty.found("canaryCLI") == []
