"""Sentences about results: who leads, by how much, whether it is more than chance, and what was decided on it.

Results are those of `genrec.report.results`, of one run or of several recipes; a sentence speaks of NDCG at the headline
cut-off where it names no other figure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.measure.score_parts import PART_OF
from genrec.report.results import Results, Row

Pair = Mapping[str, Any]
PARTS = {"ids": "semantic ids", "dense": "dense head", "transitions": "transition table"}  # of a score


def sentences(results: Results) -> list[str]:
    """Who leads and the best baseline; what the scores of a run are made of; for each recipe what RL changed and how it
    stands to that baseline; the rest.
    """
    k, confidence, rows = results["headline_k"], results["confidence"], results["rows"]
    pairs = {(pair["row"], pair["against"]): pair for pair in results["comparisons"] if pair["metric"] == f"ndcg@{k}"}
    finals = [row for row in rows if row["recipe"] is not None and row["final"]]
    best = next((row for row in rows if row["recipe"] is None), None)
    said = [f"{rows[0]['label']} leads: {_figures(rows[0], k)}."]
    if best is not None and best is not rows[0]:
        said.append(f"The best baseline is {best['label']}: {_figures(best, k)}.")
    said += [*compositions(rows, k), *returned(results["unchanged"], len(finals))]
    for row in finals:
        sft = next((r for r in rows if r["recipe"] == row["recipe"] and r["model"] == "sft" and r is not row), None)
        if sft is not None:
            said.append(reinforcement(row["recipe"], pairs[row["label"], sft["label"]], confidence))
        if best is not None:
            pair = pairs[row["label"], best["label"]]
            said.append(against(pair, f"the best baseline, {best['label']}", confidence))
    said += [against(pairs[finals[0]["label"], row["label"]], row["label"], confidence) for row in finals[1:]]
    return [*said, _seeds(finals, k), *_memory(results["recipes"])]


def against(pair: Pair, other: str, confidence: float) -> str:
    """A difference: on which side, whether beyond chance, and its figures."""
    if not excludes_zero(pair["ci"]):
        return f"{pair['row']} and {other} cannot be told apart on this test set: {_difference(pair, confidence)}."
    side = "ahead of" if pair["difference"] > 0 else "behind"
    return f"{pair['row']} is {side} {other}, beyond chance: {_difference(pair, confidence)}."


def compositions(rows: Sequence[Row], k: int) -> list[str]:
    """Of what the score of each trained model is made, and how far its parts lead alone, where that was measured."""
    said = []
    for row in sorted((row for row in rows if row.get("score")), key=lambda row: row["final"]):
        parts = [other for other in rows if (other["recipe"], other["part_of"]) == (row["recipe"], row["model"])]
        figures = [f"{_part(other)} {other['metrics'][f'ndcg@{k}']['mean']:.4f}" for other in parts]
        beside = f"; alone on test: {', '.join(figures)} NDCG@{k}" if figures else ""
        said.append(f"Score of {row['label']}: {shares_in_words(row['score'])}{beside}.")
    return said


def shares_in_words(shares: Mapping[str, float]) -> str:
    """Of what a score is made: shares {part: share}, parts without any included."""
    return ", ".join(f"{PARTS[part]} {share:.0%}" for part, share in shares.items())


def parts_in_words(rows: Sequence[Row]) -> str:
    """What the rows are that are a part of a score; "" where there is none."""
    said = {row["model"]: f"{row['model']} is {row['part_of']} by its {_part(row)}" for row in rows if row["part_of"]}
    return f"Parts of a score, each alone: {', '.join(said.values())}." if said else ""


def returned(unchanged: Mapping[str, bool], num_recipes: int) -> list[str]:
    """The recipes whose reinforcement learning returned the fine-tuned model; one recipe is not named."""
    said = []
    for tried, what in ((True, "found no better checkpoint"), (False, "took no step")):
        recipes = [recipe for recipe, took_steps in unchanged.items() if took_steps == tried]
        where = f" in {', '.join(recipes)}" if num_recipes > 1 else ""
        if recipes:
            said.append(f"Reinforcement learning {what}{where}: rl is the sft model.")
    return said


def reinforcement(recipe: str, pair: Pair, confidence: float) -> str:
    """What reinforcement learning did to the fine-tuned model of a recipe."""
    about = f"{recipe}: reinforcement learning"
    effect = "pays" if pair["difference"] > 0 else "harms"
    if not excludes_zero(pair["ci"]):
        effect = "does not measurably pay here"
    return f"{about} {effect}: {_difference(pair, confidence)} against the fine-tuned model."


def why_promoted(figures: Mapping[str, Any]) -> str:
    """A decision of `genrec.in_service.decision` as part of a sentence: the figures, the rule, and how often it errs."""
    better, test = figures["rule"] == "if_better", figures["test"]
    outcome = f"{'' if figures['good_enough'] == better else 'not '}{'better' if better else 'worse'} beyond chance"
    errs = f"an equally good model is promoted in {figures['equal_promoted']:.1%} of the cases"
    if figures["loss_passed"] is not None:
        errs += f", one that truly loses {figures['loss_passed']:.4f} in half of them"
    on_valid = _beside(figures, f"the same {figures['rows']:,} validation rows")
    on_test = _beside(test, f"the {test['rows']:,} test rows, which decide nothing")
    return f"{figures['metric'].upper()} {on_valid}: {outcome}; {on_test}. By this rule {errs}"


def promotion(outcome: Mapping[str, Any]) -> str:
    """What became of a run's model: promoted, not promoted (kept: the one in service), or refused."""
    if outcome["promoted"]:
        return f"In service from now on: {outcome['why']}."
    stays = f", {outcome['in_service']} stays in service" if outcome["in_service"] else ""
    refused = outcome.get("decision") == "refused"
    return f"{'Refused' if refused else 'Not promoted'}{stays}: {outcome['why']}."


