"""Ranked lists of a trained model for validation or test rows, by constrained beam search.

Apart from what reads such lists (genrec/measure/predictions.py), which need not wait for torch to be imported.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.config import EvaluateConfig
from genrec.data.targets import Targets
from genrec.measure import score_parts
from genrec.measure.predictions import PROTOCOLS, write_counts, write_part
from genrec.measure.rows import Split, read_rows, sampled
from genrec.model.one_prompt import SharedPrompts
from genrec.model.policy import Policy
from genrec.model.precision import compile_layers, compute_dtype, default_device, frozen_dtype
from genrec.progress import Progress, silent
from genrec.search.decode import Candidates, SearchModel, beam_search
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
    whole = score_parts.served(policy)
    searches = [_Lists(name, protocol, whole) for protocol in protocols]
    of_parts = score_parts.alone(policy, alone)
    searches += [_Lists(f"{name}_{part}", config.seen_items, scoring) for part, scoring in of_parts.items()]
    shares = score_parts.shares(policy)
    _rank(policy, table, rows, config, searches, progress)
    for lists in searches:
        write_part(parts, lists.model, lists.protocol, bounds[0], rows, lists.items, lists.scores)
    records = []
    for label in dict.fromkeys(lists.model for lists in searches):
        own = [lists for lists in searches if lists.model == label]
        seconds, invalid = sum(lists.seconds for lists in own), sum(lists.invalid for lists in own)
        more = {"score": shares} if label == name else {}
        counts = {"users": len(rows), "seconds": seconds, "invalid": invalid, **more}
        records.append(write_counts(parts, label, bounds[0], **counts))
    return records


@dataclass
class _Lists:
    """Ranked lists of one model under one protocol, by a scoring of the policy."""

    model: str
    protocol: str
    scoring: score_parts.Scoring
    items: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0), np.int32))  # [n, W]
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    seconds: float = 0.0
    invalid: int = 0


def _rank(
    policy: Policy,
    table: NDArray[np.int32],
    rows: Targets,
    config: EvaluateConfig,
    searches: Sequence[_Lists],
    progress: Progress,
) -> None:
    """Fill in the lists of all searches, batch by batch: those of a batch share the dense head.

    The seconds of a search are those between its lists and the ones before: what is shared, the first one bears.
    """
    trie = Trie.from_sids(table, policy.vocab.num_codes, device=policy.device)
    shared, width = SharedPrompts(policy), config.beam_width
    for lists in searches:
        lists.items = np.full((len(rows), width), -1, dtype=np.int32)
        lists.scores = np.full((len(rows), width), -np.inf, dtype=np.float32)
    with policy.inference():
        output = policy.step_scores()
    started: deque[tuple[_Lists, np.ndarray, Candidates]] = deque()
    # To read waits for a GPU: one search late, so that it has the next one meanwhile.
    waiting = int(policy.device.type == "cuda")
    num_done, num_lists, began = 0, len(searches) * len(rows), time.perf_counter()
    last = began

    def read() -> None:
        nonlocal num_done, last
        lists, places, found = started.popleft()
        items, scores, sids = (t.cpu().numpy() for t in (found.items, found.scores, found.sids))
        banned = [rows.histories[i] for i in places] if lists.protocol == "drop" else None
        lists.invalid += count_invalid(items, scores, sids, table, banned)
        lists.items[places], lists.scores[places] = items, scores
        now = time.perf_counter()
        lists.seconds, last = lists.seconds + now - last, now
        num_done += len(places)
        progress(num_done, num_lists, lists.model, users_per_s=num_done / max(now - began, 1e-9))

    lengths = np.array([min(len(h), policy.max_history) for h in rows.histories], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), config.batch_size):
        places = order[start : start + config.batch_size]
        histories = [rows.histories[i] for i in places]
        prompts = policy.prompts(histories, table)
        for lists in searches:
            score_parts.use(policy, lists.scoring)
            banned = histories if lists.protocol == "drop" else None
            found = beam_search(cast(SearchModel, shared), prompts, trie, width, banned, scores=output)
            started.append((lists, places, found))
            while len(started) > waiting:
                read()
    while started:
        read()


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
