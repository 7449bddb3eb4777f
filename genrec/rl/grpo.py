"""GRPO: group relative policy optimisation (DeepSeekMath, arXiv 2402.03300, section 4.1).

The candidates of a prompt are each other's baseline, so no value model is needed. What differs from the paper: the
candidates may come from beam search instead of sampling (as in MiniOneRec, arXiv 2510.24431), where the ratio is a
trust region and not an importance weight, and the KL estimate is over the candidates shown.

Letters: B prompts, G candidates a prompt, L levels (tokens) a candidate.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch

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


ADVANTAGE_EPSILON = 1e-4  # keeps the advantages of nearly equal rewards finite


class Loss(NamedTuple):
    """Per-prompt means over valid candidates and levels, float32[B] each; the caller averages over the whole batch."""

    policy: torch.Tensor  # clipped surrogate, to be minimised
    kl: torch.Tensor  # estimate of KL(policy || reference) a token, nats
    clipped: torch.Tensor  # share of tokens whose gradient the clipping cut off (no gradient)


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


def loss(
    log_probs: torch.Tensor,
    old_log_probs: torch.Tensor,
    reference_log_probs: torch.Tensor,
    advantage: torch.Tensor,
    valid: torch.Tensor,
    options: Config,
) -> Loss:
    """The clipped surrogate and the KL term, token by token.

    log_probs (with gradient), old_log_probs, reference_log_probs: float32[B, G, L] of the policy, of the policy that
    the candidates came from, and of the frozen reference. advantage: float32[B, G]. valid: bool[B, G].
    KL: exp(d) - d - 1 with d = reference - policy (Schulman's k3: never negative).
    """
    ratio = torch.exp(log_probs - old_log_probs)
    gain = advantage[:, :, None]
    clipped_ratio = ratio.clamp(1.0 - options.clip_epsilon, 1.0 + options.clip_epsilon)
    surrogate = torch.minimum(ratio * gain, clipped_ratio * gain)
    difference = reference_log_probs - log_probs
    kl = torch.exp(difference) - difference - 1.0
    clipped = (ratio * gain > clipped_ratio * gain).float()
    return Loss(-_mean(surrogate, valid), _mean(kl, valid), _mean(clipped, valid).detach())


def _mean(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean over valid candidates and levels: [B, G, L] -> [B]. `where`, so that a masked NaN stays out."""
    kept = torch.where(valid[:, :, None], values, 0.0)
    return kept.sum(dim=(1, 2)) / (valid.sum(dim=1).clamp(min=1) * values.shape[2])
