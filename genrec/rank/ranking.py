"""Ranking by folds over users: models that each leave a part of the users out, and what is told of them.

A model is fitted for each fold, on the validation lists of the users of all other folds. Whoever is ranked on validation or
on test is ranked by the model of the own fold, which has learned nothing of this user; what is served, by the mean of all.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec import bootstrap, variants
from genrec.config.rank import RankConfig, RankerConfig
from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.rank import figures
from genrec.rank.calibration import Curve, fit_curve
from genrec.rank.folds import fold_of, mixed
from genrec.rank.negatives import training_rows
from genrec.rank.rankers.parts.ranker import Ranker
from genrec.rank.samples import Samples
from genrec.rank.segments import by_user_segment

HEADLINE = "ndcg@10"
_FILE = "ranking.json"
_STOPPING = 303  # salt, apart from those of folds and buckets


@dataclass(frozen=True)
class Ranking:
    """The models by fold.

    name: of the ranker. seed: of the folds. curve: from scores to probabilities.
    """

    name: str
    seed: int
    rankers: Sequence[Ranker]
    curve: Curve

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of `task_scores`."""
        return self.rankers[0].tasks

    def scores(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R], each row by the model that has not seen its user; comparable within a list."""
        return self._by_fold(samples, lambda ranker, part: {"": ranker.scores(part)})[""]

    def task_scores(self, samples: Samples) -> dict[str, NDArray[np.float32]]:
        """The same by task."""
        return self._by_fold(samples, lambda ranker, part: ranker.task_scores(part))

    def missing(self) -> Counter[str]:
        """Rows that were scored without a feature, by its name."""
        return sum((ranker.inputs.missing for ranker in self.rankers), Counter())

    def importance(self) -> dict[str, float]:
        """The mean share of each feature, the largest first; empty for rankers that do not tell."""
        return figures.mean_importance([share for ranker in self.rankers if (share := ranker.importance())])

    def explain(self, samples: Samples, most: int = 8) -> list[dict[str, Any]] | None:
        """What made the score of each candidate of one list (`figures.explained`); None where the ranker cannot tell."""
        ranker = self.rankers[int(fold_of(samples.user[:1], len(self.rankers), self.seed)[0])] if len(samples) else None
        if ranker is None or not hasattr(ranker, "contributions"):
            return None
        values = ranker.inputs.matrix(samples)
        return figures.explained(ranker.inputs.names, ranker.contributions(samples), values, most)

    def save(self, folder: Path) -> None:
        """ranking.json and a folder for each model."""
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"name": self.name, "seed": self.seed, "folds": len(self.rankers)}
        curve = {"slope": self.curve.slope, "intercept": self.curve.intercept}
        (folder / _FILE).write_text(json.dumps({**facts, "curve": curve}, indent=1))
        for fold, ranker in enumerate(self.rankers):
            ranker.save(_folder(folder, fold))

    def _by_fold(
        self, samples: Samples, score: Callable[[Ranker, Samples], Mapping[str, NDArray[np.float32]]]
    ) -> dict[str, NDArray[np.float32]]:
        fold = fold_of(samples.user, len(self.rankers), self.seed)
        found: dict[str, NDArray[np.float32]] = {}
        for number, ranker in enumerate(self.rankers):
            rows = np.flatnonzero(fold == number)
            if not len(rows) and number:  # the first fold names the tasks even where there is no row
                continue
            for name, values in score(ranker, samples.take(rows)).items():
                found.setdefault(name, np.zeros(len(samples), dtype=np.float32))[rows] = values
        return found


def load(folder: Path) -> Ranking:
    """What `Ranking.save` wrote. Raises DataError where it cannot be read."""
    path = folder / _FILE
    try:
        facts = json.loads(path.read_bytes())
        module = variants.load(RankerConfig.variant_package, facts["name"])
        curve, num_folds, seed = Curve(**facts["curve"]), int(facts["folds"]), int(facts["seed"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); compute the stage rank again") from None
    return Ranking(facts["name"], seed, [module.load(_folder(folder, fold)) for fold in range(num_folds)], curve)


def fit_by_folds(
    samples: Samples, config: RankConfig, seed: int, progress: Progress = silent, only: Sequence[int] | None = None
) -> Ranking:
    """Fit a model for each fold on the lists of the other folds' users; the curve is the plain logistic one.

    A share of those users decides when training stops, on their whole lists; the negatives of the others are sampled.
    only: the folds that are fitted, where the users of the others are not to be scored; their models are those of the
    first of these.
    """
    module, options = variants.build(RankerConfig.variant_package, config.ranker.name, config.ranker.options)
    fold = fold_of(samples.user, config.num_folds, seed)
    stops = mixed(samples.user, _STOPPING + seed) < np.uint64(config.stopping_share * 2.0**64)
    learned = np.zeros(len(samples), dtype=bool)
    rule = config.negatives
    learned[training_rows(samples, rule.rule, rule.count, seed, rule.only_with_target)] = True
    fitted: dict[int, Ranker] = {}
    wanted = tuple(only) if only is not None else tuple(range(config.num_folds))
    for done, number in enumerate(wanted):
        others = fold != number

        def report(part: float, total: float, note: str = "", /, done: int = done, **values: float) -> None:
            progress(done + part / total, len(wanted), note, **values)

        train, valid = samples.take(others & learned & ~stops), samples.take(others & stops)
        fitted[number] = module.fit(train, valid, options, seed, report)
    rankers = [fitted.get(number, fitted[wanted[0]]) for number in range(config.num_folds)]
    return Ranking(config.ranker.name, seed, rankers, Curve(1.0, 0.0))


def with_curve(ranking: Ranking, samples: Samples, scores: NDArray[np.float32]) -> Ranking:
    """The ranking with the curve of these scores of its own validation samples."""
    return Ranking(ranking.name, ranking.seed, ranking.rankers, fit_curve(scores, samples.label))


def crossed_probabilities(samples: Samples, scores: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Probabilities of each half of the users by the curve of the other half: float32 [R], to judge a curve by."""
    half = fold_of(samples.user, 2, seed + 1)
    found = np.zeros(len(samples), dtype=np.float32)
    for part in (0, 1):
        curve = fit_curve(scores[half != part], samples.label[half != part])
        found[half == part] = curve.probability(scores[half == part])
    return found


