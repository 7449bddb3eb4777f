"""The score of one item for many histories, and what each part of the model says of it.

With w the share of the dense head in a score and s that of the transition table in the dense head's distribution (both as the
model was trained, `genrec.model.policy.Policy`),

    score = (1 - w) * log p_ids + w * log((1 - s) * p_dense + s * p_transitions)

The sum over an id's codes that the search adds up is the same number. A history that was followed by nothing in
training has no transitions: there s = 0.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.measure.score_parts import served
from genrec.model.policy import Policy


class ItemScores(NamedTuple):
    """Of one item, for B histories."""

    scores: NDArray[np.float64]  # [B]
    log_probs: dict[str, NDArray[np.float64]]  # by part, [B]: of the item, by the part alone; -inf: it says never
    transition_share: NDArray[np.float64]  # [B], s


class Part(NamedTuple):
    """What one part of the model adds to a score.

    The points of all parts add up to score - log(1 / N), how much likelier than by an even choice among the N items
    the model finds the item. The semantic ids have (1 - w) * (log p_ids - log(1 / N)). What the dense head and the transition table
    have together, w * (log q - log(1 / N)), is divided between them as q is: (1 - s) * p_dense to s * p_transitions.
    """

    name: str  # ids | dense | transitions
    share: float  # in the score, for this history; those of all parts add up to 1
    log_prob: float  # of the item by this part alone; -inf: it says never
    points: float  # nats


def item_scores(
    policy: Policy, histories: Sequence[NDArray[np.int64]], sids: NDArray[np.integer], item: int
) -> ItemScores:
    """One forward over B histories of item numbers, oldest first. `sids` int[N, L], row i being item i."""
    prompts = policy.prompts(histories, sids)
    sid = torch.from_numpy(np.asarray(sids[item], dtype=np.int64)).to(policy.device).expand(len(histories), 1, -1)
    weight, share = served(policy)
    shares = np.zeros(len(histories))
    with policy.inference():
        logits, hidden = policy.candidate_logits(prompts, sid)
        steps = logits.log_softmax(-1).gather(-1, sid.unsqueeze(-1))
        ids = _numbers(steps.flatten(1).sum(1))
        if not weight or policy.items is None:
            return ItemScores(ids, {"ids": ids}, shares)
        log_probs = {"ids": ids, "dense": _numbers(policy.item_logits(hidden[:, 0, 0]).log_softmax(-1)[:, item])}
        if (table := policy.items.transitions) is not None and share:
            weights = table.scores(prompts.histories)
            mass = _numbers(weights.sum(1))
            shares[mass > 0] = share
            log_probs["transitions"] = _log(_numbers(weights[:, item]) / np.where(mass > 0, mass, 1.0))
    return ItemScores((1 - weight) * ids + weight * _joined(log_probs, shares), log_probs, shares)


def parts(policy: Policy, of: ItemScores, row: int, num_items: int) -> list[Part]:
    """What the parts add to the score of a row, `num_items` being N."""
    weight, even = served(policy).dense_weight, -math.log(num_items)
    log_probs = {name: float(values[row]) for name, values in of.log_probs.items()}
    found = [Part("ids", 1 - weight, log_probs["ids"], (1 - weight) * (log_probs["ids"] - even))]
    if "dense" not in log_probs:
        return found
    share = float(of.transition_share[row])
    joined = float(_joined(of.log_probs, of.transition_share)[row])
    together = weight * (joined - even)
    of_table = 0.0
    if share:
        of_table = 1.0 if share == 1 else share * math.exp(log_probs["transitions"] - joined)
    found.append(Part("dense", weight * (1 - share), log_probs["dense"], together * (1 - of_table)))
    if share:
        found.append(Part("transitions", weight * share, log_probs["transitions"], together * of_table))
    return found


def _joined(log_probs: Mapping[str, NDArray[np.float64]], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """log q [B], as `genrec.model.transitions` mixes it; as there, no item is quite impossible."""
    table = log_probs.get("transitions", np.full(len(shares), -np.inf))
    q = np.logaddexp(_log(1 - shares) + log_probs["dense"], _log(shares) + table)
    return np.maximum(q, math.log(np.finfo(np.float32).tiny))


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.log(values)


def _numbers(values: torch.Tensor) -> NDArray[np.float64]:
    return values.double().cpu().numpy()
