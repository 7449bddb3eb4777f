"""Beyond one box, by hand: a Prefect server, a process worker and a Ray cluster of two nodes, the pipeline through them.

The secrets that such an installation has are looked for everywhere it writes.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.serve.processes import descendants
from tests.support.by_hand import ByHand
from tests.support.served import named
from tests.support.stages import ALWAYS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

CANARIES = {
    "HF_TOKEN": "hf_canary4f0c6b1dTOKEN",
    "AWS_SECRET_ACCESS_KEY": "canaryAWS9d1fSECRETkey",
    "GENREC_SOME_PASSWORD": "canaryGENREC77aPASSWORD",
}
PATIENCE_S = 600


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    up = ByHand(tmp_path_factory.mktemp("cluster") / "store", **CANARIES)
    yield up
    up.stop()


@pytest.fixture(scope="module")
def finished(cluster):
    run = cluster.start(promote="if not worse")
    assert cluster.finished(run, PATIENCE_S) == "Completed", cluster.output()[-5000:]
    return run


def test_the_pipeline_runs_through_a_worker_and_two_nodes(cluster, finished):
    status = cluster.tasks(finished)
    assert {stage: status[stage] for stage in ALWAYS} == dict.fromkeys(ALWAYS, "Completed")
    nodes = cluster.ray_nodes()
    assert sorted(node.get("CPU", 0) for node in nodes) == [0, 2]
    assert cluster.call("GET", f"/flow_runs/{finished}")["work_pool_name"] == "by-hand"
    lines = [line["message"] for line in cluster.logs(finished)]
    assert any("train_sft started in process" in line for line in lines)


def test_shards_have_rows_of_their_own(cluster, finished):
    rows = set(cluster.tasks(finished))
    assert {"embed texts 1 of 1", "prepare users 1 of 2", "prepare users 2 of 2"} <= rows
    assert any(row.startswith("ingest files 1 of ") for row in rows)


def test_without_the_token_nobody_joins_the_ray_cluster(cluster):
    code = "import ray; ray.init(address='auto', logging_level='ERROR'); print(ray.nodes())"
    stranger = {k: v for k, v in cluster.worker_environment.items() if not k.startswith("RAY_AUTH")}
    for more in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**stranger, **more}, capture_output=True, text=True, timeout=200, check=False
        )  # fmt: skip
        assert done.returncode != 0, done.stdout


def test_a_node_that_is_killed_fails_the_run_and_the_next_one_goes_on_where_it_was(cluster, finished):
    run = cluster.in_training("sft.dropout=0.11")
    for pid in named(descendants(cluster.node.pid), "raylet/raylet"):
        os.kill(pid, signal.SIGKILL)
    ended = cluster.finished(run, PATIENCE_S)
    cluster.node.wait(60)
    cluster.wait_for_the_node()
    _completes(cluster, run, ended)


def test_after_the_death_of_the_head_a_retry_on_a_new_cluster_goes_on_where_it_was(cluster, finished):
    run = cluster.in_training("sft.dropout=0.12")
    cluster.kill_head()
    ended = cluster.finished(run, PATIENCE_S)
    cluster.new_cluster()
    _completes(cluster, run, ended)


def _completes(cluster: ByHand, run: str, ended: str) -> None:
    """The run, retried where it did not come to its end, completes with all before sft from the store."""
    if ended != "Completed":
        cluster.retry(run)
        assert cluster.finished(run, PATIENCE_S) == "Completed", cluster.output()[-3000:]
    status = cluster.tasks(run)
    assert {status[stage] for stage in ALWAYS[: ALWAYS.index("sft")]} == {"Cached"}
    assert status["sft"] == "Completed"


def test_no_secret_is_written_anywhere(cluster, finished):
    secrets = {
        **CANARIES,
        "the password of the server": cluster.password.partition(":")[2],
        "the token of Ray": cluster.ray_token,
    }
    places = [cluster.store, *cluster.folders]
    files = [p for place in places for p in place.rglob("*") if p.is_file() and not p.is_symlink()]
    assert any(p.suffix == ".db" for p in files)
    assert any(p.parent.name == "logs" for p in files)  # of Ray
    found = []
    for path in files:
        content = path.read_bytes()
        found += [f"{name} in {path}" for name, value in secrets.items() if value.encode() in content]
    assert found == []
    shown = [cluster.call("POST", f"/{kind}/filter", {}) for kind in ("flow_runs", "task_runs", "artifacts", "logs")]
    assert [name for name, value in secrets.items() if value in str(shown)] == []


def test_commands_hold_no_secret_that_others_on_the_machine_could_read(cluster):
    values = [*CANARIES.values(), cluster.password.partition(":")[2], cluster.ray_token]
    for process in cluster.others:
        for pid in [process.pid, *descendants(process.pid)]:
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            assert not any(value in command for value in values), command
