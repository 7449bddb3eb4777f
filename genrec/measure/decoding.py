"""Ranked lists of a trained model for validation or test rows, by constrained beam search.

Apart from what reads such lists (genrec/measure/predictions.py), which need not wait for torch to be imported.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.config import EvaluateConfig
from genrec.data.targets import Targets
from genrec.measure import score_parts
from genrec.measure.predictions import PROTOCOLS, write_counts, write_part
from genrec.measure.rows import Split, read_rows, sampled
from genrec.model.policy import Policy
from genrec.model.precision import compile_layers, compute_dtype, default_device, frozen_dtype
from genrec.progress import Progress, silent
from genrec.search.decode import Candidates, rank_users
from genrec.search.trie import Trie
from genrec.tables import read_sids


def decode_shard(
    prepared: Path,
    sids: Path,
    model: Path,
    base: Path | None,
    name: str,
    config: EvaluateConfig,
    bounds: tuple[int, int],
    parts: Path,
    *,
    alone: Sequence[str] = (),
    split: Split = "test",
    protocols: Sequence[str] = PROTOCOLS,
    trained_on: Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
) -> list[dict]:
    """Constrained beam search for rows bounds = (start, stop) of those measured of a split, seen items dropped and kept.

    `model` is the folder of an sft or rl artifact (with `base` where it is an adapter), `name` what it is called in
    the results; `trained_on` the prepared data whose item numbers it knows, where they are not those of `prepared`.
    `alone` names parts of its score (`genrec.measure.score_parts`) that are decoded alone too, each as a model of its own
    (`sft_ids`) and under the headline protocol only: with three parts that is 5 lists a row, and 8 it would be under both
    (a list of 20 takes 0.6 ms of one core on `scientific`, so 25 s and 40 s for its 8,317 rows).

    Writes one part a model and protocol. Returns a record {model, users, seconds, invalid, score} for each model:
    `seconds` is decoding alone, all its protocols together; `invalid` counts listed outputs that are not an item, are
    listed twice or were to be dropped; `score`, of the model as it is, holds the share of each part of its score.
    """
    rows = read_rows(prepared, split, sampled(prepared, split, config.sample_users)[slice(*bounds)], trained_on)
    table = read_sids(sids)
    where = torch.device(device) if device is not None else default_device()
    compute = compute_dtype(config.precision, where, "evaluate.precision")
    policy = Policy.load(model, base, device=where, dtype=frozen_dtype(compute, where))
    policy.search_dtype = compute
    if config.compile and where.type == "cuda":
        compile_layers(policy.body)
    of_parts = score_parts.alone(policy, alone)
    lists = _Lists(policy, table, rows, config, len(protocols) + len(of_parts), progress)
    records = [_decode(lists, name, protocols, parts, bounds[0], score=score_parts.shares(policy))]
    for part, scoring in of_parts.items():
        score_parts.use(policy, scoring)
        records.append(_decode(lists, f"{name}_{part}", [config.seen_items], parts, bounds[0]))
    return records


class _Lists:
    """Ranked lists of a model for the same rows, time after time; counts seconds and lists over all of them."""

    def __init__(
        self,
        policy: Policy,
        table: NDArray[np.int32],
        rows: Targets,
        config: EvaluateConfig,
        num_times: int,
        progress: Progress,
    ) -> None:
        self.policy, self.table, self.rows, self.config = policy, table, rows, config
        self.trie = Trie.from_sids(table, policy.vocab.num_codes, device=policy.device)
        self.seconds, self.num_done, self.num_lists, self.progress = 0.0, 0, num_times * len(rows), progress

    def __call__(self, label: str, drop_seen: bool) -> tuple[NDArray[np.int32], NDArray[np.float32], float, int]:
        """(items [n, W], scores [n, W], seconds, invalid outputs) by what the policy scores with at the moment."""
        histories = self.rows.histories
        banned = histories if drop_seen else None
        invalid, began = 0, time.perf_counter()

        def count(places: NDArray[np.int64], found: Candidates) -> None:
            nonlocal invalid
            items, scores, sids = (t.cpu().numpy() for t in (found.items, found.scores, found.sids))
            invalid += count_invalid(items, scores, sids, self.table, banned and [banned[i] for i in places])

        def show(done: float, total: float, note: str = "", /, **values: float) -> None:
            num_done = self.num_done + int(done)
            seconds = self.seconds + time.perf_counter() - began
            self.progress(num_done, self.num_lists, label, users_per_s=num_done / max(seconds, 1e-9))

        items, scores = rank_users(
            self.policy, histories, self.table, self.trie, self.config.beam_width,
            banned=banned, batch_size=self.config.batch_size, on_batch=count, progress=show,
        )  # fmt: skip
        # Of the whole: while a GPU works on a batch, the one before it is read and counted.
        seconds = time.perf_counter() - began
        self.seconds, self.num_done = self.seconds + seconds, self.num_done + len(self.rows)
        return items.astype(np.int32), scores, seconds, invalid


def _decode(lists: _Lists, model: str, protocols: Sequence[str], parts: Path, start: int, **more: Any) -> dict:
    """Write the parts of one model, from row `start` on, and what was counted; returns the latter."""
    seconds, invalid = 0.0, 0
    for protocol in protocols:
        items, scores, took, wrong = lists(f"{model}, seen items {protocol}", protocol == "drop")
        write_part(parts, model, protocol, start, lists.rows, items, scores)
        seconds, invalid = seconds + took, invalid + wrong
    return write_counts(parts, model, start, users=len(lists.rows), seconds=seconds, invalid=invalid, **more)


def count_invalid(
    items: NDArray[np.integer],
    scores: NDArray[np.float32],
    sids: NDArray[np.int64],
    table: NDArray[np.int32],
    banned: Sequence[NDArray[np.int32]] | None,
) -> int:
    """Outputs that must not be: a generated id [b, W, L] that is not that item's row of `table`, repeats, banned items."""
    listed = np.isfinite(scores)
    inside = (items >= 0) & (items < len(table))
    wrong = listed & (~inside | (table[np.where(inside, items, 0)] != sids).any(axis=-1))
    row = np.broadcast_to(np.arange(len(items))[:, None], items.shape)
    keys = (row * len(table) + items)[listed & inside]
    repeats = len(keys) - len(np.unique(keys))
    if banned is None:
        return int(wrong.sum() + repeats)
    owner = np.repeat(np.arange(len(banned)), [len(b) for b in banned])
    kept_out = np.isin(keys, owner * len(table) + np.concatenate([*banned, np.empty(0, np.int32)]))
    return int(wrong.sum() + repeats + kept_out.sum())
