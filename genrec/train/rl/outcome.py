"""What came of a run of reinforcement learning, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any


def outcome(gate: Mapping[str, Any], best_step: int) -> str:
    """Which model is returned and why, from the summary of the gate (`Gate.summary`)."""
    looks, metric = gate["looks"], _shown(gate["metric"])
    back = sum(look.get("taken_back", False) for look in looks)
    went = f" Training went back {back} times, to a quarter of its learning rate each time." if back else ""
    if best_step:
        look = next(look for look in looks if look["step"] == best_step)
        passed = sum(look["passed"] for look in looks)
        return (
            f"Step {best_step} is returned: {metric} {look[gate['metric']]:.4f} on validation, {_gain(look, gate)}; "
            f"{passed} of {len(looks)} checkpoints passed.{went}"
        )
    if not looks:
        return "The SFT model is returned: no checkpoint was validated."
    allowed = [look for look in looks if look["guarded"]]
    look = max(allowed or looks, key=lambda look: look["gain"])
    why = (
        "which chance can explain"
        if look["guarded"]
        else f"at a cost of {look['loss']:.1%} of {_shown(gate['guard'])}, more than the {gate['max_loss']:.1%} allowed "
        "(rl.gate.max_loss)"
    )
    return (
        f"The SFT model is returned: none of {len(looks)} checkpoints passed the gate on {metric}. The nearest, step "
        f"{look['step']}, has {_gain(look, gate)}, {why}.{went}"
    )


def reward_notes(
    known: Mapping[str, str], labels: Sequence[str], compared: Mapping[str, Any], best_step: int
) -> dict[str, str]:
    """By label of a term, why it had no effect: `known` from the data, else from what it paid before and after.

    `compared` as `BeforeAfter.compare` gives it, without "after" where no checkpoint was kept.
    """
    notes = dict(known)
    for label in labels:
        if label in notes:
            continue
        said = _bought(f"reward_{label}", compared, best_step)
        if said:
            notes[label] = said
    return notes


def _bought(name: str, compared: Mapping[str, Any], best_step: int) -> str | None:
    if "after" not in compared:
        return "bought nothing: the SFT model is returned"
    before, after, (low, high) = (compared[part][name] for part in ("before", "after", "change_ci"))
    if before == after == low == high == 0:
        return (
            "is 0 for the lists of validation, so nothing shows what it bought (items after a validation target may not "
            "be known)"
        )
    change = f"mean over the validation lists {before:.4f}, then {after:.4f} (interval of the change {low:+.4f} to {high:+.4f})"
    if not best_step:
        return f"bought nothing: the SFT model is returned ({change} at the nearest checkpoint)"
    return None if low > 0 else f"bought nothing that is beyond chance: {change}"


def _gain(look: Mapping[str, Any], gate: Mapping[str, Any]) -> str:
    low, high = look["ci"]
    level = f"{gate['confidence']:.0%}"
    return f"{look['gain']:+.4f} on the SFT model's (paired {level} interval {low:+.4f} to {high:+.4f})"


def _shown(metric: str) -> str:
    return "the reward" if metric == "reward" else metric.upper()
