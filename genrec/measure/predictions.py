"""Ranked lists for validation or test rows: decoding a model, and the parts that models and baselines are kept in.

A part is a PREDICTIONS table of one model, one protocol (seen items dropped or kept) and one range of rows, with a
small JSON file beside it for what is counted along the way. Parts can be made anywhere, in any order.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from genrec import tables
from genrec.config import EvaluateConfig, RecallConfig
from genrec.data.targets import Targets
from genrec.errors import DataError
from genrec.labels import distinct_names
from genrec.measure.rows import Split, read_rows
from genrec.metrics import target_ranks
from genrec.model.policy import Policy
from genrec.model.precision import compute_dtype, default_device, frozen_dtype
from genrec.progress import Progress, silent
from genrec.search.decode import Candidates, beam_search
from genrec.search.trie import Trie
from genrec.tables import read_sids

PROTOCOLS = ("drop", "keep")


def baseline_names(baselines: Sequence[RecallConfig]) -> list[str]:
    """The variant's name; the second baseline of a kind is called `itemcf_2`, and so on."""
    return distinct_names([b.name for b in baselines])


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


# ---- parts ------------------------------------------------------------------------------------------------------------


def write_part(
    parts: Path,
    model: str,
    protocol: str,
    start: int,
    rows: Targets,
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """One part from lists [n, W] in row order; places that hold no item (-1) are cut off."""
    parts.mkdir(parents=True, exist_ok=True)
    listed = items >= 0
    offsets = np.concatenate([[0], np.cumsum(listed.sum(axis=1))]).astype(np.int32)
    table = pa.table(
        {
            "model": pa.array([model] * len(rows), pa.string()),
            "seen_items": pa.array([protocol] * len(rows), pa.string()),
            "user": rows.users,
            "target": rows.targets,
            "rank": target_ranks(items, rows.targets),
            "items": pa.ListArray.from_arrays(offsets, items[listed]),
            "scores": pa.ListArray.from_arrays(offsets, scores[listed].astype(np.float32)),
        }
    )
    tables.write_table(table, parts / f"{model}.{protocol}.{start:010d}.parquet", tables.PREDICTIONS)


def read_parts(parts: Path, model: str, protocol: str, expected: Targets) -> pa.Table:
    """All rows of one model and protocol, in the order of `expected`. Raises DataError when they do not match."""
    files = sorted(parts.glob(f"{model}.{protocol}.*.parquet"))
    read = [tables.read_table(file, tables.PREDICTIONS) for file in files]
    table = pa.concat_tables(read) if read else tables.PREDICTIONS.empty_table()
    same = len(table) == len(expected) and np.array_equal(table["user"].to_numpy(), expected.users)
    if not same or not np.array_equal(table["target"].to_numpy(), expected.targets):
        raise DataError(
            f"{parts}: the predictions of {model} (seen items {protocol}) cover {len(table)} rows of {len(files)} parts, "
            f"and there are {len(expected)}: decode the missing shards, or clear the folder"
        )
    return table


def write_counts(parts: Path, model: str, start: int, **counts: float) -> dict:
    """What was counted along the way, in a small file beside the part that begins at row `start`."""
    record = {"model": model, **counts}
    (parts / f"{model}.{start:010d}.json").write_text(json.dumps(record))
    return record


def read_counts(parts: Path) -> list[dict]:
    """What was counted beside each part."""
    return [json.loads(file.read_text()) for file in sorted(parts.glob("*.*.json"))]


def read_predictions(evaluated: Path, model: str, seen_items: str, columns: Sequence[str]) -> pa.Table:
    """Columns by test row, of a model in the folder of an evaluate artifact. Raises DataError when it is not there."""
    table = tables.PREDICTIONS_FILE.read(evaluated, ["model", "seen_items", *columns])
    table = table.filter((pc.field("model") == model) & (pc.field("seen_items") == seen_items)).select(columns)
    if not len(table):
        raise DataError(
            f"{evaluated / 'predictions.parquet'}: holds no predictions of {model} (seen items {seen_items})"
        )
    return table


def read_ranks(
    evaluated: Path, model: str, seen_items: str
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """(users, targets, ranks), int32 [n] by test row, as `read_predictions` finds them."""
    users, targets, ranks = read_predictions(evaluated, model, seen_items, ["user", "target", "rank"]).columns
    return users.to_numpy(), targets.to_numpy(), ranks.to_numpy()
