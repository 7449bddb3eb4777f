"""Sentences about results: who leads, by how much, whether it is more than chance, and what was decided on it.

Rows and pairs are those of `genrec.report.results`, of one run or of several recipes; a sentence speaks of NDCG at the
headline cut-off where it names no other figure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.report.results import Row, pairs_of, rows_of

Pair = Mapping[str, Any]


def verdict(report: Mapping[str, Any]) -> list[str]:
    """The headline of a run: who leads, the last model against the strongest baseline, each model against its start."""
    k, confidence = report["protocol"]["headline_k"], report["protocol"]["confidence"]
    rows, pairs = rows_of(report), _by_rows(pairs_of(report), k)
    sentences = [f"{rows[0]['label']} leads with {_leads(rows[0], k, ' and ')}."]
    trained = {row["model"]: row for row in rows if row["recipe"] is not None}
    final, baseline = next((row for row in trained.values() if row["final"]), None), _best_baseline(rows)
    if final is None:
        return [*sentences, "No model was trained in this run: these are baselines only."]
    if baseline is not None:
        pair = pairs[final["label"], baseline["label"]]
        sentences.append(_explained(pair, f"the strongest baseline, {baseline['label']}", k, confidence))
    if {"sft", "rl"} <= trained.keys():
        sentences.append(_explained(pairs["rl", "sft"], "sft", k, confidence))
    return sentences


def summary(comparison: Mapping[str, Any]) -> list[str]:
    """A comparison of recipes: who won, by how much, and which ideas did not pay on this data."""
    k, confidence, rows = comparison["headline_k"], comparison["confidence"], comparison["rows"]
    pairs, best = _by_rows(comparison["comparisons"], k), _best_baseline(rows)
    sentences = [f"{rows[0]['label']} leads: {_leads(rows[0], k, ', ')}."]
    if best is not None and best is not rows[0]:
        sentences.append(f"The best baseline is {best['label']}: {_leads(best, k, ', ')}.")
    for recipe in dict.fromkeys(row["recipe"] for row in rows if row["recipe"] is not None):
        own = {row["model"]: row["label"] for row in rows if row["recipe"] == recipe}
        if {"sft", "rl"} <= own.keys():
            sentences.append(_reinforcement(recipe, pairs[own["rl"], own["sft"]], k, confidence))
        if best is not None:
            final = own["rl"] if "rl" in own else own["sft"]
            sentences.append(_against(pairs[final, best["label"]], f"the best baseline, {best['label']}", k))
    finals = [row["label"] for row in rows if row["recipe"] is not None and row["final"]]
    sentences += [_against(pairs[finals[0], other], other, k) for other in finals[1:]]
    return [*sentences, _seeds(rows), *_memory(comparison["recipes"])]


def why_promoted(figures: Mapping[str, Any]) -> str:
    """A decision of `genrec.in_service.decision` as part of a sentence: the figures, the rule, and how often it errs."""
    better = figures["rule"] == "if_better"
    outcome = {
        (False, True): "not worse beyond chance",
        (False, False): "worse beyond chance",
        (True, True): "better beyond chance",
        (True, False): "not better beyond chance",
    }[better, figures["good_enough"]]
    name = figures["metric"].upper()
    errs = f"an equally good model is promoted in {figures['equal_promoted']:.1%} of the cases"
    if figures["loss_passed"] is not None:
        errs += f", one that truly loses {figures['loss_passed']:.4f} in half of them"
    return (
        f"{name} {_two_models(figures)} of the model in service on the same {figures['rows']:,} validation rows "
        f"({_change(figures)}): {outcome}. On the {figures['test']['rows']:,} test rows, which decide nothing, it is "
        f"{_two_models(figures['test'])} ({_change(figures['test'])}). By this rule {errs}"
    )


def promotion(outcome: Mapping[str, Any]) -> str:
    """What became of a run's model."""
    if outcome["promoted"]:
        return f"In service from now on: {outcome['why']}."
    return f"Not promoted, {outcome['in_service']} stays in service: {outcome['why']}."


