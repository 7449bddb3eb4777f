"""The weights of a trained model's outputs in an item's score, chosen on validation: semantic ids, dense head,
transitions.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from genrec.model.policy import Policy
from genrec.train.validation import Validation

if TYPE_CHECKING:
    from genrec.config import SftConfig

SCORE_WEIGHTS = (0.0, 0.5, 0.75, 0.9, 1.0)  # of the dense head, tried on validation
TRANSITION_SHARES = (0.0, 0.1, 0.3, 0.5)  # of the table in the dense head's distribution, tried on validation
# While training, and without validation; 0.9 or 1 was the best on every catalogue tried.
DEFAULT_SCORE_WEIGHT = 0.9


def choose_scoring(policy: Policy, config: "SftConfig", validation: Validation) -> dict[str, Any]:
    """Set the dense head's share of a score, then the share of the transition table in it, to the best on validation
    (NDCG@10; of equals, the lower), unless the config fixes them.

    Returns a summary with the figures by value (score weight 0 is the semantic ids alone, 1 the head alone; successor
    share 0 is the trained model alone); {} without a head.
    """
    if policy.dense_weight is None:
        return {}
    summary: dict[str, Any] = {}
    head = config.dense_head
    table = policy.items.transitions if policy.items is not None else None
    if head.score_weight is None and len(validation):
        summary |= _choose_best("score_weight", SCORE_WEIGHTS, policy, "dense_weight", validation)
    summary["score_weight"] = policy.dense_weight
    if table is not None and policy.dense_weight:
        if head.successor_share is None and len(validation):
            summary |= _choose_best("successor_share", TRANSITION_SHARES, policy, "transition_share", validation)
        elif head.successor_share is not None:
            policy.transition_share = head.successor_share
        summary["successor_share"] = policy.transition_share
    return summary


def _choose_best(
    name: str, values: tuple[float, ...], policy: Policy, attribute: str, validation: Callable[[Policy], Any]
) -> dict[str, Any]:
    """Set the policy's `attribute` to the best of `values`; the figures of that choice, called `name`."""
    figures = {}
    for value in values:
        setattr(policy, attribute, value)
        figures[value] = validation(policy)
    best = max(values, key=lambda value: figures[value][1])
    setattr(policy, attribute, best)
    return {
        "valid_hr@10": figures[best][0],
        "valid_ndcg@10": figures[best][1],
        f"valid_ndcg@10_by_{name}": {str(value): ndcg for value, (_, ndcg) in figures.items()},
    }
