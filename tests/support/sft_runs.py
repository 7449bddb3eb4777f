"""Runs of the fine-tuning stage on a tiny shop, and a trainer alone."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from genrec.config import SftConfig
from genrec.train.sft.train import train_sft
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import Windows, make_windows
from tests.support.rl_tiny import MAX_HISTORY, NUM_ITEMS, SIDS, tiny_policy, write_prepared, write_sids

CONFIG = SftConfig(
    view={"name": "sid_tokens"},
    dense_head={"loss_weight": 0.0},
    item_vectors={"ids": False, "text": False},
    loss={"name": "cross_entropy", "options": {"label_smoothing": 0.0}},
    reverse_share=0.0,
    epochs=3,
    batch_size=8,
    micro_batch_size=3,
    dropout=0.2,
    learning_rate=0.01,
    max_valid_users=16,
    checkpoint_every_s=0,
)
CYCLES = [[(start + k) % NUM_ITEMS for k in range(length)] for start in range(NUM_ITEMS) for length in (3, 8)]
VALID = [([i, (i + 1) % NUM_ITEMS], (i + 2) % NUM_ITEMS) for i in range(NUM_ITEMS)]


def write_files(folder: Path) -> Path:
    """The inputs of `train`: a base model, ids and prepared files in `folder`."""
    write_prepared(folder / "prepared", CYCLES, VALID)
    tiny_policy().save(folder / "base")
    write_sids(folder / "sids.parquet")
    return folder


def train(files: Path, config: SftConfig = CONFIG, name: str = "out", work: str = "work", **options) -> dict[str, Any]:
    """`train_sft` with the artifact in `files`/`name`."""
    options = {"max_history": MAX_HISTORY, "seed": 0, **options}
    return train_sft(
        files / "prepared",
        files / "sids.parquet",
        files / "base",
        config,
        work=files / work,
        out=files / name,
        **options,
    )


def make_trainer(config: SftConfig = CONFIG) -> Trainer:
    items = np.concatenate(CYCLES)
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in CYCLES])])
    return Trainer(tiny_policy(), make_windows(items, offsets, MAX_HISTORY), SIDS, config, seed=0)


def one_row_a_target(windows: Windows) -> Windows:
    """The same targets, each with a row of its own that holds its history."""
    target = np.concatenate([np.arange(a, b) for a, b in zip(windows.first_target, windows.end, strict=True)])
    start = np.repeat(windows.start, windows.end - windows.first_target)
    return Windows(windows.items, start, target + 1, target)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The model's weights of the artifact in `folder`/out."""
    return load_file(folder / "out" / "model.safetensors")


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """The largest difference between weights of the same names."""
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)