def planted_structure(results: Results) -> list[str]:
    """Whether the order planted in the synthetic shop came out: popularity < ItemCF < the trained model, HR and NDCG.

    No sentence where one of the three was not evaluated.
    """
    rows = {row["model"]: row["metrics"] for row in results["rows"]}
    final = next((row["model"] for row in results["rows"] if row["recipe"] is not None and row["final"]), None)
    if final is None or not {"popularity", "itemcf"} <= rows.keys():
        return []
    holds, shown = True, []
    for metric in (f"hr@{results['headline_k']}", f"ndcg@{results['headline_k']}"):
        values = [(rows[model][metric]["mean"], model) for model in ("popularity", "itemcf", final)]
        holds &= values[0][0] < values[1][0] < values[2][0]
        shown.append(f"{metric.upper()} {' < '.join(f'{model} {value:.4f}' for value, model in sorted(values))}")
    return [f"Planted structure of the synthetic shop {'found' if holds else 'NOT found'}: {'; '.join(shown)}."]


def protocol_in_short(protocol: Mapping[str, Any]) -> str:
    """The protocol as the title of a table."""
    split = {
        "leave_one_out": "leave-one-out",
        "global_time": "global time split",
        "given": "the source's own split",
    }.get(protocol["split"] or "", "test")
    sample = protocol.get("sample")
    of = f" of {sample['users']:,} sampled users" if sample else ""
    return (
        f"{split}, {protocol['test_rows']:,} test rows{of}, all {protocol['num_candidates']:,} items ranked, "
        f"seen items {'dropped' if protocol['seen_items'] == 'drop' else 'kept'}"
    )


def protocol_in_words(protocol: Mapping[str, Any]) -> list[str]:
    """The protocol as sentences for a reader who was not there."""
    split = {
        "leave_one_out": "The last event of each user is the test target, the one before it the validation target.",
        "global_time": "The first 80% of all events train, the next 10% validate, the last 10% are the test targets.",
        "given": "Training, validation and test rows are those that the source names, row by row.",
    }
    seen = {
        "drop": "Items a user has met before are taken out of the ranking; figures with them kept are listed too.",
        "keep": "Items a user has met before stay in the ranking; figures with them dropped are listed too.",
    }
    core = {
        "all": "Users and items with at least {} events in the whole data take part (k-core of all events).",
        "training": "What is learnt from has at least {} training events a user and an item (k-core of the training period); "
        "later events with other items are left out, other users are predicted for.",
        "none": "No user and no item is left out (no k-core).",
    }
    cutoffs = ", ".join(str(k) for k in protocol["ks"])
    return [
        *([core[on].format(protocol["k_core"])] if (on := protocol.get("k_core_on")) else []),
        split.get(protocol["split"] or "", "The test targets are those of test.parquet."),
        f"{protocol['test_rows']:,} test rows of {protocol['test_users']:,} users; one relevant item a row; every one of "
        f"the {protocol['num_candidates']:,} items of the catalogue is a candidate (no sampled negatives), and a hit is "
        "the item itself, not an id that resembles it.",
        *_sample(protocol.get("sample")),
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


def _sample(sample: Mapping[str, int] | None) -> list[str]:
    if not sample:
        return []
    return [
        f"The test rows are those of {sample['users']:,} of {sample['of_users']:,} test users, drawn at random (seed "
        f"{sample['seed']}), the same users for every model and baseline; evaluate.sample_users says how many, 0 all."
    ]


def _part(row: Row) -> str:
    return PARTS[PART_OF[row["model"]][1]]


def _figures(row: Row, k: int) -> str:
    figures = [(metric.upper(), row["metrics"][metric]) for metric in (f"ndcg@{k}", f"hr@{k}")]
    return ", ".join(f"{name} {f['mean']:.4f} ({f['ci'][0]:.4f} to {f['ci'][1]:.4f})" for name, f in figures)


def _difference(pair: Pair, confidence: float) -> str:
    relative = f", {pair['relative']:+.1%}" if pair["relative"] is not None else ""
    return (
        f"{pair['difference']:+.4f} {pair['metric'].upper()}{relative} ({confidence:.0%} interval {_interval(pair)}, "
        f"{pair['share_in_favour']:.1%} of the resamples in favour)"
    )


def _interval(pair: Pair) -> str:
    return f"{pair['ci'][0]:+.4f} to {pair['ci'][1]:+.4f}"


def _beside(figures: Mapping[str, Any], rows: str) -> str:
    """A new model and the one in service."""
    return (
        f"{figures['new']:.4f} against {figures['current']:.4f} of the model in service on {rows} "
        f"(difference {figures['difference']:+.4f}, interval {_interval(figures)})"
    )


def _seeds(trained: Sequence[Row], k: int) -> str:
    counts = sorted({len(row["metrics"][f"ndcg@{k}"]["by_seed"]) for row in trained})
    if not counts:
        return "No model was trained here: these are baselines only."
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
