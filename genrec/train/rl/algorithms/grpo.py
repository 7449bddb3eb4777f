"""GRPO: group relative policy optimisation (DeepSeekMath, arXiv 2402.03300, section 4.1).

The candidates of a prompt are each other's baseline, so no value model is needed. What differs from the paper: the
candidates may come from beam search instead of sampling (as in MiniOneRec, arXiv 2510.24431), where the ratio is a
trust region and not an importance weight, and the KL estimate is over the candidates shown.

Letters: B prompts, G candidates a prompt, L levels (tokens) a candidate.
"""

from dataclasses import dataclass

import torch

from genrec.train.rl.objective import Estimates, Loss, Tokens, policy_loss
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    clip_epsilon: float = setting(
        0.2, "The ratio new/old probability of a token earns nothing more outside 1 -+ this.", gt=0, lt=1
    )
    inner_steps: int = setting(
        1, "Optimizer steps on one set of candidates; clipping acts from the second on.", ge=1, le=100
    )
    scale_by_std: bool = setting(
        True, "Divide advantages by the group's standard deviation; false is the Dr. GRPO form (arXiv 2503.20783)."
    )


NEEDS_VALUES = False
NEEDS_TEACHER = False
ADVANTAGE_EPSILON = 1e-4  # keeps the advantages of nearly equal rewards finite


def estimate(rewards: torch.Tensor, values: torch.Tensor | None, valid: torch.Tensor, options: Config) -> Estimates:
    """Every token of a candidate has the candidate's advantage (float32[B, G, 1]: equal over the levels)."""
    return Estimates(advantages(rewards, valid, options).unsqueeze(-1))


def advantages(rewards: torch.Tensor, valid: torch.Tensor, options: Config) -> torch.Tensor:
    """Rewards normalised inside each group: (r - mean) / (std + 1e-4), std with n - 1.

    rewards: float32[B, G]. valid: bool[B, G], false where there is no candidate. Returns float32[B, G], 0 where
    invalid; a group of equal rewards (or a single candidate) gets zeros and teaches nothing.
    """
    count = valid.sum(dim=1, keepdim=True)
    mean = (rewards * valid).sum(dim=1, keepdim=True) / count.clamp(min=1)
    centred = (rewards - mean) * valid
    if not options.scale_by_std:
        return centred
    std = (centred.square().sum(dim=1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return centred / (std + ADVANTAGE_EPSILON)


def loss(tokens: Tokens, options: Config) -> Loss:
    """The clipped surrogate and the KL term (see `policy_loss`)."""
    return policy_loss(tokens, options.clip_epsilon)
