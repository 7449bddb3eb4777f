"""A bonus for every category that the list did not hold before, paid to the candidate that brings it.

Coverage of categories is a submodular list objective whose greedy gain is credited item by item (Ashkan et al. 2015,
Optimal Greedy Diversity for Recommendation, IJCAI; Ziegler et al. 2005 measure it as intra-list diversity). Paid to
the list as a whole it would be equal for all candidates of a group and vanish in a group-normalised advantage; the
marginal contribution at a candidate's own rank does not.
"""

from dataclasses import dataclass

import torch

from genrec.train.rl.reward_context import RewardContext
from genrec.variants import setting

PAYS_FOR = ("categories",)


@dataclass(frozen=True)
class Config:
    bonus: float = setting(0.2, "Reward of a category that no candidate of a higher rank has.", gt=0, le=10)
    most_specific: bool = setting(
        True, "Only the last (most specific) category of an item counts; false counts each of its categories."
    )


def reward(candidates: torch.Tensor, target: torch.Tensor, context: RewardContext, options: Config) -> torch.Tensor:
    """Marginal category coverage at a candidate's rank.

    candidates: int64[B, G] items, best first, -1 where there is none. target: int64[B] items, not looked at.
    Returns float32[B, G]: r_i = bonus * |categories(i) minus the categories of the candidates before i|; 0 everywhere
    when the catalogue names no categories.
    """
    if context.categories is None:
        return torch.zeros(candidates.shape, dtype=torch.float32, device=candidates.device)
    shown = context.categories[candidates.clamp(min=0)]  # [B, G, C]
    if options.most_specific:
        last = (shown >= 0).sum(dim=-1, keepdim=True) - 1
        shown = torch.where(last >= 0, shown.gather(-1, last.clamp(min=0)), -1)
    shown = shown.masked_fill((candidates < 0).unsqueeze(-1), -1)
    # A stable sort puts equal categories side by side in the order of their ranks: the first of a run is the new one.
    flat, order = shown.flatten(1).sort(dim=1, stable=True)
    first = flat >= 0
    first[:, 1:] &= flat[:, 1:] != flat[:, :-1]
    new = torch.zeros_like(first).scatter_(1, order, first).reshape(shown.shape)
    return options.bonus * new.sum(dim=-1).float()


def note(context: RewardContext, options: Config) -> str | None:
    """Why the data leaves this reward without effect."""
    return "the catalogue names no categories, so it is 0 for every candidate" if context.categories is None else None
