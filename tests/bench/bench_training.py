"""Fine-tuning speed: one pass per user beside a row per target, on the same model and the same targets.

    python -m tests.bench.bench_training [--users 512] [--length 20] [--repeats 3] [--threads 1]

Three ways to take one epoch's gradient steps, in one process: windows with a loss at every item (ours), the same loop
on one row a target, and transformers' Trainer on those rows (loss on the target's tokens alone). Each reads batches of
64 targets' worth of users or rows padded to like length; targets a second are compared. The history view of item
tokens and the dense head are timed too. Prints one JSON line a case.
"""

import argparse
import json
import tempfile
import time
from typing import Any

import numpy as np
import torch
from transformers import Trainer as TransformersTrainer
from transformers import TrainingArguments

from genrec.config import SftConfig
from genrec.model.policy import Policy
from genrec.train.sft.train import add_items
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import Windows, make_windows, shuffled_batches
from tests.bench.bench_decode import MAX_HISTORY, build
from tests.support.sft_runs import one_row_a_target

NUM_ITEMS, BATCH = 4344, 64
TOKENS: dict[str, Any] = {"view": "sid_tokens", "dense_head": {"loss_weight": 0.0}}


def sequences(num_users: int, mean_length: int, seed: int = 0) -> Windows:
    """Histories of geometric length (at least 2, at most one window) over random items."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.geometric(1 / mean_length, num_users), 2, MAX_HISTORY + 1)
    return make_windows(
        rng.integers(0, NUM_ITEMS, lengths.sum()), np.concatenate([[0], np.cumsum(lengths)]), MAX_HISTORY
    )


def seconds_of_ours(policy: Policy, windows: Windows, sids: np.ndarray, **settings: Any) -> float:
    """Time of the optimizer steps of an epoch."""
    config = SftConfig(dropout=0.0, batch_size=BATCH, micro_batch_size=BATCH, **settings)
    text = np.random.default_rng(0).normal(size=(len(sids), 128)).astype(np.float32)
    add_items(policy, sids, text, config)
    trainer = Trainer(policy, windows, sids, config, 0)
    batches = shuffled_batches(np.arange(len(windows)), BATCH, np.random.default_rng(0))
    trainer.step(batches[0], 1e-4)  # warm up
    start = time.perf_counter()
    for rows in batches:
        trainer.step(rows, 1e-4)
    return time.perf_counter() - start


def seconds_of_transformers(policy: Policy, rows: Windows, sids: np.ndarray) -> float:
    """transformers' Trainer over the same rows, grouped by length."""
    tokens = policy.vocab.token_ids(sids)
    num_levels = policy.vocab.num_levels
    data = []
    for start, end in zip(rows.start, rows.end, strict=True):
        ids = [policy.vocab.bos_token_id, *tokens[rows.items[start:end]].reshape(-1).tolist()]
        data.append({"input_ids": ids, "labels": [-100] * (len(ids) - num_levels) + ids[-num_levels:]})

    def collate(batch: list[dict]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in batch)
        pad = {"input_ids": policy.vocab.pad_token_id, "labels": -100}
        return {
            name: torch.tensor([row[name] + [filler] * (width - len(row[name])) for row in batch])
            for name, filler in pad.items()
        }

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            learning_rate=1e-4,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            train_sampling_strategy="group_by_length",
        )
        trainer = TransformersTrainer(policy.model, arguments, train_dataset=data, data_collator=collate)  # type: ignore[arg-type]
        start = time.perf_counter()
        trainer.train()
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=512)
    parser.add_argument("--length", type=int, default=20, help="mean length of a history before it is cut to a window")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    windows = sequences(options.users, options.length)
    rows = one_row_a_target(windows)
    assert rows.num_targets == windows.num_targets
    cases = {
        "one pass per user": lambda policy, sids: seconds_of_ours(policy, windows, sids, **TOKENS),
        "one pass per user, item_tokens": lambda policy, sids: seconds_of_ours(
            policy, windows, sids, view="item_tokens", dense_head={"loss_weight": 0.0}
        ),
        "one pass per user, item_tokens, dense head": lambda policy, sids: seconds_of_ours(
            policy, windows, sids, view="item_tokens", dense_head={"loss_weight": 1.0}
        ),
        "a row per target": lambda policy, sids: seconds_of_ours(policy, rows, sids, **TOKENS),
        "transformers Trainer, a row per target": lambda policy, sids: seconds_of_transformers(policy, rows, sids),
    }
    speeds: dict[str, float] = {}
    for name, run in cases.items():
        times = [run(*build(NUM_ITEMS, 128, 2)) for _ in range(options.repeats)]
        speeds[name] = windows.num_targets / float(np.median(times))
        mean_length = windows.lengths.mean()
        first = speeds["one pass per user"]
        print(
            json.dumps(
                {
                    "case": name,
                    "targets_per_s": round(speeds[name], 1),
                    "ours_is_faster_by": round(first / speeds[name], 2),
                    "users": options.users,
                    "mean_window": round(float(mean_length), 1),
                    "threads": options.threads,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
