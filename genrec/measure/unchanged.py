"""Runs whose reinforcement learning returned the sft model: they have one trained model, not two."""

from collections.abc import Mapping, Sequence
from typing import Any


def unchanged(recipes: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, bool]:
    """The recipes of whose runs (reports, as report.json holds them) none has an rl model other than sft.

    By name, with whether reinforcement learning took a step at all.
    """
    return {
        name: any(run.get("training", {}).get("rl", {}).get("steps") != 0 for run in runs)
        for name, runs in recipes.items()
        if all("rl" in run.get("identical", {}) for run in runs)
    }
