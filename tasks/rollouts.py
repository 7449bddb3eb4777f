"""Rollout actors: copies of the policy that generate candidates on other cores, GPUs or machines.

Imported by the learner's own Ray task, so no Prefect in here.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genrec.config import Config
from genrec.rl.prompts import PromptSet
from genrec.rl.rollout import Rollout, RolloutWorker, Weights, chunks, concatenate
from genrec.rl.train import train_rl
from tasks.cluster import limit_threads


class RolloutActor:
    """One Ray actor around a RolloutWorker."""

    def __init__(self, num_threads: int, **worker: Any) -> None:
        limit_threads(num_threads)
        self.worker = RolloutWorker.load(**worker)

    def set_weights(self, weights: Weights) -> None:
        self.worker.set_weights(weights)

    def generate(self, step: int, prompts: PromptSet) -> Rollout:
        return self.worker.generate(step, prompts)


class RayRollouts:
    """Sends each chunk of a step to the next free actor; the weights go to the object store once a step."""

    def __init__(self, config: Config, num_cpus: float, worker: dict[str, Any]) -> None:
        import ray
        from ray.util.actor_pool import ActorPool

        self.chunk_size = config.rl.micro_batch_size
        use = config.resources.rollout
        threads = use.num_threads or max(1, math.floor(num_cpus))
        actor = ray.remote(RolloutActor).options(num_cpus=num_cpus, num_gpus=use.num_gpus, max_restarts=0)
        self.actors: list[Any] = [actor.remote(threads, **worker) for _ in range(config.rl.num_rollout_workers)]
        self.pool = ActorPool(self.actors)

    def __call__(self, step: int, prompts: PromptSet, weights: Callable[[], Weights]) -> Rollout:
        import ray

        shared = ray.put(weights())
        ray.get([actor.set_weights.remote(shared) for actor in self.actors])
        parts = self.pool.map(lambda actor, part: actor.generate.remote(step, part), chunks(prompts, self.chunk_size))
        return concatenate(list(parts))

    def close(self) -> None:
        import ray

        for actor in self.actors:
            ray.kill(actor)


def train_with_rollouts(
    *, config: Config, prepared: Path, sids: Path, sft: Path, base: Path, work: Path, out: Path, progress: Any
) -> dict[str, Any]:
    """The learner: `train_rl` with its candidates from Ray actors (or from itself with num_rollout_workers 0)."""
    max_history, seed = config.prepare.max_history, config.seed
    rollouts = None
    if config.rl.num_rollout_workers and config.rl.num_steps:
        worker = {"sft": sft, "base": base, "sids": sids, "config": config.rl, "max_history": max_history, "seed": seed}
        rollouts = RayRollouts(config, _rollout_cpus(config), worker)
    try:
        return train_rl(
            prepared,
            sids,
            sft,
            base,
            config.rl,
            max_history=max_history,
            seed=seed,
            work=work,
            out=out,
            rollouts=rollouts,
            progress=progress,
        )
    finally:
        if rollouts is not None:
            rollouts.close()


def _rollout_cpus(config: Config) -> float:
    """Cores an actor reserves: what is configured, but never so much that actors and learner cannot all be placed.

    Learner and actors take turns in a step, so sharing cores costs little; an actor that waits for a core for ever
    would cost the run.
    """
    import ray

    free = ray.cluster_resources().get("CPU", 1.0) - min(config.resources.rl.num_cpus, ray.cluster_resources()["CPU"])
    return min(config.resources.rollout.num_cpus, max(0.0, free) / config.rl.num_rollout_workers)
