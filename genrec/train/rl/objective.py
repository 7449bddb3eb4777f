"""What the algorithms share: the clipped surrogate, the KL estimate, and means in which every prompt weighs the same.

Letters: B prompts, G candidates a prompt, L levels (tokens) a candidate.
"""

from typing import NamedTuple

import torch


class Estimates(NamedTuple):
    """Advantages of a step, token by token."""

    advantage: torch.Tensor  # float32[B, G, L]
    returns: torch.Tensor | None = None  # float32[B, G, L], what a value head is to predict


class Tokens(NamedTuple):
    """A micro-batch as a loss sees it; float32[B, G, L] each but `valid`."""

    log_probs: torch.Tensor  # of the policy, with gradient
    old_log_probs: torch.Tensor  # of the policy that the candidates came from
    reference_log_probs: torch.Tensor  # of the frozen reference
    advantage: torch.Tensor
    valid: torch.Tensor  # bool[B, G]
    values: torch.Tensor | None = None  # of the value head, with gradient
    old_values: torch.Tensor | None = None  # before the first inner step
    returns: torch.Tensor | None = None
    teacher: torch.Tensor | None = None  # float32[B, G], log-probabilities of whole candidates; -inf: nothing to say


class Loss(NamedTuple):
    """Per-prompt means over valid candidates and levels, float32[B] each; the caller averages over the whole batch."""

    policy: torch.Tensor  # clipped surrogate or divergence, to be minimised
    kl: torch.Tensor  # estimate of KL(policy || reference) a token, nats
    clipped: torch.Tensor  # share of tokens whose gradient the clipping cut off (no gradient)
    value: torch.Tensor | None = None  # weighted loss of the value head, where the algorithm has one


def policy_loss(tokens: Tokens, clip_epsilon: float) -> Loss:
    """The clipped surrogate of PPO (arXiv 1707.06347, equation 7) and the KL term, token by token."""
    ratio = torch.exp(tokens.log_probs - tokens.old_log_probs)
    gain = tokens.advantage
    clipped_ratio = ratio.clamp(1.0 - clip_epsilon, 1.0 + clip_epsilon)
    surrogate = torch.minimum(ratio * gain, clipped_ratio * gain)
    clipped = (ratio * gain > clipped_ratio * gain).float()
    valid = tokens.valid
    return Loss(-mean(surrogate, valid), kl_estimate(tokens), mean(clipped, valid).detach())


def kl_estimate(tokens: Tokens) -> torch.Tensor:
    """KL(policy || reference) a token, [B]: exp(d) - d - 1 with d = reference - policy (Schulman's k3: never negative)."""
    difference = tokens.reference_log_probs - tokens.log_probs
    return mean(torch.exp(difference) - difference - 1.0, tokens.valid)


def mean(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Mean over valid candidates and levels: [B, G, L] -> [B]. `where` keeps a masked NaN out."""
    kept = torch.where(valid[:, :, None], values, 0.0)
    return kept.sum(dim=(1, 2)) / (valid.sum(dim=1).clamp(min=1) * values.shape[2])
