"""PPO: proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) with a value head.

A candidate is an episode of L actions, its tokens; the state before an action is the prompt and the tokens so far, and
the reward comes with the last token. The value head reads the hidden state that predicts a token. Advantages are
generalised estimates (GAE, arXiv 1506.02438, equation 16), normalised over all tokens of the step; values are clipped
like ratios (Engstrom et al. 2020, arXiv 2005.12729, section 3). A baseline that is learned makes groups without a hit
worth learning from: with `rl.empty_groups: keep` they take part.

The ratio is an importance weight when candidates are sampled (`rl.rollout.mode: sample`, temperature 1) and a trust
region otherwise.

Letters: B prompts, G candidates a prompt, L levels (tokens) a candidate.
"""

from dataclasses import dataclass

import torch

from genrec.train.rl.objective import Estimates, Loss, Tokens, mean, policy_loss
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    clip_epsilon: float = setting(
        0.2, "The ratio new/old probability of a token earns nothing more outside 1 -+ this.", gt=0, lt=1
    )
    inner_steps: int = setting(
        4,
        "Epochs: passes over the candidates of a step, each an optimizer step; clipping acts from the second.",
        ge=1,
        le=100,
    )
    gamma: float = setting(1.0, "Discount a token.", gt=0, le=1)
    gae_lambda: float = setting(0.95, "Weight of longer returns in GAE: 0 is one step, 1 the whole return.", ge=0, le=1)
    normalise: bool = setting(True, "Bring the advantages of a step to mean 0 and standard deviation 1.")
    value_weight: float = setting(0.5, "Weight of the value head's loss.", ge=0, le=100)
    value_clip: float = setting(
        0.2, "A value moves by at most this in a step before its loss stops rewarding the move; 0 does not clip.", ge=0
    )
    value_trains_body: bool = setting(
        False,
        "Let the value loss train the transformer too; false keeps it to the head, so that it cannot disturb the policy.",
    )


NEEDS_VALUES = True
NEEDS_TEACHER = False
_EPSILON = 1e-8


def estimate(rewards: torch.Tensor, values: torch.Tensor | None, valid: torch.Tensor, options: Config) -> Estimates:
    """Advantages and returns of every token.

    rewards: float32[B, G], of whole candidates. values: float32[B, G, L], of the states before each token, without
    gradient. valid: bool[B, G]. Returns float32[B, G, L] each; advantages are 0 where invalid. Raises ValueError
    without values.
    """
    if values is None:
        raise ValueError("ppo needs the values of the states")
    advantage = gae(rewards, values, options.gamma, options.gae_lambda)
    returns = advantage + values
    kept = valid.unsqueeze(-1).expand_as(advantage)
    if options.normalise and kept.any():
        chosen = advantage[kept]
        advantage = (advantage - chosen.mean()) / (chosen.std(correction=0) + _EPSILON)
    return Estimates(torch.where(kept, advantage, 0.0), returns)


def gae(rewards: torch.Tensor, values: torch.Tensor, gamma: float, lam: float) -> torch.Tensor:
    """Generalised advantage estimates of episodes whose only reward, float32[...], comes with their last token.

    values: float32[..., L]. With d_l = r_l + gamma * V_(l+1) - V_l (V after the end is 0):
    A_l = d_l + gamma * lam * A_(l+1). Returns float32[..., L].
    """
    following = torch.zeros_like(rewards)
    gains = torch.empty_like(values)
    target = rewards
    for level in reversed(range(values.shape[-1])):
        following = target - values[..., level] + gamma * lam * following
        gains[..., level] = following
        target = gamma * values[..., level]
    return gains


def loss(tokens: Tokens, options: Config) -> Loss:
    """The clipped surrogate, the KL term, and the clipped squared error of the values."""
    assert tokens.values is not None
    assert tokens.old_values is not None
    assert tokens.returns is not None
    error = (tokens.values - tokens.returns).square()
    if options.value_clip > 0:
        moved = (tokens.values - tokens.old_values).clamp(-options.value_clip, options.value_clip)
        error = torch.maximum(error, (tokens.old_values + moved - tokens.returns).square())
    value = options.value_weight * mean(0.5 * error, tokens.valid)
    return policy_loss(tokens, options.clip_epsilon)._replace(value=value)
