"""What stages and runs hold of the cores and GPUs, and how many runs these suffice for at the same time."""

import os
from collections.abc import Sequence

from genrec.config import Config, ResourcesConfig, StageResources
from tasks.ray.gpus import resources_of
from tasks.ray.made_on import ray_address

_STAGES = tuple(
    name
    for name, field in ResourcesConfig.model_fields.items()
    if field.annotation is StageResources and name != "rollout"
)


def needs_of(config: Config, stage: str) -> tuple[float, float]:
    """(cores, GPUs) that a stage holds at the same time: those of one task, or of RL's learners and actors.

    Stages of many tasks need no more than one of them at a time: the others wait.
    """
    own = resources_of(config, stage)
    copies = {"sft": config.sft.data_parallel, "rl": config.rl.num_learners}.get(stage, 1)
    cpus, gpus = own.num_cpus * copies, own.num_gpus * copies
    if stage == "rl":
        cpus += config.rl.num_rollout_workers * config.resources.rollout.num_cpus
        gpus += config.rl.num_rollout_workers * config.resources.rollout.num_gpus
    return cpus, gpus


def needs(config: Config) -> tuple[float, float]:
    """(cores, GPUs) that one run holds at its most demanding moment."""
    total = [needs_of(config, stage) for stage in _STAGES if stage != "rank" or config.rank.enabled]
    return max(cpus for cpus, _ in total), max(gpus for _, gpus in total)


def there_are(resources: ResourcesConfig) -> tuple[float, float]:
    """(cores, GPUs) of the cluster, else of this machine: its GPUs count as none, a stage that wants one takes them all."""
    if not ray_address(resources):
        return resources.num_cpus or os.cpu_count() or 1, 0
    import ray

    from tasks.ray.cluster import connect

    connect(resources)
    total = ray.cluster_resources()
    return total.get("CPU", 1), total.get("GPU", 0)


def runs_at_once(configs: Sequence[Config]) -> int:
    """Runs that the cluster, or else this machine, has room for at the same time; at least 1.

    More would not only be slower: two learners that hold the cores which the actors of the other need never go on.
    """
    resources = configs[0].resources
    if len(configs) == 1:
        return 1
    total_cpus, total_gpus = there_are(resources)
    room = [len(configs)]
    for config in configs:
        cpus, gpus = needs(config)
        room.append(int(total_cpus // max(cpus, 1e-9)))
        if gpus:
            room.append(int(total_gpus // gpus))
    return max(1, min(room))
