"""Groups: the candidates of a prompt together with the target they are judged by.

A group without a hit has equal rewards under a pure rule reward, hence no gradient. It is either repaired (the target
takes the last place; ReCast reports gains from it) or skipped (steadier for small models, and less work), or kept as
it is, where other rewards or a learned baseline teach something without a hit.

Letters: B prompts, G candidates, L levels.
"""

from typing import Literal, NamedTuple

import torch


class Groups(NamedTuple):
    items: torch.Tensor  # int64[B, G], best first, -1 = none
    target: torch.Tensor  # int64[B]
    hit: torch.Tensor  # bool[B], the target was among the candidates before any repair
    kept: torch.Tensor  # bool[B], the group takes part in the update


def form_groups(items: torch.Tensor, target: torch.Tensor, empty_groups: Literal["repair", "skip", "keep"]) -> Groups:
    """Join candidates (int64[B, G], not changed) with their targets (int64[B]) and treat groups without a hit."""
    hit = (items == target[:, None]).any(dim=1)
    if empty_groups == "skip":
        return Groups(items, target, hit, hit)
    if empty_groups == "keep":
        return Groups(items, target, hit, torch.ones_like(hit))
    repaired = items.clone()
    repaired[:, -1] = torch.where(hit, items[:, -1], target)
    return Groups(repaired, target, hit, torch.ones_like(hit))