def planted_structure(report: Mapping[str, Any]) -> list[str]:
    """Whether the order planted in the synthetic shop came out: popularity < ItemCF < the trained model, HR and NDCG.

    No sentence where one of the three was not evaluated.
    """
    k, rows = report["protocol"]["headline_k"], rows_of(report)
    figures = {row["model"]: row["metrics"] for row in rows}
    final = next((row["model"] for row in rows if row["recipe"] is not None and row["final"]), None)
    if final is None or not {"popularity", "itemcf"} <= figures.keys():
        return []
    steps = {m: {model: figures[model][m]["mean"] for model in ("popularity", "itemcf", final)} for m in (f"hr@{k}", f"ndcg@{k}")}  # fmt: skip
    holds = all(a < b < c for a, b, c in (tuple(values.values()) for values in steps.values()))
    shown = "; ".join(
        f"{metric.upper()} "
        + " < ".join(f"{model} {value:.4f}" for model, value in sorted(values.items(), key=lambda pair: pair[1]))
        for metric, values in steps.items()
    )
    return [f"Planted structure of the synthetic shop {'found' if holds else 'NOT found'}: {shown}."]


def protocol_in_short(protocol: Mapping[str, Any]) -> str:
    """The protocol as the title of a table."""
    split = {"leave_one_out": "leave-one-out", "global_time": "global time split"}.get(protocol["split"] or "", "test")
    return (
        f"{split}, {protocol['test_rows']:,} test rows, all {protocol['num_candidates']:,} items ranked, "
        f"seen items {'dropped' if protocol['seen_items'] == 'drop' else 'kept'}"
    )


def protocol_in_words(protocol: Mapping[str, Any]) -> list[str]:
    """The protocol as sentences for a reader who was not there."""
    split = {
        "leave_one_out": "The last event of each user is the test target, the one before it the validation target.",
        "global_time": "The first 80% of all events train, the next 10% validate, the last 10% are the test targets.",
    }
    seen = {
        "drop": "Items a user has met before are taken out of the ranking; figures with them kept are listed too.",
        "keep": "Items a user has met before stay in the ranking; figures with them dropped are listed too.",
    }
    cutoffs = ", ".join(str(k) for k in protocol["ks"])
    return [
        split.get(protocol["split"] or "", "The test targets are those of test.parquet."),
        f"{protocol['test_rows']:,} test rows of {protocol['test_users']:,} users; one relevant item a row; every one of "
        f"the {protocol['num_candidates']:,} items of the catalogue is a candidate (no sampled negatives), and a hit is "
        "the item itself, not an id that resembles it.",
        f"Models read the last {protocol['max_history']} events and decode by {protocol['decoding']}, "
        f"{protocol['beam_width']} beams. Baselines are fitted on {protocol['baselines_fitted_on']} and read the whole "
        "history.",
        seen[protocol["seen_items"]],
        f"HR@k is the share of rows whose target is among the first k; NDCG@k discounts it by 1/log2(rank + 1), ranks "
        f"counted from 1. Cut-offs: {cutoffs}.",
        f"Intervals: {protocol['confidence']:.0%}, {protocol['intervals']}; comparisons are paired on the same resamples.",
        f"Head items are the {protocol['head_share']:.0%} with the most training events; cold items have none.",
    ]


# ---- parts of sentences -----------------------------------------------------------------------------------------------


def excludes_zero(ci: Sequence[float]) -> bool:
    """Whether an interval of a difference lies on one side of zero."""
    return ci[0] > 0 or ci[1] < 0


def _by_rows(pairs: Sequence[Pair], k: int) -> dict[tuple[str, str], Pair]:
    return {(pair["row"], pair["against"]): pair for pair in pairs if pair["metric"] == f"ndcg@{k}"}


def _best_baseline(rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if row["recipe"] is None), None)


