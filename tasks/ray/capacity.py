"""How many runs the cores and GPUs suffice for at the same time."""

import os
from collections.abc import Sequence

from genrec.config import Config, ResourcesConfig, StageResources
from tasks.ray.made_on import ray_address

_STAGES = tuple(
    name
    for name, field in ResourcesConfig.model_fields.items()
    if field.annotation is StageResources and name != "rollout"
)


def needs(config: Config) -> tuple[float, float]:
    """(cores, GPUs) that one run holds at its most demanding moment: a stage's task, or RL's learners and actors.

    Stages of many tasks need no more than one of them at a time: the others wait.
    """
    total = []
    for name in _STAGES:
        own, copies = getattr(config.resources, name), 1
        cpus, gpus = own.num_cpus, own.num_gpus
        if name in ("sft", "rl"):
            copies = config.sft.data_parallel if name == "sft" else config.rl.num_learners
        cpus, gpus = cpus * copies, gpus * copies
        if name == "rl":
            cpus += config.rl.num_rollout_workers * config.resources.rollout.num_cpus
            gpus += config.rl.num_rollout_workers * config.resources.rollout.num_gpus
        total.append((cpus, gpus))
    return max(cpus for cpus, _ in total), max(gpus for _, gpus in total)


def runs_at_once(configs: Sequence[Config]) -> int:
    """Runs that the cluster, or else this machine, has room for at the same time; at least 1.

    More would not only be slower: two learners that hold the cores which the actors of the other need never go on.
    """
    resources = configs[0].resources
    if len(configs) == 1:
        return 1
    total: dict[str, float] = {"CPU": resources.num_cpus or os.cpu_count() or 1}
    if ray_address(resources):
        import ray

        from tasks.ray.cluster import connect

        connect(resources)
        total = ray.cluster_resources()
    room = [len(configs)]
    for config in configs:
        cpus, gpus = needs(config)
        room.append(int(total.get("CPU", 1) // max(cpus, 1e-9)))
        if gpus:
            room.append(int(total.get("GPU", 0) // gpus))
    return max(1, min(room))
