"""Steps of fine-tuning over a large catalogue: what the output of prefixes, the dense head and embeddings of items cost."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from genrec.config import SftConfig
from genrec.model.item_vectors import ItemVectors
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import make_windows
from tests.bench.bench_decode import random_policy
from tests.bench.million_data import DIM, sequences
from tests.bench.million_search import HIDDEN, NUM_CODES, PREFIXES, clock, random_sids

HISTORY, SEQUENCES, STEPS = 20, 20_000, 3
VARIANTS: dict[str, dict[str, Any]] = {
    "no dense head": {"ids": False, "head": {"loss_weight": 0.0}},
    "sampled": {"ids": False, "head": {"sampled_items": 8192}},
    "sampled, embeddings of items": {"ids": True, "head": {"sampled_items": 8192}},
    "softmax over all": {"ids": False, "head": {"sampled_items": 0}},
}
MOST_EXACT = 200_000  # items: beyond, a softmax over all takes minutes a step


def measure(num_items: int, say: Callable[..., None], peak_gib: Callable[[], float]) -> None:
    """Milliseconds (`clock`) of an optimizer step of 64 windows by variant."""
    sids = random_sids(num_items)
    windows = make_windows(*sequences(num_items, SEQUENCES), HISTORY)
    for name, variant in VARIANTS.items():
        if name == "softmax over all" and num_items > MOST_EXACT:
            continue
        trainer = _trainer(sids, variant, windows)
        rng, taken, targets = np.random.default_rng(0), [], 0
        for _ in range(STEPS + 1):
            rows = rng.integers(0, len(windows), 64)
            targets = int((windows.end - windows.first_target)[rows].sum())
            start = clock()
            trainer.step(rows, 1e-3)
            taken.append(clock() - start)
        step = statistics.median(taken[1:])
        peak = round(peak_gib(), 2)
        say(
            items=num_items,
            train=name,
            step_ms=round(1e3 * step, 1),
            targets_per_s=round(targets / step),
            peak_gib=peak,
        )
        del trainer


def _trainer(sids: np.ndarray, variant: dict[str, Any], windows: Any) -> Trainer:
    policy = random_policy(HIDDEN, num_layers=2)
    items = ItemVectors(sids, NUM_CODES, HIDDEN, None, ids=variant["ids"], nodes=True)
    items.text = torch.nn.functional.normalize(torch.randn(len(sids), DIM), dim=1)
    items.projection = torch.nn.Linear(DIM, HIDDEN, bias=False)
    head = variant["head"]
    policy.use_items(items, "item_tokens", {}, 0.9 if head.get("loss_weight", 1.0) else None, PREFIXES)
    return Trainer(policy, windows, sids, SftConfig(dense_head=head), seed=0)
