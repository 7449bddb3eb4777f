"""One pass per user beside a row per target, trained to the end: targets a second, and what the model is worth.

    python -m tests.bench.bench_one_pass [--set shop] [--epochs 6] [--seeds 2]

Both train the default small model (semantic ids alone: 128 wide, 2 layers, dropout .3) on every target of the same
training sequences as often, in the same way but for how targets lie in batches: windows of whole histories with a loss
at every item, or a row a target that holds its history. An optimizer step of either sees as many targets on average.
The longer the histories, the more a row each repeats: `--set regulars` is the shop with 25 items a customer, not 9.5.
Validated on the same users after every pass (full catalogue, history left out); test targets are not looked at. Rates
are targets a second of CPU time in optimizer steps, on one thread.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from genrec.config import BaseConfig, DataConfig, SftConfig, SidConfig
from genrec.sid.assign import assign
from genrec.tables import TRAINING_LOG_FILE
from genrec.train.base import build_base
from genrec.train.sft import train
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import Windows
from tests.bench.sid_data import data_sets, prepared
from tests.support.sft_runs import one_row_a_target

HISTORY, USERS_A_STEP = 20, 64
REGULARS = DataConfig(source="synthetic", options={"num_users": 800, "mean_events": 25.0})


def fit(
    data: Path, sids: Path, base: Path, as_rows: bool, seed: int, epochs: int, folder: Path
) -> tuple[float, list[float]]:
    """(targets a second, validation NDCG@10 after each pass)."""
    seconds, read, step = 0.0, train.read_windows, Trainer.step
    whole = read(data / "train.parquet", HISTORY)
    size = USERS_A_STEP
    if as_rows:
        size = round(USERS_A_STEP * whole.num_targets / len(whole))

    def timed(self: Trainer, *arguments: Any) -> torch.Tensor:
        nonlocal seconds
        start = time.process_time()
        parts = step(self, *arguments)
        seconds += time.process_time() - start
        return parts

    config = SftConfig(
        view={"name": "sid_tokens"},
        output={"name": "codes"},
        dense_head={"loss_weight": 0.0},
        epochs=epochs,
        patience=epochs,
        batch_size=size,
        micro_batch_size=size,
        checkpoint_every_s=1e9,
    )

    def windows(path: Path, max_history: int) -> Windows:
        found = read(path, max_history)
        return one_row_a_target(found) if as_rows else found

    work, out = folder / "work", folder / "out"
    for path in (work, out):
        path.mkdir(parents=True)
    with mock.patch.object(train, "read_windows", windows), mock.patch.object(Trainer, "step", timed):
        train.train_sft(data, sids, base, config, max_history=HISTORY, seed=seed, work=work, out=out)
    log = TRAINING_LOG_FILE.read(out).to_pylist()
    ndcg = [row["value"] for row in log if row["name"] == "valid_ndcg@10"]
    return epochs * whole.num_targets / seconds, ndcg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="shop", choices=sorted([*data_sets(), "regulars"]))
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = prepared(args.set, folder, REGULARS if args.set == "regulars" else None)
        sids, base = folder / "sids", folder / "base"
        sids.mkdir()
        base.mkdir()
        assign(data / "vectors.parquet", data / "catalogue.parquet", SidConfig(refit=False), 0, sids)
        build_base(BaseConfig(), 3, 256, data / "catalogue.parquet", 0, base)
        found: dict[bool, list[tuple[float, list[float]]]] = {False: [], True: []}
        for seed in range(args.seeds):
            for as_rows in (False, True):
                place = folder / f"{seed}-{as_rows}"
                rate, ndcg = fit(data, sids / "sids.parquet", base, as_rows, seed, args.epochs, place)
                found[as_rows].append((rate, ndcg))
                case = "a row per target" if as_rows else "one pass per user"
                figures = {"targets_per_s": round(rate), "ndcg@10": [round(value, 4) for value in ndcg]}
                print(json.dumps({"set": args.set, "seed": seed, "case": case, **figures}), flush=True)
        rate = statistics.median(a / b for (a, _), (b, _) in zip(found[False], found[True], strict=True))
        best = {way: float(np.mean([max(ndcg) for _, ndcg in runs])) for way, runs in found.items()}
        print(
            json.dumps(
                {
                    "set": args.set,
                    "one_pass_is_faster_by": round(rate, 2),
                    "best_ndcg@10": {
                        "one pass per user": round(best[False], 4),
                        "a row per target": round(best[True], 4),
                    },
                }
            )
        )


if __name__ == "__main__":
    main()
