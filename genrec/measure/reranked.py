"""Re-ranking in the rank stage: tuned on one half of the validation users, judged on the other, applied to test lists."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec import tables
from genrec.config import Config
from genrec.embed.vectors import read_item_vectors
from genrec.progress import Progress
from genrec.rank.features.parts.profile import NAMES, SEGMENT
from genrec.rank.features.parts.queries import Asked
from genrec.rank.folds import fold_of
from genrec.rank.ranking import Ranking
from genrec.rank.rerank.parts import steps as re_rankers
from genrec.rank.rerank.parts.build import facts_of, lists_of
from genrec.rank.rerank.parts.lists import Floats, ItemFacts, Lists, by_place, shown
from genrec.rank.samples import CLICK, PURCHASE, Samples
from genrec.rank.scored import Scored

_LIMIT = 100  # candidates of a list that re-rankers see
_HALVES = 404  # salt of the halves, apart from those of folds


@dataclass(frozen=True)
class Reranking:
    """Tuned steps, and what lists are made from."""

    steps: re_rankers.Steps
    facts: ItemFacts
    item_aims: dict[str, NDArray]
    k: int  # places that the steps were tuned for

    def save(self, folder: Path) -> None:
        """Write rerank.json."""
        self.steps.save(folder)

    def lists(
        self, scored: Scored, num_lists: int, width: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32], Counter[str]]:
        """Items and scores [U, width] of all rows, -1 and -inf where there is none, and counted warnings.

        The steps choose the first `k`, however many are wanted, so that a shorter list is the beginning of a longer one;
        what they did not choose follows in the ranker's order. Scores are those of the place.
        """
        made = _lists(scored, num_lists, self.facts, self.item_aims)
        if made.width == 0:  # steps need a column; that all lists are empty (nothing is in stock, say) is no fault
            nothing = np.full((num_lists, width), -1, dtype=np.int32)
            return (
                nothing,
                np.full(nothing.shape, -np.inf, dtype=np.float32),
                Counter({re_rankers.NO_CANDIDATE: num_lists}),
            )
        chosen, warnings = self.steps.rerank(made, self.k)
        place = np.full(made.item.shape, -1, dtype=np.int64)
        row, at = np.nonzero(chosen >= 0)
        place[row, chosen[row, at]] = at
        column = shown(made, by_place(place, made.present), width)
        items = np.where(column >= 0, np.take_along_axis(made.item, np.maximum(column, 0), axis=1), -1)
        scores = np.full(items.shape, -np.inf, dtype=np.float32)
        scores[:, : made.width] = made.score[:, :width]
        return items.astype(np.int32), np.where(items >= 0, scores, -np.inf).astype(np.float32), warnings


def tune_and_judge(
    ranking: Ranking,
    samples: Samples,
    asked: Asked,
    prepared: Path,
    vectors: Path | None,
    config: Config,
    progress: Progress,
) -> tuple[Reranking, dict[str, Any]]:
    """Tune the steps of the config on half of the validation users, and judge them on the others.

    Returns them and {k, tuned_on, judged_on (users' lists), table (`genrec.rank.rerank.parts.figures.table`), fronts (the
    Pareto front of each fusion), warnings}.
    """
    evaluate, chosen = config.evaluate, config.rank.rerank
    k = 10 if 10 in evaluate.ks else max(evaluate.ks)
    catalogue = tables.CATALOGUE_FILE.read(prepared, ["brand", "categories", "train_count"])
    facts, item_aims = facts_of(catalogue, read_item_vectors(vectors) if vectors is not None else None)
    made = _lists(Scored(ranking, samples), len(asked.users), facts, item_aims, asked)
    half = fold_of(asked.users.astype(np.int64), 2, config.seed + _HALVES)
    steps = re_rankers.tune(
        [(step.name, step.options) for step in chosen], made.rows(half == 0), k, config.seed, progress
    )
    judging = made.rows(half == 1)
    rows = steps.table(
        judging, k, users=asked.users[half == 1].astype(np.int64), confidence=evaluate.confidence,
        num_bootstrap=evaluate.num_bootstrap,
    )  # fmt: skip
    fronts = [front for step in steps.steps if (front := getattr(step.reranker, "front", None))]
    counted = dict(steps.rerank(judging, k)[1])
    facts_ = {"k": k, "tuned_on": int((half == 0).sum()), "judged_on": int((half == 1).sum())}
    return Reranking(steps, facts, item_aims, k), {
        **facts_,
        "table": rows,
        "fronts": fronts,
        "warnings": counted,
    }


def _lists(
    scored: Scored, num_lists: int, facts: ItemFacts, item_aims: dict[str, NDArray], asked: Asked | None = None
) -> Lists:
    """The lists of all rows of a split, with what the ranker says of clicks and, where it does, of purchases.

    asked: what came next, where that is known.
    """
    samples = scored.samples
    profile = _of_lists(samples, num_lists, [*NAMES, SEGMENT])
    return lists_of(
        users=np.arange(num_lists),
        user=samples.query,
        item=samples.item,
        score=scored.scores,
        facts=facts,
        aims=_chances(scored),
        item_aims=item_aims,
        limit=_LIMIT,
        features=profile[:, :-1],
        segment=np.nan_to_num(profile[:, -1], nan=-1).astype(np.int64),
        target=None if asked is None else asked.targets.astype(np.int64),
        bought=None if asked is None else asked.events == PURCHASE,
    )


def _of_lists(samples: Samples, num_lists: int, names: Sequence[str]) -> Floats:
    """float32 [U, P]: features that are the same for all rows of a list; NaN where they are missing."""
    found = np.full((num_lists, len(names)), np.nan, dtype=np.float32)
    place = {name: column for column, name in enumerate(samples.names)}
    there = [column for column, name in enumerate(names) if name in place]
    of_lists = samples.features[samples.starts[:-1]][:, [place[names[column]] for column in there]]
    found[samples.queries[:, None], there] = of_lists
    return found


def _chances(scored: Scored) -> dict[str, Floats]:
    if CLICK in scored.ranking.tasks:
        return {name: scored.by_task[name] for name in (CLICK, PURCHASE) if name in scored.by_task}
    return {CLICK: scored.probabilities}
