"""Where Ray may place the tasks of a stage: on any node that has the cores, GPUs and memory that each of them reserves.

Ray itself waits without end, and with a warning that nobody sees, for a node that could hold a task. Here the stage says so,
and ends where no such node can come. Imports no Prefect: Ray's worker processes import what imports this.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genrec.config import StageResources
from genrec.errors import GenrecError
from tasks.ray.made_on import num_threads
from tasks.ray.watch import watcher

PATIENCE_S = 900.0  # on a cluster, whose nodes may come late: an autoscaler starts them when a task asks
_GIB = 1 << 30


@dataclass(frozen=True)
class Placement:
    """What each task of a stage reserves on its node; `threads` is how many it computes with."""

    num_cpus: float
    num_gpus: float
    memory: int  # bytes
    threads: int

    def options(self) -> dict[str, Any]:
        """As Ray's `options` takes it."""
        memory = {"memory": self.memory} if self.memory else {}
        return {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus, **memory}


def placement(use: StageResources, nodes: Sequence[Mapping[str, float]]) -> Placement:
    """What a task reserves on a cluster of `nodes` (the resources of each): more cores than any node has are lowered to that."""
    memory = memory_of(use)
    able = [node for node in nodes if _has(node, 0, use.num_gpus, memory)]
    cores = max((node.get("CPU", 0.0) for node in able or nodes), default=1.0)
    return Placement(min(use.num_cpus, cores), use.num_gpus, memory, num_threads(use, cores or 1.0))


def memory_of(use: StageResources) -> int:
    """Bytes of memory that a task reserves."""
    return int(use.memory_gib * _GIB)


def alive() -> list[dict[str, float]]:
    """The resources of each node of the cluster that this process has joined."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


class Waiting:
    """Tells once that no node can hold a task of the stage, and ends the stage when none has come for a while.

    Args:
        stage: its name.
        placed: what a task reserves.
        joined: whether the cluster is one that was there before, to which nodes may be added.
    """

    def __init__(self, stage: str, placed: Placement, joined: bool) -> None:
        self.stage, self.placed = stage, placed
        self.patience_s = PATIENCE_S if joined else 0.0
        self.over = False  # once there was a node
        self._since: float | None = None

    def check(self, nodes: Sequence[Mapping[str, float]]) -> None:
        """Raises GenrecError where none of the nodes could ever hold a task, and none could for `patience_s` seconds."""
        task = self.placed
        if any(_has(node, task.num_cpus, task.num_gpus, task.memory) for node in nodes):
            self.over = True
            return
        if self._since is None:
            self._since = time.monotonic()
            if self.patience_s:
                watcher().message(f"{self._sentence(nodes)}; waits {self.patience_s / 60:.0f} minutes for such a node")
        if time.monotonic() - self._since >= self.patience_s:
            raise GenrecError(
                f"{self._sentence(nodes)}; lower resources.{self.stage} (num_cpus, num_gpus, memory_gib), divide the work into "
                "more tasks (num_shards), or add such a node"
            )

    def _sentence(self, nodes: Sequence[Mapping[str, float]]) -> str:
        task = self.placed
        asked = _words(task.num_cpus, task.num_gpus, task.memory)
        there = [_words(n.get("CPU", 0.0), n.get("GPU", 0.0), int(n.get("memory", 0))) for n in nodes]
        return f"stage {self.stage}: a task needs {asked} on one node, and no node of Ray has that ({'; '.join(there[:8])})"


def _has(node: Mapping[str, float], cpus: float, gpus: float, memory: int) -> bool:
    return node.get("CPU", 0.0) >= cpus and node.get("GPU", 0.0) >= gpus and node.get("memory", 0.0) >= memory


def _words(cpus: float, gpus: float, memory: int) -> str:
    parts = [
        f"{cpus:g} cores",
        *([f"{gpus:g} GPUs"] if gpus else []),
        *([f"{memory / _GIB:.1f} GiB"] if memory else []),
    ]
    return ", ".join(parts)
