"""One comparison of ranks by (row of the table, seed): figures with intervals, and paired differences.

All rows are measured on the same targets under the same resamples of the users, so differences are paired by
construction. Intervals answer for both sources of chance: in each resample users are drawn with replacement, and so are
the seeds of a row, where it has several (a two-level bootstrap; Davison and Hinkley 1997, section 3.8). With three
seeds the part that comes from seeds is a rough guide: the figure of every seed stands beside it.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec import bootstrap
from genrec.measure.score_parts import PART_OF
from genrec.metrics import metric_names, popularity_groups, row_metrics

TRAINED = ("sft", "rl")  # the models that a run trains, in the order of training
RANK, RERANK = "rank", "rerank"  # the rows of the rank stage, whose lists begin with those of the last model
RANKED = (RANK, RERANK)
DIGITS = 6  # of every figure: what is beyond depends on the BLAS, not on the data
_SEED = 0  # of the resamples: the same everywhere, so that a report and a comparison give the same interval


@dataclass(frozen=True)
class Row:
    """A row of a table of results: a model of a recipe, or a baseline (recipe None). `final`: trained last.

    `part_of`: the model whose score it is a part of (genrec/measure/score_parts.py); it is compared with nothing.
    """

    label: str
    recipe: str | None
    model: str
    final: bool
    part_of: str | None = None


def rows_of_run(models: Sequence[str], run: str, labels: Mapping[str, str] | None = None) -> list[Row]:
    """A row for each model of one run, parts of a score included.

    What is ranked is of the run as its models are, and never the last of them: those are compared with other recipes.
    """
    trained = [m for m in TRAINED if m in models]

    def row(model: str) -> Row:
        owner, _ = PART_OF.get(model, (None, ""))
        is_baseline = owner is None and model not in trained and model not in RANKED
        label = (labels or {}).get(model, model)
        return Row(label, None if is_baseline else run, model, is_baseline or model in trained[-1:], owner)

    return [row(model) for model in models]


def best_first(values: Mapping[Row, float]) -> list[Row]:
    """Rows by falling value; the parts of a model's score stand behind it, in the order given."""
    parts: dict[tuple[str | None, str | None], list[Row]] = {}
    for row in values:
        parts.setdefault((row.recipe, row.part_of), []).append(row)
    whole = sorted((row for row in values if row.part_of is None), key=lambda row: -values[row])
    return [each for row in whole for each in (row, *parts.get((row.recipe, row.model), []))]


_STARTS = {"rl": ("sft",), RANK: TRAINED, RERANK: (*TRAINED, RANK)}  # a row -> the rows it was made from


def pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """What is compared with what: (one, other), pairs of trained models first.

    Every trained model with every baseline and with the stage it was trained from, and what is ranked with every model and
    the ranking it was made of; the last model of a recipe with that of the recipes further down.
    """
    compared = []
    whole = [row for row in rows if row.part_of is None]
    for i, one in enumerate(whole):
        for j, other in enumerate(whole):
            is_start = one.recipe == other.recipe and other.model in _STARTS.get(one.model, ())
            is_rival = one.final and other.final and i < j and other.recipe not in (None, one.recipe)
            if one.recipe is not None and (other.recipe is None or is_start or is_rival):
                compared.append((one, other))
    return sorted(compared, key=lambda pair: pair[1].recipe is None)


def popularity_slices(
    train_counts: NDArray[np.integer], targets: NDArray[np.integer], head_share: float
) -> dict[str, NDArray[np.bool_]]:
    """Masks over the targets [n] by popularity: those of head, tail and cold that have a target."""
    groups = popularity_groups(train_counts, head_share)
    return {name: mask[targets] for name, mask in groups.items() if mask[targets].any()}


