"""Stages of a run on two Ray nodes of this machine, each with half the memory; a program, since a process has one Ray.

    python -m tests.support.two_nodes STORE

Prints a line of JSON: what each stage came to (status, digest, key), the nodes that its tasks ran on, and how it was refused to
place a task that is larger than a node.
"""

import json
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from genrec.errors import GenrecError

SPREAD = ("ingest", "prepare", "embed", "evaluate")
HALF = psutil.virtual_memory().total // 2
SHARE_GIB = 0.6 * HALF / (1 << 30)  # of a task: a node has room for one
HASHED = "embed.options.hashed_above=0"  # the way of large catalogues, in pieces over the nodes
SETTINGS = ["evaluate.num_shards=2", *(f"resources.{stage}.memory_gib={SHARE_GIB}" for stage in SPREAD)]
PATIENCE_S = 120


def meet(own: Path, other: Path) -> str:
    """Wait until the other task has begun, too; the node it runs on."""
    import ray

    own.touch()
    deadline = time.monotonic() + PATIENCE_S
    while not other.exists():
        if time.monotonic() > deadline:
            raise GenrecError("the other task has not begun: the two do not run at the same time")
        time.sleep(0.02)
    return ray.get_runtime_context().get_node_id()


def executed(store: Path) -> Any:
    """The run of `SETTINGS` on a store, its stages executed one after the other."""
    from genrec.store.local import Store
    from tasks.run import STAGES, Run
    from tests.e2e.conftest import tiny_config
    from tests.support.promises.whole_run import stage_of
    from tests.unit.config.test_keys import READS

    run = Run(tiny_config(store, *SETTINGS), Store(store), f"run-{os.getpid()}")
    for name in STAGES:
        if name == "rank" and not run.config.rank.enabled:
            continue
        inputs = {n: run.artifacts[n] for n in READS[name] if n in run.artifacts}
        state = stage_of(name).execute(run, inputs)
        run.artifacts[name] = getattr(state, "data", state)
    return run


def main(store: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="gr", dir="/tmp", ignore_cleanup_errors=True) as folder:
        os.environ |= {
            "RAY_TMPDIR": folder,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }
        from ray.cluster_utils import Cluster

        cluster = Cluster()
        node = {"num_cpus": 2, "memory": HALF, "object_store_memory": 100 << 20, "node_ip_address": "127.0.0.1"}
        for _ in range(2):
            cluster.add_node(**node, include_dashboard=False)
        os.environ["RAY_ADDRESS"] = cluster.address
        try:
            print("RESULT", json.dumps(_stages(store, Path(folder))), flush=True)
        finally:
            from tasks.ray.cluster import disconnect

            disconnect()
            cluster.shutdown()


def _stages(store: Path, folder: Path) -> dict[str, Any]:
    from genrec.config import StageResources
    from genrec.store.local import Store
    from tasks.ray import placement
    from tasks.ray.cluster import run_tasks
    from tasks.ray.watch import Watcher, watching
    from tasks.run import Run
    from tests.e2e.conftest import tiny_config
    from tests.support.promises.whole_run import stage_of

    class Nodes(Watcher):
        """Notes which nodes the tasks of a stage began on."""

        def __init__(self) -> None:
            self.of_stage: dict[str, set[str]] = {}

        def worker_log(self, stage: str, level: int, text: str) -> None:
            if " on node " in text:
                self.of_stage.setdefault(stage, set()).add(text.rpartition(" ")[2])

    config = tiny_config(store, *SETTINGS)
    use = StageResources(memory_gib=SHARE_GIB)
    began = [folder / "a", folder / "b"]
    calls = [{"own": own, "other": other} for own, other in (began, began[::-1])]
    met = run_tasks("embed", meet, calls, config.resources, folder, use=use)
    nodes = Nodes()
    with watching(nodes):
        run = executed(store)
        large = Run(tiny_config(store, *SETTINGS, HASHED), Store(store), "two-nodes-hashed")
        hashed = stage_of("embed").execute(large, {"prepare": run.artifacts["prepare"]})
    placement.PATIENCE_S = 0.0
    refused = ""
    try:
        run_tasks("embed", meet, calls, config.resources, folder, use=StageResources(memory_gib=2 * SHARE_GIB))
    except GenrecError as error:
        refused = str(error)
    return {
        "records": {record["name"]: record for record in run.records},
        "hashed": str(hashed.path),
        "nodes": {stage: sorted(names) for stage, names in nodes.of_stage.items()},
        "met": met,
        "refused": refused,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
