"""The reward of a run: the weighted sum of the terms in its config."""

from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from genrec import variants
from genrec.errors import TrainingError
from genrec.labels import distinct_names
from genrec.train.rl.reward_context import RewardContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genrec.config import RewardConfig

PACKAGE = "genrec.train.rl.rewards"


class Term(NamedTuple):
    """One reward with its weight and its settings (an instance of its module's `Config`)."""

    name: str
    weight: float
    module: ModuleType
    options: Any
    prepared: Any = None  # see `prepare`


def build_terms(configs: "Sequence[RewardConfig]") -> tuple[Term, ...]:
    """The terms a config lists, in its order."""
    return tuple(Term(c.name, c.weight, *variants.build(PACKAGE, c.name, c.options)) for c in configs)


def prepare(terms: tuple[Term, ...], context: RewardContext) -> tuple[Term, ...]:
    """The same terms, each with what its module's optional function `prepare` makes of the catalogue's facts, once."""
    return tuple(
        t._replace(prepared=t.module.prepare(context, t.options)) if hasattr(t.module, "prepare") else t for t in terms
    )


def num_following(terms: tuple[Term, ...]) -> int:
    """Items of the training sequence, from the target on, that the rewards want to see."""
    wanted = (t.module.num_following(t.options) for t in terms if hasattr(t.module, "num_following"))
    return max(wanted, default=0)


def labels(terms: tuple[Term, ...]) -> list[str]:
    """A name for each term; a reward listed again is distinct_names."""
    return distinct_names([term.name for term in terms])


def notes(terms: tuple[Term, ...], context: RewardContext) -> dict[str, str]:
    """By label, why the data leaves a reward without effect, from the optional function `note` of a reward module."""
    said = {
        label: term.module.note(context._replace(prepared=term.prepared), term.options)
        for label, term in zip(labels(terms), terms, strict=True)
        if hasattr(term.module, "note")
    }
    return {label: text for label, text in said.items() if text}


def term_rewards(
    terms: tuple[Term, ...], candidates: torch.Tensor, target: torch.Tensor, context: RewardContext
) -> torch.Tensor:
    """weight * reward of each of T terms, float32[T, B, G]; 0 for missing candidates (-1).

    candidates: int64[B, G] items, best first. target: int64[B]. `context` is that of the prompts of the batch.
    Raises TrainingError when a reward returns another shape or a value that is not finite.
    """
    parts = []
    for term in terms:
        values = term.module.reward(candidates, target, context._replace(prepared=term.prepared), term.options)
        _check(term.name, values, candidates)
        parts.append((term.weight * values.float()).masked_fill(candidates < 0, 0.0))
    return torch.stack(parts)


def total_reward(
    terms: tuple[Term, ...], candidates: torch.Tensor, target: torch.Tensor, context: RewardContext
) -> torch.Tensor:
    """The sum of `term_rewards`, float32[B, G]."""
    return term_rewards(terms, candidates, target, context).sum(dim=0)


def mean_rewards(
    terms: tuple[Term, ...], candidates: torch.Tensor, target: torch.Tensor, context: RewardContext
) -> dict[str, float]:
    """Means over the candidates that are there: `reward`, and, of several terms, `reward_<label>` of each."""
    count = max(int((candidates >= 0).sum()), 1)
    means = (term_rewards(terms, candidates, target, context).double().sum(dim=(1, 2)) / count).tolist()
    by_term = {f"reward_{label}": mean for label, mean in zip(labels(terms), means, strict=True)}
    return {"reward": sum(means), **(by_term if len(terms) > 1 else {})}


def try_rewards(terms: tuple[Term, ...], context: RewardContext, group_size: int) -> None:
    """Call every reward once on artificial groups, so that a broken one fails before anything is generated.

    There is a hit, a miss, a missing candidate and a history that holds a candidate. Raises TrainingError.
    """
    num_items, device = len(context.sids), context.sids.device
    items = torch.arange(3 * group_size, device=device).reshape(3, group_size) % num_items
    target = torch.stack([items[0, -1], (items[1, -1] + 1) % num_items, items[2, 0]])
    items[2, -1] = -1
    event = torch.arange(3, device=device) % len(context.event_names) if context.event_names else None
    history = torch.stack([items[0, :1], target[1:2], items[1, :1]])
    following = torch.stack([target, items[:, 0]], dim=1)
    later = None if event is None else event[:, None].expand_as(following)
    context = context._replace(history=history, target_event=event, following=following, following_event=later)
    total_reward(terms, items, target, context)


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
