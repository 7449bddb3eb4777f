"""Figures of several runs over the same test rows: means over seeds, intervals, and paired comparisons.

Intervals answer for both sources of chance. In each resample users are drawn with replacement, the same for all rows
of the table, and so are seeds, where there are several (a two-level bootstrap; Davison and Hinkley 1997, section 3.8).
With three seeds the part that comes from seeds is a rough guide: the figure of every seed stands beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from genrec import tables
from genrec.errors import DataError
from genrec.measure import bootstrap
from genrec.metrics import hit, ndcg, popularity_groups

DIGITS = 6


@dataclass(frozen=True)
class Ranks:
    """One model of one run on the test rows, in file order: users, targets and ranks (0-based, -1 absent), int32 [n]."""

    users: NDArray[np.int32]
    targets: NDArray[np.int32]
    ranks: NDArray[np.int32]


def read_ranks(evaluated: Path, model: str, seen_items: str) -> Ranks:
    """The ranks of a model in the folder of an evaluate artifact. Raises DataError when it is not there."""
    wanted = (pc.field("model") == model) & (pc.field("seen_items") == seen_items)
    columns = ["model", "seen_items", "user", "target", "rank"]
    table = tables.read_table(evaluated / "predictions.parquet", columns=columns).filter(wanted)
    if not len(table):
        raise DataError(
            f"{evaluated / 'predictions.parquet'}: holds no predictions of {model} (seen items {seen_items})"
        )
    return Ranks(*(table[name].to_numpy() for name in ("user", "target", "rank")))


def same_rows(all_ranks: Sequence[Ranks]) -> bool:
    """Whether all are about the same test rows, so that they can be compared in pairs."""
    first = all_ranks[0]
    return all(np.array_equal(r.users, first.users) and np.array_equal(r.targets, first.targets) for r in all_ranks[1:])


def resampled(
    rows: Sequence[Sequence[Ranks]],
    train_counts: NDArray[np.integer],
    *,
    k: int,
    head_share: float,
    num: int,
    seed: int,
) -> list[dict[tuple[str, str], tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    """For each row of the table (its runs, one a seed): {(slice, metric): (by seed [S], resampled means [num])}.

    The slice "" is all test rows; head, tail and cold appear where they have targets. Rows with the same number of
    seeds draw the same seeds in a resample: what shares data and initial weights stays paired.
    """
    first = rows[0][0]
    groups = popularity_groups(train_counts, head_share)
    masks = {"": np.ones(len(first.targets), dtype=bool)}
    masks |= {name: mask[first.targets] for name, mask in groups.items() if mask[first.targets].any()}
    names = [(slice_, metric) for slice_ in masks for metric in (f"hr@{k}", f"ndcg@{k}")]
    columns = [
        values * mask
        for runs in rows
        for run in runs
        for values_pair in [(hit(run.ranks, k), ndcg(run.ranks, k))]
        for mask in masks.values()
        for values in values_pair
    ]
    weights = [mask.astype(np.float64) for mask in masks.values()]
    per_user = bootstrap.sums_by_user(first.users, np.stack([*columns, *weights], axis=1))
    sums, total = bootstrap.resampled_sums(per_user, num, seed), per_user.sum(axis=0)
    slice_of = np.repeat(np.arange(len(masks)), 2)
    generator, drawn = np.random.default_rng(seed), {}
    found, start = [], 0
    for runs in rows:
        size = len(runs)
        stop = start + size * len(names)
        shape = (num, size, len(names))
        means = bootstrap.ratio(sums[:, start:stop].reshape(shape), sums[:, len(columns) + slice_of][:, None])
        by_seed = total[start:stop].reshape(shape[1:]) / total[len(columns) + slice_of]
        if size not in drawn:
            drawn[size] = generator.integers(0, size, size=(num, size))
        samples = np.take_along_axis(means, drawn[size][:, :, None], axis=1).mean(axis=1)
        found.append({name: (by_seed[:, i], samples[:, i]) for i, name in enumerate(names)})
        start = stop
    return found


def figure(by_seed: NDArray[np.float64], samples: NDArray[np.float64], confidence: float) -> dict[str, Any]:
    """{mean, ci, by_seed}, rounded."""
    low, high = bootstrap.interval(samples, confidence)
    return {
        "mean": round(float(by_seed.mean()), DIGITS),
        "ci": [round(low, DIGITS), round(high, DIGITS)],
        "by_seed": [round(float(v), DIGITS) for v in by_seed],
    }


def difference(
    one: tuple[NDArray[np.float64], NDArray[np.float64]],
    other: tuple[NDArray[np.float64], NDArray[np.float64]],
    confidence: float,
) -> dict[str, Any]:
    """{difference, ci, share_in_favour, relative} of one against the other under the same resamples."""
    samples = one[1] - other[1]
    mean, base = float(one[0].mean() - other[0].mean()), float(other[0].mean())
    low, high = bootstrap.interval(samples, confidence)
    return {
        "difference": round(mean, DIGITS),
        "ci": [round(low, DIGITS), round(high, DIGITS)],
        "share_in_favour": round(bootstrap.share_in_favour(samples), DIGITS),
        "relative": round(mean / base, DIGITS) if base else None,
    }
