"""Who is ahead, by how much, and whether the test set is large enough to say so."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.measure.bootstrap import interval, share_in_favour

TRAINED = ("sft", "rl")  # the models this pipeline trains, in the order of training


def compare_models(
    metrics: dict[str, dict[str, Any]],
    samples: dict[tuple[str, str], NDArray[np.float64]],
    trained: Sequence[str],
    k: int,
    confidence: float,
    digits: int,
) -> list[dict[str, Any]]:
    """Paired bootstrap of every trained model against every baseline, and of each against the one trained before it.

    `samples` holds resampled means by (model, metric), made under the same resamples. One record a pair and metric:
    {model, against, metric, difference, ci, share_in_favour, relative (null when the other is at 0)}.
    """
    present = [m for m in trained if m in metrics]
    baselines = [m for m in metrics if m not in trained]
    pairs = [(later, earlier) for i, later in enumerate(present) for earlier in present[:i]]
    pairs += [(model, baseline) for model in present for baseline in baselines]
    records = []
    for model, against in pairs:
        for metric in (f"hr@{k}", f"ndcg@{k}"):
            differences = samples[model, metric] - samples[against, metric]
            difference = metrics[model][metric] - metrics[against][metric]
            other = metrics[against][metric]
            records.append(
                {
                    "model": model,
                    "against": against,
                    "metric": metric,
                    "difference": round(difference, digits),
                    "ci": [round(x, digits) for x in interval(differences, confidence)],
                    "share_in_favour": round(share_in_favour(differences), digits),
                    "relative": round(difference / other, digits) if other else None,
                }
            )
    return records


def excludes_zero(ci: Sequence[float]) -> bool:
    """Whether an interval of a difference lies on one side of zero."""
    return ci[0] > 0 or ci[1] < 0


def verdict(
    metrics: dict[str, dict[str, Any]],
    comparisons: Sequence[dict[str, Any]],
    trained: Sequence[str],
    k: int,
    confidence: float,
) -> list[str]:
    """The headline in words, a sentence each: who leads by NDCG@k (ties: the order of `metrics`), who beats whom."""
    leader = max(metrics, key=lambda m: metrics[m][f"ndcg@{k}"])
    entry = metrics[leader]
    sentences = [
        f"{leader} leads with NDCG@{k} {_with_interval(entry, f'ndcg@{k}')} and HR@{k} {_with_interval(entry, f'hr@{k}')}."
    ]
    present = [m for m in trained if m in metrics]
    baselines = [m for m in metrics if m not in trained]
    if present:
        final = present[-1]
        if baselines:
            strongest = max(baselines, key=lambda m: metrics[m][f"ndcg@{k}"])
            sentences.append(_sentence(final, strongest, "the strongest baseline, ", comparisons, k, confidence))
        sentences += [
            _sentence(later, earlier, "", comparisons, k, confidence) for earlier, later in itertools.pairwise(present)
        ]
    else:
        sentences.append("No model was trained in this run: these are baselines only.")
    return sentences


def _with_interval(entry: dict[str, Any], metric: str) -> str:
    low, high = entry[f"{metric}_ci"]
    return f"{entry[metric]:.4f} ({low:.4f} to {high:.4f})"


def _sentence(
    model: str, against: str, role: str, comparisons: Sequence[dict[str, Any]], k: int, confidence: float
) -> str:
    record = next(c for c in comparisons if (c["model"], c["against"], c["metric"]) == (model, against, f"ndcg@{k}"))
    difference, (low, high) = record["difference"], record["ci"]
    relative = f" ({abs(record['relative']):.1%})" if record["relative"] is not None else ""
    if difference == 0:
        position = f"level with {role}{against} at NDCG@{k}"
    else:
        side = "ahead of" if difference > 0 else "behind"
        position = f"{side} {role}{against}, by {abs(difference):.4f} NDCG@{k}{relative}"
    meaning = (
        "lies on one side of zero, so the difference is more than chance among these users"
        if excludes_zero((low, high))
        else "includes zero, so this test set cannot tell the two apart"
    )
    return (
        f"{model} is {position}. The {confidence:.0%} interval of the difference, {low:+.4f} to {high:+.4f}, {meaning}; "
        f"{record['share_in_favour']:.1%} of the resamples favour {model}."
    )


def planted_structure(metrics: dict[str, dict[str, Any]], k: int) -> str | None:
    """Whether the order planted in the synthetic shop came out: popularity < ItemCF < the trained model, HR and NDCG.

    None where one of the three was not evaluated.
    """
    trained = [m for m in TRAINED if m in metrics]
    if not trained or not {"popularity", "itemcf"} <= metrics.keys():
        return None
    order = ["popularity", "itemcf", trained[-1]]
    steps = {name: [metrics[m][name] for m in order] for name in (f"hr@{k}", f"ndcg@{k}")}
    found = all(a < b < c for a, b, c in steps.values())
    shown = "; ".join(
        f"{name.upper()} "
        + " < ".join(f"{m} {v:.4f}" for m, v in sorted(zip(order, values, strict=True), key=lambda p: p[1]))
        for name, values in steps.items()
    )
    return f"Planted structure of the synthetic shop {'found' if found else 'NOT found'}: {shown}."
