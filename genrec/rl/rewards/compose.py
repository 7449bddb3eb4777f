"""The reward of a run: the weighted sum of the terms in its config."""

from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from genrec import variants
from genrec.errors import TrainingError
from genrec.rl.rewards.context import RewardContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genrec.config import RewardConfig

PACKAGE = "genrec.rl.rewards"


class Term(NamedTuple):
    """One reward with its weight and its settings (an instance of its module's `Config`)."""

    name: str
    weight: float
    module: ModuleType
    options: Any


def build_terms(configs: "Sequence[RewardConfig]") -> tuple[Term, ...]:
    """The terms a config lists, in its order."""
    return tuple(Term(c.name, c.weight, *variants.build(PACKAGE, c.name, c.options)) for c in configs)


def total_reward(
    terms: tuple[Term, ...], candidates: torch.Tensor, target: torch.Tensor, context: RewardContext
) -> torch.Tensor:
    """sum over terms of weight * reward; 0 for missing candidates (-1).

    candidates: int64[B, G] items, best first. target: int64[B]. Returns float32[B, G].
    Raises TrainingError when a reward returns another shape or a value that is not finite.
    """
    total = torch.zeros(candidates.shape, dtype=torch.float32, device=candidates.device)
    for term in terms:
        values = term.module.reward(candidates, target, context, term.options)
        _check(term.name, values, candidates)
        total += term.weight * values.float()
    return total.masked_fill(candidates < 0, 0.0)


def _check(name: str, values: Any, candidates: torch.Tensor) -> None:
    if not isinstance(values, torch.Tensor) or values.shape != candidates.shape:
        shape = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
        raise TrainingError(
            f"reward {name!r} returned {shape} for candidates of shape {tuple(candidates.shape)}; "
            "it must return one value a candidate"
        )
    bad = ~torch.isfinite(values)
    if bad.any():
        row, column = (int(i) for i in bad.nonzero()[0])
        raise TrainingError(
            f"reward {name!r} is {values[row, column].item()} for candidate {column} of prompt {row} "
            f"(item {candidates[row, column].item()}); every reward must be finite"
        )
