"""Rollout actors: copies of the policy that generate candidates on other cores, GPUs or machines.

Imported by the learner's own Ray task, so no Prefect in here.
"""

import itertools
import logging
import math
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genrec.config import Config
from genrec.errors import GenrecError
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.rollout import Rollout, RolloutWorker, Weights, chunks, concatenate
from genrec.train.rl.train import train_rl
from tasks.ray.cluster import limit_threads
from tasks.ray.gpus import check_reserved_gpu
from tasks.ray.made_on import note
from tasks.ray.placement import Placement, memory_of
from tasks.ray.worker_log import beside_own, start_logging_to

_MAX_DEATHS = 3  # of actors in a row, without a chunk in between: then the stage fails
_LOG = logging.getLogger("genrec.rollouts")


class RolloutActor:
    """One Ray actor around a RolloutWorker."""

    def __init__(self, num_threads: int, log_file: str | None, **worker: Any) -> None:
        if log_file:
            start_logging_to(Path(log_file))
            note(Path(log_file).parent, num_threads)
        limit_threads(num_threads)
        check_reserved_gpu()
        self.worker = RolloutWorker.load(**worker)
        _LOG.info("rollout actor started in process %d", os.getpid())
        self.version = -1

    def generate(self, weights: Weights, version: int, step: int, prompts: PromptSet) -> Rollout:
        """Candidates of a chunk under `weights`, which are taken in once a version."""
        if version != self.version:
            self.worker.set_weights(weights)
            self.version = version
        return self.worker.generate(step, prompts)

    def pid(self) -> int:
        return os.getpid()


class RayRollouts:
    """Gives the chunks of a step to actors, the next one to an actor that is free.

    The weights go to the object store once a step; an actor fetches them with its first chunk. A dead actor is
    replaced and its chunk done again: candidates depend on weights, seed, step and chunk alone, so they are the same.
    """

    def __init__(self, config: Config, num_cpus: float, worker: dict[str, Any]) -> None:
        import ray

        self.chunk_size = config.rl.rollout.chunk_size
        use = config.resources.rollout
        threads = use.num_threads or max(1, math.floor(num_cpus))
        placed = Placement(num_cpus, use.num_gpus, memory_of(use), threads)
        actor = ray.remote(RolloutActor).options(**placed.options(), max_restarts=0)
        names = (f"actor{i}" for i in itertools.count())
        self._start: Callable[[], Any] = lambda: actor.remote(threads, beside_own(next(names)), **worker)
        self.actors: list[Any] = [self._start() for _ in range(config.rl.num_rollout_workers)]
        self.version = 0
        self.deaths = 0  # so far
        self._deaths_in_a_row = 0

    def __call__(self, step: int, prompts: PromptSet, weights: Callable[[], Weights]) -> Rollout:
        import ray

        current = weights()
        if not self.version:
            shipped = sum(weight.nbytes for weight in current.values())
            _LOG.info("a step ships %.1f MB of trained weights to %d actors", shipped / 1e6, len(self.actors))
        shared = ray.put(current)
        del current  # a copy of its own
        self.version += 1
        parts = chunks(prompts, self.chunk_size)
        found: dict[int, Rollout] = {}
        waiting, free = deque(range(len(parts))), deque(range(len(self.actors)))
        running: dict[Any, tuple[int, int]] = {}  # (actor, part) of every call
        while waiting or running:
            while waiting and free:
                slot, part = free.popleft(), waiting.popleft()
                call = self.actors[slot].generate.remote(shared, self.version, step, parts[part])
                running[call] = (slot, part)
            finished, _ = ray.wait(list(running), num_returns=1)
            for call in finished:
                slot, part = running.pop(call)
                try:
                    found[part] = ray.get(call)
                    self._deaths_in_a_row = 0
                except ray.exceptions.RayActorError as error:
                    self._replace(slot, error)
                    waiting.appendleft(part)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error
                free.append(slot)
        return concatenate([found[part] for part in range(len(parts))])

    def _replace(self, slot: int, error: Any) -> None:
        """A new actor for one that died. Raises GenrecError where it could not start, or when they keep dying."""
        lines = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in reversed(lines) if line), "no reason given")[:300]
        if error.actor_init_failed:
            raise GenrecError(f"stage rl: a rollout actor could not start ({reason})")
        self.deaths += 1
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row > _MAX_DEATHS:
            raise GenrecError(
                f"stage rl: {self._deaths_in_a_row} rollout actors died one after the other ({reason}); "
                "lower rl.rollout.chunk_size if memory ran out, or generate in the learner: rl.num_rollout_workers 0"
            )
        _LOG.warning("a rollout actor died and is replaced; its prompts are done again (%s)", reason)
        self.actors[slot] = self._start()

    def close(self) -> None:
        import ray

        for actor in self.actors:
            ray.kill(actor)


def train_with_rollouts(
    *, config: Config, prepared: Path, sids: Path, sft: Path, base: Path, work: Path, out: Path, progress: Any
) -> dict[str, Any]:
    """The learner: `train_rl` with its candidates from Ray actors (or from itself with num_rollout_workers 0).

    Of several learner processes (`tasks.ray.parallel`) the first one has the actors.
    """
    max_history, seed = config.prepare.max_history, config.seed
    remote = config.rl.num_rollout_workers > 0 and config.rl.num_steps > 0
    rollouts = None
    if remote and LearnerGroup().first:
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
            rollouts_elsewhere=remote,
            progress=progress,
        )
    finally:
        if rollouts is not None:
            rollouts.close()


def _rollout_cpus(config: Config) -> float:
    """Cores an actor reserves: what is configured, but never so much that actors and learners cannot all be placed.

    Learners and actors take turns in a step, so sharing cores costs little; an actor that never gets a core
    would block the run.
    """
    import ray

    total = ray.cluster_resources().get("CPU", 1.0)
    free = total - min(config.resources.rl.num_cpus * config.rl.num_learners, total)
    return min(config.resources.rollout.num_cpus, max(0.0, free) / config.rl.num_rollout_workers)
