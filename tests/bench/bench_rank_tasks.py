"""Rankers of two tasks beside models of one: GAUC of clicks and of purchases.

    python -m tests.bench.bench_rank_tasks [--candidates FILE] [--seeds 0 1 2] [--folds 2] [--only esmm mmoe ple]

FILE is valid/candidates.parquet of the rank artifact of a run whose data have clicks and purchases; without it, those of
a synthetic shop and of channels that take no training. Every user is scored by a model that learned from others. Each ranker of both tasks stands beside two of one task each: the same body
and loss with that task alone (for ESMM, whose two towers read the same embeddings, one tower). Differences are paired by
user, the interval is the 95% one of the bootstrap.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from genrec import bootstrap, tables
from genrec.config import DataConfig
from genrec.config.rank import RankConfig
from genrec.measure.baselines import read_training
from genrec.progress import silent
from genrec.rank.features.parts.compute import as_table
from genrec.rank.features.parts.queries import read_queries
from genrec.rank.figures import auc_by_list
from genrec.rank.fitting import fit_retrieval
from genrec.rank.ranking import fit_by_folds
from genrec.rank.samples import TASKS, Samples, from_frame
from tests.bench.sid_data import prepared

PEERS = {  # by ranker of both tasks: the ranker that learns one, and its options
    "esmm": ("mmoe", {"num_experts": 1, "loss": "pointwise"}),
    "mmoe": ("mmoe", {}),
    "ple": ("ple", {}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    args = parser.parse_args()
    samples = from_frame(shop_candidates() if args.candidates is None else pl.read_parquet(args.candidates))
    shares = {task: round(float(samples.tasks[task].sum() / (len(samples.starts) - 1)), 4) for task in TASKS}
    print(json.dumps({"lists": len(samples.starts) - 1, "with a target that is": shares}), flush=True)
    for name in args.only:
        peer, options = PEERS[name]
        for seed in args.seeds:
            together = scored(samples, name, {}, args.folds, seed)
            for task in TASKS:
                alone = scored(of_task(samples, task), peer, options, args.folds, seed)
                print(json.dumps({"ranker": name, "seed": seed, "task": task,
                                  **compared(samples, task, alone[task], together[task])}), flush=True)  # fmt: skip
            print(json.dumps({"ranker": name, "seed": seed, "seconds": together["seconds"]}), flush=True)


def shop_candidates(num_users: int = 3500, num_items: int = 800) -> pl.DataFrame:
    """candidates.parquet of the validation rows of a synthetic shop."""
    channels = dict.fromkeys(("sasrec", "mind", "item2vec", "item2vec_side"), 0)
    with tempfile.TemporaryDirectory() as folder:
        options = {"num_users": num_users, "num_items": num_items}
        shop = prepared(f"shop{num_users}", Path(folder), DataConfig(source="synthetic", options=options))
        training = read_training(shop, tables.VECTORS_FILE.path(shop), 0, silent)
        retrieval, _ = fit_retrieval(training, RankConfig(channels=channels), {})
        asked = read_queries(shop, "valid")
        found = retrieval(asked.queries, None, asked.queries.histories)
    return as_table(found.features(), found.candidates, asked.users, asked.targets, asked.events)


def of_task(samples: Samples, task: str) -> Samples:
    """The same lists with one task."""
    return dataclasses.replace(samples, tasks={task: samples.tasks[task]})


def scored(samples: Samples, ranker: str, options: dict, folds: int, seed: int) -> dict:
    """Scores by task [R], each user's by the model of the other folds, and the seconds that it took."""
    began = time.perf_counter()
    config = RankConfig(ranker={"name": ranker, "options": options}, num_folds=folds)
    found = fit_by_folds(samples, config, seed).task_scores(samples)
    return {**found, "seconds": round(time.perf_counter() - began, 1)}


def compared(samples: Samples, task: str, alone: np.ndarray, together: np.ndarray) -> dict:
    """GAUC of both and their difference: means over the lists with a positive of the task, which have about as many rows."""
    label = samples.tasks[task]
    before, after = (auc_by_list(samples, scores, label)[0] for scores in (alone, together))
    there = ~np.isnan(before)
    before, after, users = before[there, None], after[there, None], samples.user[samples.starts[:-1]][there]
    low, high = bootstrap.paired_intervals(before, after, users, confidence=0.95, num_bootstrap=1000)[0]
    gauc = {"alone": round(float(before.mean()), 4), "together": round(float(after.mean()), 4)}
    return {**gauc, "difference": round(float((after - before).mean()), 4), "ci": [round(low, 4), round(high, 4)],
            "lists": len(users)}  # fmt: skip


if __name__ == "__main__":
    main()