def gain(
    samples: Samples,
    scores: NDArray[np.floating],
    base: NDArray[np.floating],
    confidence: float,
    num_bootstrap: int = 1000,
) -> dict[str, Any]:
    """{difference, ci, before, after} of NDCG@10 between an order by `scores` and one by `base`, paired by user.

    All 0 without lists.
    """
    if not len(samples):
        return {"difference": 0.0, "ci": [0.0, 0.0], "before": 0.0, "after": 0.0}
    column = figures.list_names().index(HEADLINE)
    before, after = (figures.by_list(samples, order, samples.label)[:, [column]] for order in (base, scores))
    users = samples.user[samples.starts[:-1]]
    low, high = bootstrap.paired_intervals(before, after, users, confidence=confidence, num_bootstrap=num_bootstrap)[0]
    return {
        "difference": float((after - before).mean()),
        "ci": [float(low), float(high)],
        "before": float(before.mean()),
        "after": float(after.mean()),
    }


def fit_and_judge(
    samples: Samples,
    base: NDArray[np.floating],
    config: RankConfig,
    seed: int,
    *,
    confidence: float,
    voices: Mapping[str, NDArray[np.floating]] | None = None,
    num_lists: int | None = None,
    progress: Progress = silent,
) -> tuple[Ranking, dict[str, Any]]:
    """Fit by folds, and judge the ranking on the lists of users that each model has not seen.

    base: the generator's scores [R], nan where it did not give the candidate: the order that a ranking has to beat.
    voices: other orders to show beside it, such as each channel's scores, by name. num_lists: the lists that were asked
    for, where some have no candidate.

    Returns the ranking and {ranker, use (whether it is used), gain, lists, with_target (their share: no order reaches
    more), metrics {ranking, generator, each voice: figures}, segments (`genrec.rank.segments`), calibration, importance, fit_seconds, score_seconds}.
    """
    began = time.perf_counter()
    ranking = fit_by_folds(samples, config, seed, progress)
    fitted = time.perf_counter()
    scores = ranking.scores(samples)
    scored = time.perf_counter()
    ranking = with_curve(ranking, samples, scores)
    orders = {"generator": base, **(voices or {})}
    found = {"ranking": scores, **{name: _lowest_where_missing(values) for name, values in orders.items()}}
    gained = gain(samples, scores, found["generator"], confidence)
    total = num_lists or len(samples.starts) - 1
    has_target = np.bincount(samples.list_of_row, weights=samples.label > 0) > 0
    judged = figures.calibration(crossed_probabilities(samples, scores, seed), samples.label)
    summary = {
        "ranker": config.ranker.name,
        "use": bool(gained["ci"][0] > 0 or not config.require_gain),
        "gain": gained,
        "lists": total,
        "with_target": float(has_target.sum() / max(total, 1)),
        "metrics": {name: figures.list_figures(samples, values, num_lists=num_lists) for name, values in found.items()},
        "segments": by_user_segment(samples, {"ranking": scores, "generator": found["generator"]}),
        "calibration": {"bins": judged.bins, "ece": judged.ece},
        "importance": ranking.importance(),
        "fit_seconds": fitted - began,
        "score_seconds": scored - fitted,
    }
    return ranking, summary


def _lowest_where_missing(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """A candidate that an order does not hold comes behind all that it holds."""
    there = np.isfinite(values)
    lowest = values[there].min() if there.any() else 0.0
    return np.where(there, values, lowest - 1).astype(np.float32)


def _folder(folder: Path, fold: int) -> Path:
    return folder / f"fold-{fold}"
