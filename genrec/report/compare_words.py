"""A comparison in plain words: who won, by how much, and which ideas did not pay on this data."""

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.measure.verdict import excludes_zero

Row = Mapping[str, Any]


def summary(rows: Sequence[Row], comparisons: Sequence[Mapping[str, Any]], k: int, confidence: float) -> list[str]:
    """Sentences, the leader first. `rows` best first, as in comparison.json; every recipe is spoken of."""
    metric = f"ndcg@{k}"
    pairs = {(c["row"], c["against"]): c for c in comparisons if c["metric"] == metric}
    leader = rows[0]
    sentences = [f"{leader['label']} leads: {_figure(leader, metric)}, {_figure(leader, f'hr@{k}')}."]
    baselines = [r for r in rows if r["recipe"] is None]
    best = baselines[0] if baselines else None
    if best is not None and best is not leader:
        sentences.append(f"The best baseline is {best['label']}: {_figure(best, metric)}, {_figure(best, f'hr@{k}')}.")
    recipes = list(dict.fromkeys(r["recipe"] for r in rows if r["recipe"] is not None))
    for recipe in recipes:
        own = {r["model"]: r for r in rows if r["recipe"] == recipe}
        if {"sft", "rl"} <= own.keys():
            sentences.append(
                _reinforcement(recipe, pairs.get((own["rl"]["label"], own["sft"]["label"])), k, confidence)
            )
        final = own.get("rl", own.get("sft"))
        if best is not None and final is not None:
            sentences.append(
                _against(
                    final["label"], f"the best baseline, {best['label']}", pairs.get((final["label"], best["label"])), k
                )
            )
    finals = [r for r in rows if r["recipe"] is not None and r["final"]]
    for other in finals[1:]:
        record = pairs.get((finals[0]["label"], other["label"]))
        sentences.append(_against(finals[0]["label"], other["label"], record, k))
    return [*(s for s in sentences if s), _seeds(rows)]


def memory(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
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


def _figure(row: Row, metric: str) -> str:
    found = row["metrics"][metric]
    return f"{metric.upper()} {found['mean']:.4f} ({found['ci'][0]:.4f} to {found['ci'][1]:.4f})"


def _reinforcement(recipe: str, record: Mapping[str, Any] | None, k: int, confidence: float) -> str:
    if record is None:
        return ""
    change = _change(record, k)
    if record["difference"] == 0 and record["ci"] == [0, 0]:
        return (
            f"{recipe}: reinforcement learning changed nothing; no checkpoint beat the fine-tuned model on validation."
        )
    if not excludes_zero(record["ci"]):
        return (
            f"{recipe}: reinforcement learning does not measurably pay here: {change} against the fine-tuned model, and the "
            f"{confidence:.0%} interval includes zero."
        )
    verb = "pays" if record["difference"] > 0 else "harms"
    return f"{recipe}: reinforcement learning {verb}: {change} against the fine-tuned model."


def _against(one: str, other: str, record: Mapping[str, Any] | None, k: int) -> str:
    if record is None:
        return ""
    change = _change(record, k)
    if not excludes_zero(record["ci"]):
        return f"{one} and {other} cannot be told apart on this test set ({change})."
    return f"{one} is {'ahead of' if record['difference'] > 0 else 'behind'} {other}: {change}."


def _change(record: Mapping[str, Any], k: int) -> str:
    relative = f", {record['relative']:+.1%}" if record["relative"] is not None else ""
    low, high = record["ci"]
    return f"{record['difference']:+.4f} NDCG@{k}{relative} ({low:+.4f} to {high:+.4f})"


def _seeds(rows: Sequence[Row]) -> str:
    counts = sorted({len(r["seeds"]) for r in rows if r["recipe"] is not None})
    if not counts:
        return "No trained model took part."
    if counts == [1]:
        return "One seed each: the intervals tell of the users drawn, not of the luck of a seed."
    shown = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Means over {shown} seeds; the intervals cover the users drawn and the seeds drawn."
