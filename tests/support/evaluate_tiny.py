"""A tiny finished run for tests of evaluation and report: 30 items, 12 users, a random model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from genrec import tables
from genrec.config import BaseConfig, EvaluateConfig, ScratchConfig
from genrec.measure.baselines import finish, rank_baseline
from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.model.transitions import Transitions
from genrec.sid.artifact import write_sids
from genrec.tables import ragged, read_sids
from genrec.train.base import build_base
from tests.support.targets import write_targets

NUM_ITEMS, NUM_USERS, NUM_CODES, MAX_HISTORY = 30, 12, 8, 4
CONFIG = EvaluateConfig(
    beam_width=6, ks=[2, 5], num_bootstrap=50, batch_size=5, baselines=["popularity", "itemcf", "transitions"]
)
HOSTILE = "<script>alert('t')</script> & {{ 7*7 }}"


def write_prepared(folder: Path, seed: int = 0) -> Path:
    """catalogue, train and test tables of random sequences; the first item's title is hostile."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    sequences = [generator.permutation(NUM_ITEMS - 1)[: generator.integers(4, 9)] for _ in range(NUM_USERS)]
    sequences[0][-1] = NUM_ITEMS - 1  # a cold target
    sequences[0][0], sequences[1][-3] = 0, 0
    counts = np.bincount(np.concatenate([s[:-2] for s in sequences]), minlength=NUM_ITEMS)
    names = [f"item {i}" for i in range(NUM_ITEMS)]
    catalogue = {
        "item": np.arange(NUM_ITEMS, dtype=np.int32),
        "item_id": names,
        "title": [HOSTILE, *names[1:-1], ""],
        "description": [""] * NUM_ITEMS,
        "brand": ["brand"] * NUM_ITEMS,
        "categories": [["shop"]] * NUM_ITEMS,
        "train_count": counts.astype(np.int32),
    }
    tables.write_table(pa.table(catalogue), folder / "catalogue.parquet", tables.CATALOGUE)
    train = {
        "user": np.arange(NUM_USERS, dtype=np.int32),
        "user_id": [f"u{u}" for u in range(NUM_USERS)],
        "items": [s[:-2].tolist() for s in sequences],
        "events": [["click"] * (len(s) - 2) for s in sequences],
        "timestamps": [list(range(len(s) - 2)) for s in sequences],
    }
    table = pa.table({f.name: pa.array(train[f.name], f.type) for f in tables.SEQUENCES}, schema=tables.SEQUENCES)
    tables.write_table(table, folder / "train.parquet", tables.SEQUENCES)
    parts = {
        name: [(user, s[:-last].tolist(), int(s[-last])) for user, s in enumerate(sequences)]
        for name, last in (("valid", 2), ("test", 1))
    }
    write_targets(folder, **parts)
    return folder


def write_summary(folder: Path, **summary: Any) -> None:
    """The manifest that the store writes beside an artifact, with the summary of its stage."""
    (folder / "manifest.json").write_text(json.dumps({"summary": summary}))


def write_sid_artifact(folder: Path) -> Path:
    """Unique three-level ids."""
    folder.mkdir()
    numbers = np.random.default_rng(1).permutation(NUM_CODES * 9)[:NUM_ITEMS]
    sids = np.stack([numbers // 9 % 3, numbers // 3 % 3, numbers % NUM_CODES], axis=1)
    sids[:, 2] = np.arange(NUM_ITEMS) % NUM_CODES
    sids[:, 0] = np.arange(NUM_ITEMS) // NUM_CODES
    raw = sids.copy()
    raw[1] = raw[0]  # one collision that was repaired
    write_sids(sids.astype(np.int32), raw.astype(np.int32), folder / "sids.parquet")
    return folder


def write_model(folder: Path, prepared: Path, seed: int = 0) -> Path:
    """A random model with its semantic-id vocabulary."""
    scratch = ScratchConfig(
        vocab_size=300, hidden_size=16, num_layers=1, num_heads=2, num_kv_heads=1, intermediate_size=16
    )
    base = folder / "base"
    build_base(BaseConfig(scratch=scratch), 3, NUM_CODES, prepared / "catalogue.parquet", seed, base)
    policy = Policy.load(base, max_history=MAX_HISTORY, device="cpu")
    with torch.no_grad():  # spread the logits, so that rankings are not near-ties
        policy.causal_model.get_output_embeddings().weight.mul_(20)
    policy.save(folder / "model")
    return folder / "model"


def write_joined_model(folder: Path, prepared: Path, sids: Path, weight: float, share: float) -> Path:
    """The same with a random dense head of `weight` and a table of the training transitions that has `share` of it."""
    policy = Policy.load(write_model(folder, prepared), device="cpu")
    torch.manual_seed(0)
    items = ItemVectors(read_sids(sids), NUM_CODES, policy.causal_model.config.hidden_size, None, ids=True)
    with torch.no_grad():
        for parameter in items.parameters():
            parameter.add_(torch.randn_like(parameter))
    sequences = ragged(tables.TRAIN_FILE.read(prepared, ["items"])["items"])
    offsets = np.concatenate([[0], np.cumsum([len(sequence) for sequence in sequences])])
    items.transitions = Transitions.count(np.concatenate(sequences), offsets, NUM_ITEMS, window=3, history_decay=0.5)
    policy.use_items(items, dense_weight=weight)
    policy.transition_share = share
    policy.save(folder / "joined")
    return folder / "joined"


def rank_baselines(
    prepared: Path, config: EvaluateConfig, out: Path, vectors: Path | None = None, seed: int = 0
) -> dict:
    """All baselines one after the other in this process; returns the stage's summary."""
    records = [rank_baseline(prepared, vectors, config, index, seed, out) for index in range(len(config.baselines))]
    return finish(config, records, out)