def _leads(row: Row, k: int, between: str) -> str:
    figures = [(metric.upper(), row["metrics"][metric]) for metric in (f"ndcg@{k}", f"hr@{k}")]
    return between.join(f"{name} {f['mean']:.4f} ({f['ci'][0]:.4f} to {f['ci'][1]:.4f})" for name, f in figures)


def _explained(pair: Pair, against: str, k: int, confidence: float) -> str:
    """A difference in full: position, interval and what it means."""
    relative = f" ({abs(pair['relative']):.1%})" if pair["relative"] is not None else ""
    if pair["difference"] == 0:
        position = f"level with {against} at NDCG@{k}"
    else:
        position = f"{_side(pair)} {against}, by {abs(pair['difference']):.4f} NDCG@{k}{relative}"
    meaning = (
        "lies on one side of zero, so the difference is more than chance among these users"
        if excludes_zero(pair["ci"])
        else "includes zero, so this test set cannot tell the two apart"
    )
    return (
        f"{pair['row']} is {position}. The {confidence:.0%} interval of the difference, {_interval(pair)}, {meaning}; "
        f"{pair['share_in_favour']:.1%} of the resamples favour {pair['row']}."
    )


def _against(pair: Pair, against: str, k: int) -> str:
    """A difference in short."""
    if not excludes_zero(pair["ci"]):
        return f"{pair['row']} and {against} cannot be told apart on this test set ({_gain(pair, k)})."
    return f"{pair['row']} is {_side(pair)} {against}: {_gain(pair, k)}."


def _reinforcement(recipe: str, pair: Pair, k: int, confidence: float) -> str:
    about = f"{recipe}: reinforcement learning"
    if pair["difference"] == 0 and pair["ci"] == [0, 0]:
        return f"{about} changed nothing; no checkpoint beat the fine-tuned model on validation."
    if not excludes_zero(pair["ci"]):
        return (
            f"{about} does not measurably pay here: {_gain(pair, k)} against the fine-tuned model, and the "
            f"{confidence:.0%} interval includes zero."
        )
    return f"{about} {'pays' if pair['difference'] > 0 else 'harms'}: {_gain(pair, k)} against the fine-tuned model."


def _side(pair: Pair) -> str:
    return "ahead of" if pair["difference"] > 0 else "behind"


def _gain(pair: Pair, k: int) -> str:
    relative = f", {pair['relative']:+.1%}" if pair["relative"] is not None else ""
    return f"{pair['difference']:+.4f} NDCG@{k}{relative} ({_interval(pair)})"


def _interval(pair: Pair) -> str:
    return f"{pair['ci'][0]:+.4f} to {pair['ci'][1]:+.4f}"


def _two_models(figures: Mapping[str, Any]) -> str:
    return f"{figures['new']:.4f} against {figures['current']:.4f}"


def _change(figures: Mapping[str, Any]) -> str:
    return f"difference {figures['difference']:+.4f}, interval {_interval(figures)}"


def _seeds(rows: Sequence[Row]) -> str:
    counts = sorted({len(row["seeds"]) for row in rows if row["recipe"] is not None})
    if not counts:
        return "No trained model took part."
    if counts == [1]:
        return "One seed each: the intervals cover the users drawn, not the seeds."
    shown = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Means over {shown} seeds; the intervals cover the users drawn and the seeds drawn."


def _memory(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """What 4-bit weights saved, where the comparison has recipes with and without them on one base model."""
    sizes: dict[str, dict[str, int]] = {}
    for recipe in recipes:
        if recipe.get("weight_bytes") and recipe["adapter"] in ("lora", "qlora"):
            sizes.setdefault(recipe["base"], {})[recipe["adapter"]] = recipe["weight_bytes"]
    return [
        f"On {base} the weights take {s['qlora'] / 2**20:,.1f} MiB with QLoRA and {s['lora'] / 2**20:,.1f} MiB with LoRA: "
        f"{abs(1 - s['qlora'] / s['lora']):.0%} {'less' if s['qlora'] < s['lora'] else 'more'}."
        for base, s in sizes.items()
        if len(s) == 2
    ]
