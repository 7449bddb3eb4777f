"""What the score of a trained model is made of, and its parts as models of their own.

The parts are the semantic ids (`ids`), the dense head (`dense`) and the table of transitions (`transitions`). A part
alone ranks by the same search with all the share: `sft_ids` is the sft model by its semantic ids alone. Rows whose
history was followed by nothing in training have no transitions; there `transitions` ranks by the dense head, as the
table does inside a score.

Apart from what decodes (genrec/measure/decoding.py): what reads results knows the names without torch.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from genrec.model.policy import Policy


class Scoring(NamedTuple):
    """Shares as a `Policy` holds them: of the dense head in a score, of the table in the dense head's distribution."""

    dense_weight: float
    transition_share: float


_ALONE = {"ids": Scoring(0.0, 0.0), "dense": Scoring(1.0, 0.0), "transitions": Scoring(1.0, 1.0)}
# The parts that are measured of each trained model. Of rl the ids alone: they are what reinforcement learning samples
# and moves. Its table is that of sft to the byte, and its dense head is trained by nothing but its share in the score.
MEASURED: dict[str, tuple[str, ...]] = {"sft": tuple(_ALONE), "rl": ("ids",)}
PART_OF = {f"{model}_{part}": (model, part) for model, parts in MEASURED.items() for part in parts}


def served(policy: "Policy") -> Scoring:
    """How a model scores as it stands; without a head, or with one that has no share, by the semantic ids alone."""
    return Scoring(policy.dense_weight, policy.transition_share) if policy.dense_weight else _ALONE["ids"]


def shares(policy: "Policy") -> dict[str, float]:
    """The share of each part that the model has in its score as it stands; they add up to 1."""
    weight, share = served(policy)
    of_part = {"ids": 1 - weight, "dense": weight * (1 - share), "transitions": weight * share}
    return {part: round(of_part[part], 6) for part in _parts(policy)}


def alone(policy: "Policy", wanted: Sequence[str]) -> dict[str, Scoring]:
    """How to score by each of the `wanted` parts alone: those the model has and that are not its whole score already."""
    return {part: _ALONE[part] for part in _parts(policy) if part in wanted and _ALONE[part] != served(policy)}


def use(policy: "Policy", scoring: Scoring) -> None:
    """Make the model score so."""
    policy.dense_weight, policy.transition_share = scoring


def _parts(policy: "Policy") -> list[str]:
    if policy.dense_weight is None or policy.items is None:
        return ["ids"]
    return ["ids", "dense"] if policy.items.transitions is None else list(_ALONE)