class Comparison:
    """Rows of a table, each with the ranks of one or several seeds, under one bootstrap.

    Args:
        ranks: int32 [n] for each seed of each row (0-based, -1: the target is not in the list).
        users: int [n], the user of each target; users are resampled, so several targets of one user stay together.
        ks: cut-offs of HR and NDCG.
        num_bootstrap: resamples.
        confidence: level of the intervals.
        slices: masks over the targets by name; in slices, HR and NDCG at `sliced_k` are measured.

    Rows with the same number of seeds draw the same seeds in a resample: what shares data and initial weights stays
    paired.
    """

    def __init__(
        self,
        ranks: Mapping[Any, Sequence[NDArray[np.int32]]],
        users: NDArray[np.integer],
        ks: Sequence[int],
        *,
        num_bootstrap: int,
        confidence: float,
        slices: Mapping[str, NDArray[np.bool_]] | None = None,
        sliced_k: int = 10,
    ) -> None:
        self.confidence = confidence
        masks = {"": np.ones(len(users), dtype=bool), **(slices or {})}
        self.cells = [("", metric) for metric in metric_names(ks)]
        self.cells += [(name, metric) for name in slices or {} for metric in metric_names([sliced_k])]
        columns = []
        for seeds in ranks.values():
            for run in seeds:
                values = dict(zip(metric_names(ks), row_metrics(run, ks).T, strict=True))
                columns += [values[metric] * masks[name] for name, metric in self.cells]
        weights = [mask.astype(np.float64) for mask in masks.values()]
        per_user = bootstrap.sums_by_user(users, np.stack([*columns, *weights], axis=1))
        sums, total = bootstrap.resampled_sums(per_user, num_bootstrap, _SEED), per_user.sum(axis=0)
        weight_of = len(columns) + np.array([list(masks).index(name) for name, _ in self.cells])
        generator, drawn, start = np.random.default_rng(_SEED), {}, 0
        self._by_seed: dict[Hashable, NDArray[np.float64]] = {}  # [seeds, cells]
        self._samples: dict[Hashable, NDArray[np.float64]] = {}  # [resamples, cells]
        for row, seeds in ranks.items():
            shape = (len(seeds), len(self.cells))
            stop = start + shape[0] * shape[1]
            self._by_seed[row] = total[start:stop].reshape(shape) / total[weight_of]
            means = bootstrap.ratio(sums[:, start:stop].reshape(-1, *shape), sums[:, weight_of][:, None])
            if len(seeds) not in drawn:
                drawn[len(seeds)] = generator.integers(0, len(seeds), size=(num_bootstrap, len(seeds)))
            self._samples[row] = np.take_along_axis(means, drawn[len(seeds)][:, :, None], axis=1).mean(axis=1)
            start = stop

    def figure(self, row: Hashable, metric: str, slice_: str = "") -> dict[str, Any]:
        """{mean over seeds, ci, by_seed}, rounded."""
        cell = self.cells.index((slice_, metric))
        by_seed = self._by_seed[row][:, cell]
        return {
            "mean": _rounded(by_seed.mean()),
            "ci": self._interval(self._samples[row][:, cell]),
            "by_seed": [_rounded(value) for value in by_seed],
        }

    def figures(self, row: Hashable) -> dict[str, Any]:
        """Every figure of a row: metrics {metric: figure}, slices {slice: {metric: figure}}."""
        measured: dict[str, Any] = {"metrics": {}, "slices": {}}
        for slice_, metric in self.cells:
            place = measured["slices"].setdefault(slice_, {}) if slice_ else measured["metrics"]
            place[metric] = self.figure(row, metric, slice_)
        return measured

    def difference(self, one: Hashable, other: Hashable, metric: str) -> dict[str, Any]:
        """{difference, ci, share_in_favour, relative (null where the other is at 0)} of one row against another."""
        cell = self.cells.index(("", metric))
        samples = self._samples[one][:, cell] - self._samples[other][:, cell]
        base = float(self._by_seed[other][:, cell].mean())
        difference = float(self._by_seed[one][:, cell].mean()) - base
        return {
            "difference": _rounded(difference),
            "ci": self._interval(samples),
            "share_in_favour": _rounded(bootstrap.share_in_favour(samples)),
            "relative": _rounded(difference / base) if base else None,
        }

    def _interval(self, samples: NDArray[np.float64]) -> list[float]:
        return [_rounded(bound) for bound in bootstrap.interval(samples, self.confidence)]


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
