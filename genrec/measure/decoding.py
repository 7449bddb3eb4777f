"""Ranked lists of a trained model for validation or test rows, by constrained beam search.

Apart from what reads such lists (genrec/measure/predictions.py), which need not wait for torch to be imported.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.config import EvaluateConfig
from genrec.measure.predictions import PROTOCOLS, write_counts, write_part
from genrec.measure.rows import Split, read_rows
from genrec.model.policy import Policy
from genrec.model.precision import compute_dtype, default_device, frozen_dtype
from genrec.progress import Progress, silent
from genrec.search.decode import Candidates, beam_search
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
    split: Split = "test",
    protocols: Sequence[str] = PROTOCOLS,
    trained_on: Path | None = None,
    device: str | None = None,
    progress: Progress = silent,
) -> dict:
    """Constrained beam search for rows bounds = (start, stop) of a split, with the seen items dropped and kept.

    `model` is the folder of an sft or rl artifact (with `base` where it is an adapter), `name` what it is called in
    the results; `trained_on` the prepared data whose item numbers it knows, where they are not those of `prepared`.
    Writes one part a protocol. Returns {model, users, seconds, invalid}: `seconds` is decoding alone, all protocols
    together; `invalid` counts listed outputs that are not an item, are listed twice or were to be dropped.
    """
    rows = read_rows(prepared, split, slice(*bounds), trained_on)
    table = read_sids(sids)
    where = torch.device(device) if device is not None else default_device()
    compute = compute_dtype(config.precision, where, "evaluate.precision")
    policy = Policy.load(model, base, device=where, dtype=frozen_dtype(compute, where))
    policy.search_dtype = compute
    trie = Trie.from_sids(table, policy.vocab.num_codes, device=policy.device)
    # Rows of similar length share a batch: less padding, same results.
    order = np.argsort([min(len(h), policy.max_history) for h in rows.histories], kind="stable")
    seconds, invalid, done = 0.0, 0, 0
    for protocol in protocols:
        items = np.full((len(rows), config.beam_width), -1, dtype=np.int32)
        scores = np.full(items.shape, -np.inf, dtype=np.float32)
        for start in range(0, len(rows), config.batch_size):
            chosen = order[start : start + config.batch_size]
            histories = [rows.histories[i] for i in chosen]
            banned = histories if protocol == "drop" else None
            began = time.perf_counter()
            found = beam_search(policy, policy.prompts(histories, table), trie, config.beam_width, banned)
            found = Candidates(*(tensor.cpu() for tensor in found))  # waits for the device, so the clock is honest
            seconds += time.perf_counter() - began
            items[chosen], scores[chosen] = found.items.numpy(), found.scores.numpy()
            invalid += count_invalid(items[chosen], scores[chosen], found.sids.numpy(), table, banned)
            done += len(chosen)
            progress(
                done,
                len(protocols) * len(rows),
                f"{name}, seen items {protocol}",
                users_per_s=done / max(seconds, 1e-9),
            )
        write_part(parts, name, protocol, bounds[0], rows, items, scores)
    return write_counts(parts, name, bounds[0], users=len(rows), seconds=seconds, invalid=invalid)


def count_invalid(
    items: NDArray[np.int32],
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
