"""Rollouts by one Ray actor and by two, and by the learner itself: prompts a second, generation alone and whole steps.

    python -m tests.bench.bench_rollouts [--prompts 512] [--steps 4] [--repeats 3] [--workers 0 1 2]

The same random model of the default scratch shape, the same prompts, 16 candidates by beam. Every actor and the learner
have one thread. Sides alternate, medians are compared. Where cores are scarce, two actors win only as much as the
second core is free; a step's update stays in the learner, so a whole step gains less than its rollouts.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from genrec import tables
from genrec.config import Config, ResourcesConfig
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.groups import form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.reward_context import RewardContext
from genrec.train.rl.rewarding import build_terms
from genrec.train.rl.rollout import LocalRollouts, Rollouts, RolloutWorker, get_weights
from tests.bench.bench_decode import MAX_HISTORY, build
from tests.bench.bench_grpo import GROUP, make_prompts


def write_model(folder: Path, num_items: int) -> dict[str, Any]:
    """A random policy and its ids, as a rollout actor reads them."""
    policy, sids = build(num_items, 128, 2)
    policy.save(folder / "sft", kind="sft")
    schema = tables.sids_schema(sids.shape[1])
    columns = {"item": list(range(num_items)), "sid": sids.tolist(), "raw": sids.tolist()}
    tables.write_table(pa.table(columns, schema=schema), folder / "sids.parquet", schema)
    return {"sft": folder / "sft", "base": None, "sids": folder / "sids.parquet"}


class Side:
    """A learner and who generates for it."""

    def __init__(self, places: dict[str, Any], num_workers: int, prompts: PromptSet) -> None:
        self.config = Config.model_validate(
            {"rl": {"group_size": GROUP, "num_rollout_workers": num_workers, "empty_groups": "keep"}}
        )
        worker = {**places, "config": self.config.rl, "max_history": MAX_HISTORY, "seed": 0}
        local = RolloutWorker.load(**worker)
        context = RewardContext(torch.from_numpy(local.sids.astype(np.int64)), torch.ones(len(local.sids)).long())
        self.learner = Learner(local.policy, self.config.rl, build_terms(self.config.rl.rewards), context)
        self.prompts, self.rollouts = prompts, self._rollouts(local, worker, num_workers)
        self.step = 0

    def _rollouts(self, local: RolloutWorker, worker: dict[str, Any], num_workers: int) -> Rollouts:
        if not num_workers:
            return LocalRollouts(local, LearnerGroup())
        from tasks.ray.rollouts import RayRollouts

        return RayRollouts(self.config, 1.0, worker)

    def generate(self) -> Any:
        self.step += 1
        return self.rollouts(self.step, self.prompts, lambda: get_weights(self.learner.parameters))

    def whole_step(self) -> None:
        items = torch.from_numpy(self.generate().items)
        groups = form_groups(items, torch.from_numpy(self.prompts.target), "keep")
        self.learner.update(self.step, self.prompts, groups)


def rate(run: Callable[[], Any], steps: int, num_prompts: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        run()
    return steps * num_prompts / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=512)
    parser.add_argument("--items", type=int, default=4344)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    from tasks.ray.cluster import connect, disconnect

    connect(ResourcesConfig(num_cpus=max(args.workers)))
    rates: dict[str, dict[int, list[float]]] = {"generate": {}, "step": {}}
    try:
        with tempfile.TemporaryDirectory() as name:
            places = write_model(Path(name), args.items)
            prompts = make_prompts(args.prompts, args.items, history=11)
            for _ in range(args.repeats):
                for workers in args.workers:
                    side = Side(places, workers, prompts)
                    side.whole_step()  # actors are up, weights are there
                    rates["generate"].setdefault(workers, []).append(rate(side.generate, args.steps, args.prompts))
                    rates["step"].setdefault(workers, []).append(rate(side.whole_step, args.steps, args.prompts))
                    if workers:
                        side.rollouts.close()  # type: ignore[attr-defined]
    finally:
        disconnect()
    report = {
        "prompts_per_s": {
            what: {f"{n} workers": round(statistics.median(values), 1) for n, values in by.items()}
            for what, by in rates.items()
        },
        "cores": os.cpu_count(),
        "load_1m": os.getloadavg()[0],
        "settings": vars(args),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
