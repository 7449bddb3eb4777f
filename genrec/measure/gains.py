"""What reinforcement learning made of each recipe's fine-tuned model: hits, and the figures that its reward pays for.

Before and after are measured on the same test rows and compared under the same resamples of the users (and of the seeds,
as in `genrec.measure.comparison`), so that every change has a paired interval.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from genrec import bootstrap, tables, variants
from genrec.config import RewardConfig
from genrec.list_metrics import NEW_COUNT, ListMetrics, first_k
from genrec.measure.comparison import DIGITS
from genrec.measure.predictions import read_predictions
from genrec.measure.rows import measured_rows, read_rows
from genrec.metrics import row_metrics

Report = Mapping[str, Any]
Values = dict[str, NDArray[np.float64]]  # by figure, [test rows]
FIGURES = {  # of the first k items of a list, means over the test rows
    "hr": "the next item is among them",
    "ndcg": "the same, worth less the lower it stands",
    "categories": "different categories, the most specific one of each item counting",
    "new_items": f"items with at most {NEW_COUNT} training events",
    "purchases": "the next item is among them and was bought",
    "repeats": "items of the history that were not taken again, where the list may hold such",
}
_PURCHASE = "purchase"
_SEED = 0  # of the resamples, as in comparisons


def gains(recipes: Mapping[str, Sequence[Report]], folder: Callable[[str], Path]) -> list[dict[str, Any]]:
    """For each recipe that has a model before and after RL, from the reports of its seeds:

    {recipe, unchanged (RL returned the fine-tuned model in every seed), reported {rl_over_sft, sft_over_itemcf},
    sft_over_itemcf (relative, HR at the headline cut-off; null without that baseline), figures {figure: {before, after,
    difference, ci, relative, paid_for}}}: those of FIGURES that the data knows.

    `folder` gives the artifact of a key.
    """
    found = []
    for recipe, runs in recipes.items():
        if all({"sft", "rl"} <= run["metrics"].keys() for run in runs):
            values = [[_values(run, model, folder) for model in ("sft", _after(run))] for run in runs]
            prepared = folder(_key(runs[0], "prepare"))
            users = read_rows(prepared, "test", measured_rows(prepared, runs[0]["protocol"])).users
            found.append(
                {
                    "recipe": recipe,
                    "unchanged": all(_after(run) == "sft" for run in runs),
                    "reported": runs[0]["config"].get("reported", {}),
                    "sft_over_itemcf": _over(runs, "sft", "itemcf"),
                    "figures": _compared(values, users, runs[0]),
                }
            )
    return found


def _after(run: Report) -> str:
    """The model whose lists are those after RL: where it returned the fine-tuned one, its lists are stored once."""
    return run.get("identical", {}).get("rl", "rl")


def _key(run: Report, stage: str) -> str:
    return next(s["key"] for s in run["stages"] if s["name"] == stage)


def _over(runs: Sequence[Report], one: str, other: str) -> float | None:
    """Relative difference of the HR at the headline cut-off, means over the seeds."""
    metric = f"hr@{runs[0]['protocol']['headline_k']}"
    if not all(other in run["metrics"] for run in runs):
        return None
    first, second = (sum(run["metrics"][model][metric] for run in runs) for model in (one, other))
    return round(first / second - 1, DIGITS) if second else None


# ---- figures of one model, by test row --------------------------------------------------------------------------------


def _values(run: Report, model: str, folder: Callable[[str], Path]) -> Values:
    prepared, evaluated = (folder(_key(run, stage)) for stage in ("prepare", "evaluate"))
    k, head_share = run["protocol"]["headline_k"], run["protocol"]["head_share"]
    listed = read_predictions(evaluated, model, run["protocol"]["seen_items"], ["rank", "items"])
    with_seen = read_predictions(evaluated, model, "keep", ["items"])
    catalogue = tables.CATALOGUE_FILE.read(prepared, ["train_count", "categories"])
    rows = measured_rows(prepared, run["protocol"])
    return values_of(listed, with_seen, prepared, ListMetrics(catalogue, k, head_share), rows)


def values_of(
    listed: pa.Table, with_seen: pa.Table, prepared: Path, lists: ListMetrics, places: NDArray[np.integer] | None = None
) -> Values:
    """FIGURES by test row, of predictions (rank, items) under the headline protocol and (items) with seen items kept.

    `places` are those of the predictions' rows in test.parquet (all, in order, where not given).
    Categories are left out where the catalogue names none, purchases where no test event is one.
    """
    items, k = first_k(listed, lists.k), lists.k
    ranked = row_metrics(listed["rank"].to_numpy(), [k])
    values = {"hr": ranked[:, 0], "ndcg": ranked[:, 1]}
    if (lists.last_category >= 0).any():
        values["categories"] = lists.num_categories(items)
    values["new_items"] = lists.num_new(items)
    at = slice(None) if places is None else places
    bought = tables.TEST_FILE.read(prepared, ["target_event"])["target_event"].to_numpy(zero_copy_only=False)[at]
    if (bought == _PURCHASE).any():
        values["purchases"] = ranked[:, 0] * (bought == _PURCHASE)
    rows = read_rows(prepared, "test", at)
    values["repeats"] = _repeats(first_k(with_seen, k), rows.histories, rows.targets, lists.num_items)
    return values


def _repeats(
    items: NDArray[np.int32], histories: Sequence[NDArray[np.int32]], targets: NDArray[np.int32], num_items: int
) -> NDArray[np.float64]:
    """Listed items of the history other than the target, float64 [n]."""
    row = np.arange(len(items), dtype=np.int64) * num_items
    seen = np.repeat(row, [len(h) for h in histories]) + np.concatenate([*histories, np.empty(0, np.int64)])
    again = np.isin(row[:, None] + items, seen) & (items >= 0) & (items != targets[:, None])
    return again.sum(axis=1).astype(np.float64)


# ---- before and after -------------------------------------------------------------------------------------------------


def _compared(values: Sequence[Sequence[Values]], users: NDArray[np.integer], run: Report) -> dict[str, dict[str, Any]]:
    """Figures of a recipe from [seeds][before, after]."""
    known = list(values[0][0])
    table = np.array([[[of_model[name] for name in known] for of_model in seed] for seed in values])  # [S, 2, F, n]
    num_bootstrap, confidence = run["config"]["evaluate"]["num_bootstrap"], run["protocol"]["confidence"]
    samples = _resampled(table, users, num_bootstrap)
    means = table.mean(axis=(0, 3))
    paid = {figure for term in run["config"]["rl"]["rewards"] for figure in _pays_for(term["name"])}
    figures = {}
    for place, name in enumerate(known):
        before, after = means[:, place]
        ci = bootstrap.interval(samples[:, 1, place] - samples[:, 0, place], confidence)
        figures[name] = {
            "before": round(float(before), DIGITS),
            "after": round(float(after), DIGITS),
            "difference": round(float(after - before), DIGITS),
            "ci": [round(bound, DIGITS) for bound in ci],
            "relative": round(float(after / before - 1), DIGITS) if before else None,
            "paid_for": name in paid,
        }
    return figures


def _resampled(table: NDArray[np.float64], users: NDArray[np.integer], num_bootstrap: int) -> NDArray[np.float64]:
    """Means [resamples, 2, F] of values [S, 2, F, n] over users drawn with replacement and, of several, seeds."""
    num_seeds, num_rows = table.shape[0], table.shape[-1]
    columns = np.concatenate([table.reshape(-1, num_rows), np.ones((1, num_rows))]).T
    sums = bootstrap.resampled_sums(bootstrap.sums_by_user(users, columns), num_bootstrap, _SEED)
    means = bootstrap.ratio(sums[:, :-1], sums[:, -1:]).reshape(num_bootstrap, *table.shape[:-1])
    drawn = np.random.default_rng(_SEED).integers(0, num_seeds, size=(num_bootstrap, num_seeds))
    return np.take_along_axis(means, drawn[:, :, None, None], axis=1).mean(axis=1)


def _pays_for(reward: str) -> Sequence[str]:
    return getattr(variants.load(RewardConfig.variant_package, reward), "PAYS_FOR", ())
